//! The endpoints for KAS, the agents' server, on the wire. (server.md 2.13)

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::model::id::Id;
use crate::model::record::{Agent, Project, Storage};
use crate::model::unpublished::{PolicyConfiguration, ScanExecutionPolicy};
use crate::wire::gitaly::GitalyServer;
use crate::wire::http::params::Params;
use crate::wire::http::validation::{ValidationError, Validator};

/// The known counters; others that are sent are ignored.
pub const COUNTERS: [&str; 6] = [
    "gitops_sync",
    "k8s_api_proxy_request",
    "flux_git_push_notifications_total",
    "k8s_api_proxy_requests_via_ci_access",
    "k8s_api_proxy_requests_via_user_access",
    "k8s_api_proxy_requests_via_pat_access",
];
/// The known counters that are sets of ids, each counted once.
pub const UNIQUE_COUNTERS: [&str; 8] = [
    "agent_users_using_ci_tunnel",
    "k8s_api_proxy_requests_unique_users_via_ci_access",
    "k8s_api_proxy_requests_unique_agents_via_ci_access",
    "k8s_api_proxy_requests_unique_users_via_user_access",
    "k8s_api_proxy_requests_unique_agents_via_user_access",
    "k8s_api_proxy_requests_unique_users_via_pat_access",
    "k8s_api_proxy_requests_unique_agents_via_pat_access",
    "flux_git_push_notified_unique_projects",
];
/// The names of counters before they were nested.
const LEGACY_COUNTERS: [(&str, &str); 2] = [("gitops_sync_count", "gitops_sync"), ("k8s_api_proxy_request_count", "k8s_api_proxy_request")];
/// The most projects, and the most groups, that a configuration may name for one kind of access.
pub const MAX_AUTHORIZED_PATHS: usize = 100;

/// The increments of the counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageMetrics {
    /// By how much each counter grows.
    pub counts: BTreeMap<&'static str, u64>,
    /// The ids in each set.
    pub unique: BTreeMap<&'static str, BTreeSet<Id>>,
}

/// Why a report of usage is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsageMetricsError {
    /// A parameter has the wrong form.
    #[error(transparent)]
    Invalid(#[from] ValidationError),
    /// A counter is negative.
    #[error("{0} count must be greater than or equal to zero")]
    NegativeCount(&'static str),
}

/// Reads usage metrics, nested or in the older form.
pub fn parse_usage_metrics(params: &Params) -> Result<UsageMetrics, UsageMetricsError> {
    let mut validator = Validator::default();
    let mut numbers = Vec::new();
    for (flat, name) in LEGACY_COUNTERS {
        if params.contains(flat) && params.contains("counters") {
            validator.add_mutually_exclusive("counters", flat);
        }
        numbers.push((name, validator.optional(flat, params.integer(flat))));
    }
    if let Some(counters) = validator.optional("counters", params.object("counters")) {
        for name in COUNTERS {
            numbers.push((name, validator.optional(&format!("counters[{name}]"), counters.integer(name))));
        }
    }
    let mut usage = UsageMetrics::default();
    if let Some(counters) = validator.optional("unique_counters", params.object("unique_counters")) {
        for name in UNIQUE_COUNTERS {
            let members = validator.optional(&format!("unique_counters[{name}]"), counters.integers(name)).unwrap_or_default();
            let ids = members.into_iter().filter_map(|number| u64::try_from(number).ok().and_then(|number| Id::try_from(number).ok()));
            usage.unique.entry(name).or_default().extend(ids);
        }
    }
    validator.finish(Some(()))?;
    for (name, number) in numbers {
        let number = number.unwrap_or_default();
        *usage.counts.entry(name).or_default() += u64::try_from(number).map_err(|_| UsageMetricsError::NegativeCount(name))?;
    }
    usage.counts.retain(|_, count| *count > 0);
    usage.unique.retain(|_, members| !members.is_empty());
    Ok(usage)
}

/// An agent's configuration as KAS read it from the agent's project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentConfiguration {
    /// The agent's id.
    pub agent_id: i64,
    /// The whole configuration.
    pub config: Map<String, Value>,
    /// The projects and groups whose pipelines may use the agent.
    pub ci_access: AuthorizedPaths,
    /// The projects and groups whose members may use the agent.
    pub user_access: AuthorizedPaths,
}

