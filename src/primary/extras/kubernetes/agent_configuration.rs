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
use crate::rules::access_level::self_and_ancestors;
use crate::store::error::StoreError;
use crate::store::generations::generation::Generation;
use crate::store::primary::private_store::{PrivateStore, PrivateWrites};
use crate::wire::kubernetes::{AgentConfiguration, AuthorizedPaths};

const KEY_PREFIX: &[u8] = b"kubernetes/configuration/";

/// What is kept of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredConfiguration {
    pub agent_id: Id,
    pub updated_at: Time,
    pub ci_access: Authorizations,
    pub user_access: Authorizations,
    pub config: Map<String, Value>,
}

/// Who is let in, by id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authorizations {
    pub projects: Vec<Id>,
    pub groups: Vec<Id>,
}

/// Keeps a configuration in the place of the one before, on disk when it returns. Blocks.
pub fn store_configuration(
    ledger: &PrivateStore,
    directory: &Generation,
    agent: &Agent,
    read: AgentConfiguration,
    now: Time,
) -> Result<(), StoreError> {
    let unread = |fault: crate::model::directory::DirectoryError| StoreError(fault.to_string());
    let kept = StoredConfiguration {
        agent_id: agent.id,
        updated_at: now,
        ci_access: resolve_authorizations(directory, agent, &read.ci_access).map_err(unread)?,
        user_access: resolve_authorizations(directory, agent, &read.user_access).map_err(unread)?,
        config: read.config,
    };
    let text = serde_json::to_vec(&kept).map_err(|error| StoreError(error.to_string()))?;
    ledger.write(PrivateWrites { entries: vec![([KEY_PREFIX, &agent.id.bytes()].concat(), Some(text))] })
}

/// All that are kept, by the agents' ids.
pub fn load_all(ledger: &PrivateStore) -> Result<Vec<StoredConfiguration>, StoreError> {
    let read = |text: &[u8]| serde_json::from_slice(text).map_err(|error| StoreError(format!("an agent's configuration: {error}")));
    ledger.scan_prefix(KEY_PREFIX)?.iter().map(|(_, text)| read(text)).collect()
}

fn resolve_authorizations(
    directory: &Generation,
    agent: &Agent,
    paths: &AuthorizedPaths,
) -> Result<Authorizations, crate::model::directory::DirectoryError> {
    let Some(own) = directory.project(agent.project_id)? else { return Ok(Authorizations::default()) };
    let root = root_namespace(directory, own.namespace_id)?;
    let mut authorised = Authorizations::default();
    for path in &paths.projects {
        if let Some(project) = directory.project_by_path(path)?
            && root_namespace(directory, project.namespace_id)? == root
        {
            authorised.projects.push(project.id);
        }
    }
    for path in &paths.groups {
        if let Some(group) = directory.namespace_by_path(path)?
            && root_namespace(directory, group.id)? == root
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

fn root_namespace(directory: &dyn Directory, namespace: Id) -> Result<Option<Id>, crate::model::directory::DirectoryError> {
    Ok(self_and_ancestors(directory, namespace)?.last().map(|root| root.id))
}
