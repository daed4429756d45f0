//! The configuration of a cluster agent, and whom it authorizes to use the agent: projects and groups below the agent's own root group.
//!
//! It authorizes others to use the agent; it does not authorize the agent to read them. Otherwise whoever writes one project's
//! configuration could read all other projects of the group.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::model::directory::{Directory, DirectoryError};
use crate::model::id::Id;
use crate::model::record::Agent;
use crate::model::time::Time;
use crate::rules::access_level::self_and_ancestors;
use crate::store::error::StoreError;
use crate::store::generations::generation::Generation;
use crate::store::primary::private_store::{PrivateStore, PrivateWrites};
use crate::wire::kubernetes::{AgentConfiguration, AuthorizedPaths};

const KEY_PREFIX: &[u8] = b"kubernetes/configuration/";

/// A configuration as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredConfiguration {
    /// The agent.
    pub agent_id: Id,
    /// When the configuration was stored.
    pub updated_at: Time,
    /// Whose CI jobs may use the agent.
    pub ci_access: Authorizations,
    /// Whose members may use the agent.
    pub user_access: Authorizations,
    /// The configuration as it was sent.
    pub config: Map<String, Value>,
}

/// Who is authorized.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authorizations {
    /// Projects, by id.
    pub projects: Vec<Id>,
    /// Groups, by id.
    pub groups: Vec<Id>,
}

/// Stores a configuration and replaces the agent's previous one; on disk when it returns. Blocks.
pub fn store_configuration(
    private_store: &PrivateStore,
    directory: &Generation,
    agent: &Agent,
    configuration: AgentConfiguration,
    now: Time,
) -> Result<(), StoreError> {
    let store_error = |error: DirectoryError| StoreError(error.to_string());
    let stored = StoredConfiguration {
        agent_id: agent.id,
        updated_at: now,
        ci_access: resolve_authorizations(directory, agent, &configuration.ci_access).map_err(store_error)?,
        user_access: resolve_authorizations(directory, agent, &configuration.user_access).map_err(store_error)?,
        config: configuration.config,
    };
    let text = serde_json::to_vec(&stored).map_err(|error| StoreError(error.to_string()))?;
    private_store.write(PrivateWrites { entries: vec![([KEY_PREFIX, &agent.id.bytes()].concat(), Some(text))] })
}

/// Returns all stored configurations, in the order of the agents' ids.
pub fn load_all(private_store: &PrivateStore) -> Result<Vec<StoredConfiguration>, StoreError> {
    let decode = |text: &[u8]| serde_json::from_slice(text).map_err(|error| StoreError(format!("an agent's configuration: {error}")));
    private_store.scan_prefix(KEY_PREFIX)?.iter().map(|(_, text)| decode(text)).collect()
}

fn resolve_authorizations(directory: &Generation, agent: &Agent, paths: &AuthorizedPaths) -> Result<Authorizations, DirectoryError> {
    let Some(project) = directory.project(agent.project_id)? else { return Ok(Authorizations::default()) };
    let root = root_namespace(directory, project.namespace_id)?;
    let mut authorized = Authorizations::default();
    for path in &paths.projects {
        if let Some(project) = directory.project_by_path(path)?
            && root_namespace(directory, project.namespace_id)? == root
        {
            authorized.projects.push(project.id);
        }
    }
    for path in &paths.groups {
        if let Some(group) = directory.namespace_by_path(path)?
            && root_namespace(directory, group.id)? == root
        {
            authorized.groups.push(group.id);
        }
    }
    for ids in [&mut authorized.projects, &mut authorized.groups] {
        ids.sort_unstable();
        ids.dedup();
    }
    Ok(authorized)
}

fn root_namespace(directory: &dyn Directory, namespace: Id) -> Result<Option<Id>, DirectoryError> {
    Ok(self_and_ancestors(directory, namespace)?.last().map(|root| root.id))
}
