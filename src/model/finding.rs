//! A vulnerability that an agent found in a cluster: what identifies it, and what the agent reported about it.

use serde_json::{Map, Value};

/// A reported vulnerability.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VulnerabilityFinding {
    /// The type and value of the first of its identifiers, as `cve` and `CVE-123-4567`.
    pub identifier: (String, String),
    /// Where in the cluster it was found.
    pub location: ClusterLocation,
    /// The vulnerability as it was sent.
    pub vulnerability: Map<String, Value>,
    /// The scanner as it was sent.
    pub scanner: Map<String, Value>,
}

/// Where in a cluster something was found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is the cluster's own term")]
pub struct ClusterLocation {
    pub namespace: String,
    pub kind: String,
    pub name: String,
    pub container: Option<String>,
    /// The package that is vulnerable, if it was named.
    pub package: Option<String>,
}
