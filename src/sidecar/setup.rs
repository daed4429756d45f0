//! What a sidecar is given: values only; reading files and names is the work of who starts it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use serde_json::Value;

use crate::model::freshness::{Class, Following, Limits};
use crate::model::time::Time;
use crate::net::bounds::Bounds;
use crate::net::client::Client;
use crate::net::scope::Scopes;
use crate::wire::credentials::Gatekeeper;

/// Everything a sidecar works with.
pub struct Setup {
    /// This host's name, as followers call themselves.
    pub host: String,
    /// Whether the base document's shared secret is taken beside the token.
    pub accept_shared_secret: bool,
    /// The bounds of each class of answers.
    pub freshness: Bound,
    /// How long all tries of one question may take together.
    pub timeout: Duration,
    /// How long a write or a request that is passed through may take.
    pub forward_timeout: Duration,
    /// The bounds of the socket.
    pub bounds: Bounds,
    /// Who may ask what.
    pub scopes: Scopes,
    /// Judges what callers show. Shared with who renews its secret.
    pub callers: Arc<Gatekeeper>,
    /// Signs what the primary is asked. Shared likewise.
    pub signer: Arc<Gatekeeper>,
    /// Makes a follower's token, for reports of use.
    pub follower_token: Minted,
    /// The way to the primary.
    pub client: Client,
    /// Who follows.
    pub following: Arc<dyn Following>,
    /// What the operator can do with the follower.
    pub levers: Levers,
}

/// The bounds of each class of answers.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "each is a class of answers")]
pub struct Bound {
    pub keys: Limits,
    pub reads: Limits,
    pub push_precheck: Limits,
}

impl Bound {
    /// The limits of one class.
    #[must_use]
    pub const fn of(&self, class: Class) -> Limits {
        match class {
            Class::Keys => self.keys,
            Class::Reads => self.reads,
            Class::PushPrecheck => self.push_precheck,
        }
    }
}

/// Makes a token that is good from a moment on; `None` if nothing is followed.
pub type Minted = Box<dyn Fn(Time) -> Option<String> + Send + Sync>;

/// What comes later, as a future that any thread may wait for.
pub type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What an operator sees and does of the follower, which is a room beside this one.
pub struct Levers {
    /// What it says of itself.
    pub status: Box<dyn Fn() -> Value + Send + Sync>,
    /// Take a whole snapshot again.
    pub resync: Box<dyn Fn() + Send + Sync>,
    /// Add the store up and compare it with the primary.
    pub verify: Box<dyn Fn() -> Later<Result<Value, String>> + Send + Sync>,
    /// Adds the follower's own metrics.
    pub register: Box<dyn Fn(&mut Registry) + Send + Sync>,
}
