//! A namespace's subscription: made once, changed attribute by attribute. (server.md 2.14)
//!
//! ```text
//! subscription/<namespace>   the subscription
//! ```

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::api::error::ApiError;
use crate::model::day::Day;
use crate::model::id::Id;
use crate::model::text::Text;
use crate::model::time::Time;
use crate::primary::extras::billing::validated_params::ValidatedParams;
use crate::store::error::StoreError;
use crate::store::primary::private_store::{PrivateStore, PrivateWrites};

const KEY_PREFIX: &[u8] = b"subscription/";
/// Plans that ask for nothing.
const FREE_PLANS: [&str; 2] = ["free", "default"];

/// A subscription. What may not be `None` is judged by [`Subscription::check`] before it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    start_date: Option<Day>,
    end_date: Option<Day>,
    plan_code: Option<Text>,
    seats: Option<i64>,
    max_seats_used: Option<i64>,
    auto_renew: Option<bool>,
    trial: Option<bool>,
    trial_starts_on: Option<Day>,
    trial_ends_on: Option<Day>,
    trial_extension_type: Option<i64>,
    created_at: Time,
    updated_at: Time,
}

/// Which answer is spelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseKind {
    /// That of a reading, which also says whether guests take seats.
    Read,
    /// That of a writing.
    Write,
}

impl Subscription {
    /// One of which nothing was said yet.
    fn empty(now: Time) -> Self {
        Self {
            start_date: None,
            end_date: None,
            plan_code: None,
            seats: Some(0),
            max_seats_used: Some(0),
            auto_renew: None,
            trial: Some(false),
            trial_starts_on: None,
            trial_ends_on: None,
            trial_extension_type: None,
            created_at: now,
            updated_at: now,
        }
    }

    /// A new one as it was asked for; a trial starts with it unless told otherwise.
    pub fn from_params(declared: &mut ValidatedParams<'_>, now: Time) -> Self {
        let mut subscription = Self::empty(now);
        subscription.apply_params(declared);
        if subscription.trial == Some(true) && subscription.trial_starts_on.is_none() {
            subscription.trial_starts_on = subscription.start_date;
        }
        subscription
    }

    /// Changes what is given, and nothing else.
    pub fn apply_params(&mut self, declared: &mut ValidatedParams<'_>) {
        macro_rules! given {
            ($($name:ident $read:ident),*) => {$(
                if declared.is_given(stringify!($name)) {
                    self.$name = declared.$read(stringify!($name));
                }
            )*};
        }
        if declared.is_given("plan") {
            self.plan_code = declared.text("plan");
        }
        given!(start_date day, end_date day, plan_code text, seats integer, max_seats_used integer, auto_renew boolean);
        given!(trial boolean, trial_starts_on day, trial_ends_on day, trial_extension_type integer);
    }

    /// Judges what a subscription may be.
    fn validate(&self) -> Result<(), ApiError> {
        let mut fields = Map::new();
        let mut wrong = |name: &str, text: &str| fields.insert(name.to_owned(), json!([text]));
        if self.start_date.is_none() {
            wrong("start_date", "can't be blank");
        }
        for (name, seats) in [("seats", self.seats), ("max_seats_used", self.max_seats_used)] {
            match seats {
                None => wrong(name, "can't be blank"),
                Some(count) if count < 0 => wrong(name, "must be greater than or equal to 0"),
                Some(count) if count > i64::from(i32::MAX) => wrong(name, "must be less than or equal to 2147483647"),
                Some(_) => None,
            };
        }
        if self.trial == Some(true) && self.trial_starts_on.is_none() {
            wrong("trial_starts_on", "can't be blank");
        }
        if fields.is_empty() { Ok(()) } else { Err(ApiError::invalid_fields(fields)) }
    }