/// Paths of projects and of groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each name says it")]
pub struct AuthorizedPaths {
    pub projects: Vec<String>,
    pub groups: Vec<String>,
}

/// Reads a configuration; it may be an object, or text that holds one.
pub fn parse_agent_configuration(params: &Params) -> Result<AgentConfiguration, ValidationError> {
    let mut validator = Validator::default();
    let agent = validator.required("agent_id", params.integer("agent_id"));
    let config = match params.values.get("agent_config") {
        None | Some(Value::Null) => {
            validator.add_missing("agent_config");
            None
        }
        Some(Value::Object(config)) => Some(config.clone()),
        Some(other) => {
            let config = other.as_str().and_then(|text| serde_json::from_str(text).ok());
            if config.is_none() {
                validator.add_invalid("agent_config");
            }
            config
        }
    };
    let config = config.map(|config| {
        let values = Params { values: config };
        let [ci_access, user_access] = ["ci_access", "user_access"].map(|name| parse_authorized_paths(&mut validator, &values, name));
        (values.values, ci_access, user_access)
    });
    let configuration = agent.zip(config).map(|(agent, (config, ci_access, user_access))| AgentConfiguration {
        agent_id: agent,
        config,
        ci_access,
        user_access,
    });
    validator.finish(configuration)
}

fn parse_authorized_paths(validator: &mut Validator, config: &Params, access: &str) -> AuthorizedPaths {
    let outer = format!("agent_config[{access}]");
    let Some(values) = validator.optional(&outer, config.object(access)) else { return AuthorizedPaths::default() };
    let [projects, groups] = ["projects", "groups"].map(|name| {
        let outer = format!("{outer}[{name}]");
        let listed = validator.optional(&outer, values.objects(name)).unwrap_or_default();
        let ids = listed.iter().take(MAX_AUTHORIZED_PATHS).map(|one| validator.required(&format!("{outer}[id]"), one.text("id")));
        ids.collect::<Vec<_>>().into_iter().flatten().collect()
    });
    AuthorizedPaths { projects, groups }
}

/// Returns the body of `agent_info`.
#[must_use]
pub fn encode_agent_info(agent: &Agent, project: &Project, storage: &Storage) -> String {
    let mut body = json!({"project_id": project.id, "agent_id": agent.id, "agent_name": agent.name});
    if let (Value::Object(body), Value::Object(gitaly)) = (&mut body, gitaly_fields(project, storage)) {
        body.extend(gitaly);
    }
    body.to_string()
}

/// Returns the body of `project_info`.
#[must_use]
pub fn encode_project_info(project: &Project, storage: &Storage) -> String {
    let mut body = json!({"project_id": project.id});
    if let (Value::Object(body), Value::Object(gitaly)) = (&mut body, gitaly_fields(project, storage)) {
        body.extend(gitaly);
    }
    body.to_string()
}

fn gitaly_fields(project: &Project, storage: &Storage) -> Value {
    json!({
        "gitaly_info": GitalyServer::of_storage(Some(storage)),
        "gitaly_repository": {
            "storage_name": project.storage,
            "relative_path": project.relative_path,
            "gl_repository": format!("project-{}", project.id),
            "gl_project_path": project.path,
        },
        "default_branch": project.default_branch,
    })
}

/// Returns the body of `scan_execution_policies`.
#[must_use]
pub fn encode_scan_execution_policies(policies: &[ScanExecutionPolicy]) -> String {
    let one = |policy: &ScanExecutionPolicy| {
        json!({
            "name": policy.name,
            "description": policy.description,
            "enabled": policy.enabled,
            "yaml": policy.yaml,
            "updated_at": policy.updated_at,
        })
    };
    json!({"policies": policies.iter().map(one).collect::<Vec<_>>()}).to_string()
}

