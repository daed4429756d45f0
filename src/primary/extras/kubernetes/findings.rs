//! What agents found, by project: each finding once, under the UUID that it keeps.

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

/// What became of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingState {
    Detected,
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

/// Keeps a finding of an agent, on disk when it returns; one that is known already is seen again, resolved or not. Blocks.
pub fn store_finding(ledger: &PrivateStore, agent: &Agent, finding: VulnerabilityFinding, now: Time) -> Result<Uuid, StoreError> {
    let uuid = kubernetes_vulnerability::finding_uuid(agent.project_id, &finding);
    let place = [&project_prefix(agent.project_id)[..], uuid.as_bytes()].concat();
    ledger.update(|ledger| {
        let before = ledger.read(&place)?.map(|text| decode(&text)).transpose()?;
        let kept = StoredFinding {
            agent_id: agent.id,
            state: FindingState::Detected,
            first_seen: before.map_or(now, |before| before.first_seen),
            last_seen: now,
            resolved_at: None,
            vulnerability: finding.vulnerability,
            scanner: finding.scanner,
        };
        Ok((PrivateWrites { entries: vec![(place, Some(encode(&kept)?))] }, uuid))
    })
}

/// Resolves all findings of a project but these, on disk when it returns; says how many that were. Blocks.
pub fn resolve_missing(ledger: &PrivateStore, project: Id, uuids: &[Uuid], now: Time) -> Result<usize, StoreError> {
    let stay: BTreeSet<&[u8]> = uuids.iter().map(|uuid| &uuid.as_bytes()[..]).collect();
    let prefix = project_prefix(project);
    ledger.update(|ledger| {
        let mut writes = PrivateWrites::default();
        for (place, text) in ledger.scan_prefix(&prefix)? {
            let kept = decode(&text)?;
            if kept.state == FindingState::Detected && !stay.contains(&place[prefix.len()..]) {
                let resolved = StoredFinding { state: FindingState::Resolved, resolved_at: Some(now), ..kept };
                writes.entries.push((place, Some(encode(&resolved)?)));
            }
        }
        let resolved = writes.entries.len();
        Ok((writes, resolved))
    })
}

/// The findings of each project: their UUIDs, and what became of them.
pub fn load_states(ledger: &PrivateStore) -> Result<BTreeMap<u64, BTreeMap<String, FindingState>>, StoreError> {
    let mut projects: BTreeMap<u64, BTreeMap<String, FindingState>> = BTreeMap::new();
    for (place, text) in ledger.scan_prefix(KEY_PREFIX)? {
        let Some((project, uuid)) = place[KEY_PREFIX.len()..].split_first_chunk::<8>() else { continue };
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

fn encode(kept: &StoredFinding) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(kept).map_err(|error| StoreError(error.to_string()))
}
