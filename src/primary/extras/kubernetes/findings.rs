//! The vulnerabilities that cluster agents found, by project: each finding once, under a UUID that it keeps.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::model::finding::VulnerabilityFinding;
use crate::model::id::Id;
use crate::model::record::Agent;
use crate::model::time::Time;
use crate::rules::kubernetes_vulnerability;
use crate::store::error::StoreError;
use crate::store::primary::private_store::{PrivateStore, PrivateWrites};

const KEY_PREFIX: &[u8] = b"kubernetes/finding/";

/// Whether a finding is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingState {
    /// The last scan found it.
    Detected,
    /// A later scan did not find it.
    Resolved,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct StoredFinding {
    agent_id: Id,
    state: FindingState,
    first_seen: Time,
    last_seen: Time,
    resolved_at: Option<Time>,
    vulnerability: Map<String, Value>,
    scanner: Map<String, Value>,
}

/// Stores a finding of an agent and returns its UUID; on disk when it returns. One that is known is detected again. Blocks.
pub fn store_finding(private_store: &PrivateStore, agent: &Agent, finding: VulnerabilityFinding, now: Time) -> Result<Uuid, StoreError> {
    let uuid = kubernetes_vulnerability::finding_uuid(agent.project_id, &finding);
    let key = [&project_prefix(agent.project_id)[..], uuid.as_bytes()].concat();
    private_store.update(|private_store| {
        let previous = private_store.read(&key)?.map(|text| decode(&text)).transpose()?;
        let finding = StoredFinding {
            agent_id: agent.id,
            state: FindingState::Detected,
            first_seen: previous.map_or(now, |previous| previous.first_seen),
            last_seen: now,
            resolved_at: None,
            vulnerability: finding.vulnerability,
            scanner: finding.scanner,
        };
        Ok((PrivateWrites { entries: vec![(key, Some(encode(&finding)?))] }, uuid))
    })
}

/// Marks all findings of a project but these as resolved and returns how many; on disk when it returns. Blocks.
pub fn resolve_missing(private_store: &PrivateStore, project: Id, uuids: &[Uuid], now: Time) -> Result<usize, StoreError> {
    let detected: BTreeSet<&[u8]> = uuids.iter().map(|uuid| &uuid.as_bytes()[..]).collect();
    let prefix = project_prefix(project);
    private_store.update(|private_store| {
        let mut writes = PrivateWrites::default();
        for (key, text) in private_store.scan_prefix(&prefix)? {
            let finding = decode(&text)?;
            if finding.state == FindingState::Detected && !detected.contains(&key[prefix.len()..]) {
                let resolved = StoredFinding { state: FindingState::Resolved, resolved_at: Some(now), ..finding };
                writes.entries.push((key, Some(encode(&resolved)?)));
            }
        }
        let resolved = writes.entries.len();
        Ok((writes, resolved))
    })
}

/// Returns the findings of each project by its id: their UUIDs and states.
pub fn load_states(private_store: &PrivateStore) -> Result<BTreeMap<u64, BTreeMap<String, FindingState>>, StoreError> {
    let mut projects: BTreeMap<u64, BTreeMap<String, FindingState>> = BTreeMap::new();
    for (key, text) in private_store.scan_prefix(KEY_PREFIX)? {
        let Some((project, uuid)) = key[KEY_PREFIX.len()..].split_first_chunk::<8>() else { continue };
        let uuid = Uuid::from_slice(uuid).map_err(|error| StoreError(format!("a finding: {error}")))?;
        projects.entry(u64::from_be_bytes(*project)).or_default().insert(uuid.to_string(), decode(&text)?.state);
    }
    Ok(projects)
}

fn project_prefix(project: Id) -> Vec<u8> {
    [KEY_PREFIX, &project.bytes()].concat()
}

fn decode(text: &[u8]) -> Result<StoredFinding, StoreError> {
    serde_json::from_slice(text).map_err(|error| StoreError(format!("a finding: {error}")))
}

fn encode(finding: &StoredFinding) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(finding).map_err(|error| StoreError(error.to_string()))
}
