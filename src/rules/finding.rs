//! Which findings are the same one: a finding keeps its UUID however often it is reported. (server.md 2.13)

use serde_json::json;
use uuid::Uuid;

use crate::model::finding::VulnerabilityFinding;
use crate::model::id::Id;

/// What the UUIDs of findings are made in.
const UUID_NAMESPACE: Uuid = Uuid::from_u128(0x3f1f_0a54_8e0c_4c5b_9d1e_6a0f_52c7_41d8);

/// A finding's UUID: of its project, its first identifier and its place, and of nothing that may be said otherwise the next time.
#[must_use]
pub fn finding_uuid(project: Id, finding: &VulnerabilityFinding) -> Uuid {
    let (location, (kind, value)) = (&finding.location, &finding.identifier);
    let name = json!([
        "cluster_image_scanning",
        project,
        kind.to_ascii_lowercase(),
        value,
        location.namespace,
        location.kind.to_ascii_lowercase(),
        location.name,
        location.container,
        location.package,
    ]);
    Uuid::new_v5(&UUID_NAMESPACE, name.to_string().as_bytes())
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::finding_uuid;
    use crate::model::finding::{ClusterLocation, VulnerabilityFinding};

    fn finding() -> VulnerabilityFinding {
        VulnerabilityFinding {
            identifier: ("cve".to_owned(), "CVE-123-4567".to_owned()),
            location: ClusterLocation {
                namespace: "production".to_owned(),
                kind: "deployment".to_owned(),
                name: "nginx".to_owned(),
                container: Some("nginx".to_owned()),
                package: None,
            },
            vulnerability: Map::new(),
            scanner: Map::new(),
        }
    }

    #[test]
    fn the_same_finding_keeps_its_uuid_and_another_has_another() {
        let (one, two) = ("1".parse().unwrap(), "2".parse().unwrap());
        let own = finding_uuid(one, &finding());
        assert_eq!(own.get_version_num(), 5);
        assert_eq!(own.to_string(), "b2a09e5a-0743-596c-b375-75e1c8df36d7", "what was given out must not change");
        let said_otherwise = VulnerabilityFinding { scanner: [("id".to_owned(), "x".into())].into_iter().collect(), ..finding() };
        assert_eq!(finding_uuid(one, &said_otherwise), own);
        assert_ne!(finding_uuid(two, &finding()), own);
        let mut moved = finding();
        moved.location.container = None;
        assert_ne!(finding_uuid(one, &moved), own);
        let mut other = finding();
        other.identifier.1 = "CVE-123-4568".to_owned();
        assert_ne!(finding_uuid(one, &other), own);
    }
}
