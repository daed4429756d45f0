//! How a client reaches the Gitaly server of a storage: what the answers of `allowed` and of the KAS endpoints say alike. (server.md 2.1, 2.13)

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::record::Storage;

/// The address, token and feature flags of a Gitaly server.
#[derive(Serialize)]
pub struct GitalyServer<'a> {
    address: &'a str,
    /// `null` where the storage has none.
    token: Option<&'a str>,
    features: BTreeMap<String, &'static str>,
}

impl<'a> GitalyServer<'a> {
    /// Returns the server of a storage; empty fields if the storage does not exist.
    #[must_use]
    pub fn of_storage(storage: Option<&'a Storage>) -> Self {
        Self {
            address: storage.map_or("", |storage| storage.address.as_str()),
            token: storage.map(|storage| storage.token.as_str()).filter(|token| !token.is_empty()),
            features: storage.map(feature_flags).unwrap_or_default(),
        }
    }
}

/// Returns the feature flags under the names that Gitaly reads: with their prefix, and dashes for underscores. Values are text.
fn feature_flags(storage: &Storage) -> BTreeMap<String, &'static str> {
    let prefixed = |name: &str| match name.starts_with("gitaly-feature-") {
        true => name.to_owned(),
        false => format!("gitaly-feature-{}", name.replace('_', "-")),
    };
    storage.features.iter().map(|(name, on)| (prefixed(name), if *on { "true" } else { "false" })).collect()
}
