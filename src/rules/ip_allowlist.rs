//! The addresses from which a group may be used. (server.md 3.1: 9f)

use std::net::IpAddr;

use crate::model::ip_range::IpRange;
use crate::model::record::Namespace;

/// Returns whether `address`, as gitlab-shell saw it, may use what is under `root`. Without a list, or without an address, it may. An
/// address that cannot be parsed is on no list, and an entry that cannot be parsed contains no address.
#[must_use]
pub fn is_ip_allowed(root: Option<&Namespace>, address: Option<&str>) -> bool {
    let (Some(root), Some(address)) = (root, address) else { return true };
    if root.allowed_ips.is_empty() {
        return true;
    }
    let Some(address) = address.trim().parse::<IpAddr>().ok().map(|address| address.to_canonical()) else { return false };
    root.allowed_ips.iter().any(|entry| IpRange::parse(entry).is_some_and(|range| range.contains(address)))
}

#[cfg(test)]
mod tests {
    use super::is_ip_allowed;
    use crate::model::record::{Namespace, Record};

    fn group(ips: &[&str]) -> Namespace {
        let line = serde_json::json!({"kind": "namespace", "id": 1, "type": "group", "path": "g", "name": "g", "allowed_ips": ips});
        match Record::parse(&line.to_string()) {
            Ok(Record::Namespace(namespace)) => namespace,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_address_matches_its_range_only() {
        for (list, address, expected) in [
            (&["150.168.0.1"][..], "150.168.0.1", true),
            (&["150.168.0.1"], "150.168.0.2", false),
            (&["150.168.0.1"], "::ffff:150.168.0.1", true),
            (&["::ffff:150.168.0.0/120"], "150.168.0.1", true),
            (&["10.0.0.0/8", "2001:db8::/32"], "10.255.0.1", true),
            (&["10.0.0.0/8", "2001:db8::/32"], "2001:db8:1::1", true),
            (&["10.0.0.0/8", "2001:db8::/32"], "2001:db9::1", false),
            (&["10.0.0.0/8"], "11.0.0.0", false),
            (&["0.0.0.0/0"], "1.2.3.4", true),
            (&["0.0.0.0/0"], "2001:db8::1", false),
            (&["::/0"], "2001:db8::1", true),
            (&["10.0.0.0/33", "10.0.0.0/-1", "x", "10.0.0.0/"], "10.0.0.0", false),
            (&["10.0.0.1"], "somewhere", false),
            (&["10.0.0.1"], "", false),
            (&[], "somewhere", true),
        ] {
            assert_eq!(is_ip_allowed(Some(&group(list)), Some(address)), expected, "{list:?} {address}");
        }
    }

    #[test]
    fn who_sends_no_address_passes() {
        assert!(is_ip_allowed(Some(&group(&["10.0.0.1"])), None));
        assert!(is_ip_allowed(None, Some("10.0.0.1")));
    }
}
