//! What the customers' portal sets for namespaces: subscriptions, packs of minutes, upcoming reconciliations. They are stored in the private
//! store and returned as they were sent; nothing here is sold or enforced. (server.md 2.14)

pub mod minute_packs;
pub mod namespace;
pub mod reconciliation;
pub mod seats;
pub mod subscription;
pub mod validated_params;