    /// As it is answered, with so many seats in use.
    #[must_use]
    pub fn to_json(&self, in_use: u64, spelled: ResponseKind) -> Value {
        let in_use = i64::try_from(in_use).unwrap_or(i64::MAX);
        let usage = json!({
            "seats_in_subscription": self.seats,
            "seats_in_use": in_use,
            "max_seats_used": self.max_seats_used,
            "seats_owed": self.seats_owed(in_use),
        });
        let plan = json!({
            "code": self.plan_code,
            "name": self.plan_code,
            "trial": self.trial.unwrap_or(false),
            "auto_renew": self.auto_renew,
            // Nothing is sold here.
            "upgradable": false,
        });
        let billing = json!({
            "subscription_start_date": self.start_date,
            "subscription_end_date": self.end_date,
            "trial_ends_on": self.trial_ends_on,
        });
        add_exclude_guests(json!({"plan": plan, "usage": usage, "billing": billing}), spelled, json!(false))
    }

    /// What is used beyond what was paid for; of a plan that costs nothing, nothing.
    fn seats_owed(&self, in_use: i64) -> i64 {
        let seats = self.seats.unwrap_or(0);
        let paid = self.plan_code.as_deref().is_some_and(|plan| !FREE_PLANS.contains(&plan)) && seats > 0;
        if paid { (in_use.max(self.max_seats_used.unwrap_or(0)) - seats).max(0) } else { 0 }
    }
}

/// The answer where there is none.
#[must_use]
pub fn no_subscription() -> Value {
    let null = Value::Null;
    let answer = json!({
        "plan": {"code": null, "name": null, "trial": null, "auto_renew": null, "upgradable": null},
        "usage": {"seats_in_subscription": null, "seats_in_use": null, "max_seats_used": null, "seats_owed": null},
        "billing": {"subscription_start_date": null, "subscription_end_date": null, "trial_ends_on": null},
    });
    add_exclude_guests(answer, ResponseKind::Read, null)
}

fn add_exclude_guests(mut answer: Value, spelled: ResponseKind, guests: Value) -> Value {
    if let (ResponseKind::Read, Some(plan)) = (spelled, answer.get_mut("plan").and_then(Value::as_object_mut)) {
        plan.insert("exclude_guests".to_owned(), guests);
    }
    answer
}

/// The subscription of a namespace. Blocks.
pub fn load(private_store: &PrivateStore, namespace: Id) -> Result<Option<Subscription>, StoreError> {
    let unread = |error: serde_json::Error| StoreError(format!("a subscription that cannot be read: {error}"));
    private_store.read(&store_key(namespace))?.map(|bytes| serde_json::from_slice(&bytes).map_err(unread)).transpose()
}

/// Keeps a new one, on disk when it returns; a namespace has one. Blocks.
pub fn create(private_store: &PrivateStore, namespace: Id, subscription: &Subscription) -> Result<(), ApiError> {
    subscription.validate()?;
    private_store.update(|private_store| {
        if private_store.read(&store_key(namespace))?.is_some() {
            let taken = json!(["has already been taken"]);
            return Err(ApiError::invalid_fields([("namespace_id".to_owned(), taken)].into_iter().collect()));
        }
        Ok((encode_write(namespace, subscription)?, ()))
    })
}

/// Changes the one that there is, on disk when it returns; when that was always moves on. Blocks.
pub fn update(
    private_store: &PrivateStore,
    namespace: Id,
    now: Time,
    change: impl FnOnce(&mut Subscription) -> Result<(), ApiError>,
) -> Result<Subscription, ApiError> {
    private_store.update(|private_store| {
        let mut subscription = load(private_store, namespace)?.ok_or_else(|| ApiError::not_found("GitlabSubscription"))?;
        let before = subscription.updated_at;
        change(&mut subscription)?;
        subscription.validate()?;
        subscription.updated_at = now.max(before.plus(Duration::from_millis(1)));
        Ok((encode_write(namespace, &subscription)?, subscription))
    })
}

/// How many there are.
pub fn count_subscriptions(private_store: &PrivateStore) -> Result<usize, StoreError> {
    Ok(private_store.scan_prefix(KEY_PREFIX)?.len())
}

fn encode_write(namespace: Id, subscription: &Subscription) -> Result<PrivateWrites, ApiError> {
    Ok(PrivateWrites { entries: vec![(store_key(namespace), Some(serde_json::to_vec(subscription)?))] })
}

fn store_key(namespace: Id) -> Vec<u8> {
    [KEY_PREFIX, &namespace.bytes()].concat()
}
