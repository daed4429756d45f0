//! What an agent's configuration says, and whom it lets use the agent: projects and groups of the agent's own root group.
//!
//! It says who may use the agent, and not what the agent may read: otherwise whoever writes one project's configuration could
//! read all others of the group.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::model::directory::Directory;
use crate::model::id::Id;
use crate::model::record::Agent;
use crate::model::time::Time;
use crate::rules::access::lineage;
use crate::store::generation::{Damage, Generation};
use crate::store::ledger::{Ledger, Writes};
use crate::wire::kubernetes::{Configuration, Paths};

const PREFIX: &[u8] = b"kubernetes/configuration/";

/// What is kept of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    pub agent_id: Id,
    pub updated_at: Time,
    pub ci_access: Authorised,
    pub user_access: Authorised,
    pub config: Map<String, Value>,
}

/// Who is let in, by id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authorised {
    pub projects: Vec<Id>,
    pub groups: Vec<Id>,
}

/// Keeps a configuration in the place of the one before, on disk when it returns. Blocks.
pub fn keep(ledger: &Ledger, directory: &Generation, agent: &Agent, read: Configuration, now: Time) -> Result<(), Damage> {
    let unread = |fault: crate::model::directory::Fault| Damage(fault.to_string());
    let kept = Kept {
        agent_id: agent.id,
        updated_at: now,
        ci_access: authorised(directory, agent, &read.ci_access).map_err(unread)?,
        user_access: authorised(directory, agent, &read.user_access).map_err(unread)?,
        config: read.config,
    };
    let text = serde_json::to_vec(&kept).map_err(|error| Damage(error.to_string()))?;
    ledger.write(Writes { entries: vec![([PREFIX, &agent.id.bytes()].concat(), Some(text))] })
}

/// All that are kept, by the agents' ids.
pub fn all(ledger: &Ledger) -> Result<Vec<Kept>, Damage> {
    let read = |text: &[u8]| serde_json::from_slice(text).map_err(|error| Damage(format!("an agent's configuration: {error}")));
    ledger.scan(PREFIX)?.iter().map(|(_, text)| read(text)).collect()
}

fn authorised(directory: &Generation, agent: &Agent, paths: &Paths) -> Result<Authorised, crate::model::directory::Fault> {
    let Some(own) = directory.project(agent.project_id)? else { return Ok(Authorised::default()) };
    let root = root(directory, own.namespace_id)?;
    let mut authorised = Authorised::default();
    for path in &paths.projects {
        if let Some(project) = directory.project_at(path)?
            && self::root(directory, project.namespace_id)? == root
        {
            authorised.projects.push(project.id);
        }
    }
    for path in &paths.groups {
        if let Some(group) = directory.namespace_at(path)?
            && self::root(directory, group.id)? == root
        {
            authorised.groups.push(group.id);
        }
    }
    for ids in [&mut authorised.projects, &mut authorised.groups] {
        ids.sort_unstable();
        ids.dedup();
    }
    Ok(authorised)
}

fn root(directory: &dyn Directory, namespace: Id) -> Result<Option<Id>, crate::model::directory::Fault> {
    Ok(lineage(directory, namespace)?.last().map(|root| root.id))
}
