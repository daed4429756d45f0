//! What agents found, by project: each finding once, under the UUID that it keeps.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::model::finding::Finding;
use crate::model::id::Id;
use crate::model::record::Agent;
use crate::model::time::Time;
use crate::rules::finding;
use crate::store::generation::Damage;
use crate::store::ledger::{Ledger, Writes};

const PREFIX: &[u8] = b"kubernetes/finding/";

/// What became of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Detected,
    Resolved,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    agent_id: Id,
    state: State,
    first_seen: Time,
    last_seen: Time,
    resolved_at: Option<Time>,
    vulnerability: Map<String, Value>,
    scanner: Map<String, Value>,
}

/// Keeps a finding of an agent, on disk when it returns; one that is known already is seen again, resolved or not. Blocks.
pub fn found(ledger: &Ledger, agent: &Agent, finding: Finding, now: Time) -> Result<Uuid, Damage> {
    let uuid = finding::uuid(agent.project_id, &finding);
    let place = [&of(agent.project_id)[..], uuid.as_bytes()].concat();
    ledger.update(|ledger| {
        let before = ledger.read(&place)?.map(|text| read(&text)).transpose()?;
        let kept = Kept {
            agent_id: agent.id,
            state: State::Detected,
            first_seen: before.map_or(now, |before| before.first_seen),
            last_seen: now,
            resolved_at: None,
            vulnerability: finding.vulnerability,
            scanner: finding.scanner,
        };
        Ok((Writes { entries: vec![(place, Some(written(&kept)?))] }, uuid))
    })
}

/// Resolves all findings of a project but these, on disk when it returns; says how many that were. Blocks.
pub fn resolve_others(ledger: &Ledger, project: Id, uuids: &[Uuid], now: Time) -> Result<usize, Damage> {
    let stay: BTreeSet<&[u8]> = uuids.iter().map(|uuid| &uuid.as_bytes()[..]).collect();
    let prefix = of(project);
    ledger.update(|ledger| {
        let mut writes = Writes::default();
        for (place, text) in ledger.scan(&prefix)? {
            let kept = read(&text)?;
            if kept.state == State::Detected && !stay.contains(&place[prefix.len()..]) {
                let resolved = Kept { state: State::Resolved, resolved_at: Some(now), ..kept };
                writes.entries.push((place, Some(written(&resolved)?)));
            }
        }
        let resolved = writes.entries.len();
        Ok((writes, resolved))
    })
}

/// The findings of each project: their UUIDs, and what became of them.
pub fn all(ledger: &Ledger) -> Result<BTreeMap<u64, BTreeMap<String, State>>, Damage> {
    let mut projects: BTreeMap<u64, BTreeMap<String, State>> = BTreeMap::new();
    for (place, text) in ledger.scan(PREFIX)? {
        let Some((project, uuid)) = place[PREFIX.len()..].split_first_chunk::<8>() else { continue };
        let uuid = Uuid::from_slice(uuid).map_err(|error| Damage(format!("a finding: {error}")))?;
        projects.entry(u64::from_be_bytes(*project)).or_default().insert(uuid.to_string(), read(&text)?.state);
    }
    Ok(projects)
}

fn of(project: Id) -> Vec<u8> {
    [PREFIX, &project.bytes()].concat()
}

fn read(text: &[u8]) -> Result<Kept, Damage> {
    serde_json::from_slice(text).map_err(|error| Damage(format!("a finding: {error}")))
}

fn written(kept: &Kept) -> Result<Vec<u8>, Damage> {
    serde_json::to_vec(kept).map_err(|error| Damage(error.to_string()))
}
