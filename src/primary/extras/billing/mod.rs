//! What the customers' portal provides for namespaces: subscriptions, packs of minutes, reconciliations that are to come. Kept
//! in the private_store and given back as told; nothing here is sold or enforced. (server.md 2.14)

pub mod minute_packs;
pub mod namespace;
pub mod reconciliation;
pub mod seats;
pub mod subscription;
pub mod validated_params;