/// Returns the body of `policies_configuration`.
#[must_use]
pub fn encode_policy_configurations(configurations: &[PolicyConfiguration]) -> String {
    let one = |of: &PolicyConfiguration| json!({"cadence": of.cadence, "namespaces": of.namespaces, "updated_at": of.updated_at});
    json!({"configurations": configurations.iter().map(one).collect::<Vec<_>>()}).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{MAX_AUTHORIZED_PATHS, parse_agent_configuration, parse_usage_metrics};
    use crate::wire::http::params::Params;

    fn to_params(values: &Value) -> Params {
        Params { values: values.as_object().cloned().unwrap_or_default() }
    }

    #[test]
    fn usage_is_read_nested_and_in_the_older_form() {
        let users = |members: Value| json!({"unique_counters": {"agent_users_using_ci_tunnel": members}});
        for (sent, counts, members) in [
            (
                json!({"gitops_sync_count": 2, "k8s_api_proxy_request_count": "3"}),
                vec![("gitops_sync", 2), ("k8s_api_proxy_request", 3)],
                0,
            ),
            (json!({"counters": {"gitops_sync": 2, "other": "x"}}), vec![("gitops_sync", 2)], 0),
            (json!({"counters": {"flux_git_push_notifications_total": 1}}), vec![("flux_git_push_notifications_total", 1)], 0),
            (json!({"counters": {"gitops_sync": 0}, "unique_counters": {"agent_users_using_ci_tunnel": []}}), vec![], 0),
            (users(json!([1, 2, "2", 2, 0, -1])), vec![], 2),
            (json!({}), vec![], 0),
        ] {
            let usage = parse_usage_metrics(&to_params(&sent)).unwrap();
            assert_eq!(usage.counts.into_iter().collect::<Vec<_>>(), counts, "{sent}");
            assert_eq!(usage.unique.values().map(|members| members.len()).sum::<usize>(), members, "{sent}");
        }
    }

    #[test]
    fn each_error_is_worded_as_kas_expects_it() {
        for (sent, expected) in [
            (json!({"gitops_sync_count": "x"}), "gitops_sync_count is invalid"),
            (json!({"counters": {"k8s_api_proxy_request": "x"}}), "counters[k8s_api_proxy_request] is invalid"),
            (json!({"counters": 1}), "counters is invalid"),
            (json!({"unique_counters": {"agent_users_using_ci_tunnel": 1}}), "unique_counters[agent_users_using_ci_tunnel] is invalid"),
            (json!({"counters": {}, "gitops_sync_count": 1}), "counters, gitops_sync_count are mutually exclusive"),
            (
                json!({"counters": {"gitops_sync": "x"}, "gitops_sync_count": 1, "k8s_api_proxy_request_count": 1}),
                "counters, gitops_sync_count are mutually exclusive, counters, k8s_api_proxy_request_count are mutually exclusive, \
                 counters[gitops_sync] is invalid",
            ),
            (json!({"counters": {"gitops_sync": -1}}), "gitops_sync count must be greater than or equal to zero"),
        ] {
            assert_eq!(parse_usage_metrics(&to_params(&sent)).unwrap_err().to_string(), expected, "{sent}");
        }
    }

    #[test]
    fn a_configuration_is_an_object_or_its_text_and_lists_authorized_paths() {
        let config = json!({"ci_access": {"projects": [{"id": "a/b"}, {"id": "c/d"}], "groups": [{"id": "g"}]}, "gitops": {}});
        for sent in [json!({"agent_id": 7, "agent_config": config}), json!({"agent_id": "7", "agent_config": config.to_string()})] {
            let read = parse_agent_configuration(&to_params(&sent)).unwrap();
            assert_eq!((read.agent_id, read.ci_access.projects.len(), read.ci_access.groups.len()), (7, 2, 1));
            assert_eq!(Value::Object(read.config), config);
            assert_eq!(read.user_access, super::AuthorizedPaths::default());
        }
        let many: Vec<_> = (0..=MAX_AUTHORIZED_PATHS).map(|number| json!({"id": format!("a/{number}")})).collect();
        let read =
            parse_agent_configuration(&to_params(&json!({"agent_id": 7, "agent_config": {"user_access": {"projects": many}}}))).unwrap();
        assert_eq!(read.user_access.projects.len(), MAX_AUTHORIZED_PATHS);
        for (sent, expected) in [
            (json!({}), "agent_id is missing, agent_config is missing"),
            (json!({"agent_id": "x", "agent_config": "{"}), "agent_id is invalid, agent_config is invalid"),
            (json!({"agent_id": 1, "agent_config": {"ci_access": 1}}), "agent_config[ci_access] is invalid"),
            (json!({"agent_id": 1, "agent_config": {"ci_access": {"groups": [{}]}}}), "agent_config[ci_access][groups][id] is missing"),
        ] {
            assert_eq!(parse_agent_configuration(&to_params(&sent)).unwrap_err().to_string(), expected, "{sent}");
        }
    }
}
