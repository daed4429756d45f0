//! The subscription of a namespace: created once, changed field by field. (server.md 2.14)
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
/// Plans that cost nothing.
const FREE_PLANS: [&str; 2] = ["free", "default"];

/// A subscription. `Subscription::validate` refuses a missing field before it is stored.
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

/// Which request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseKind {
    /// Reading it; the response also says whether guests take seats.
    Read,
    /// Creating or changing it.
    Write,
}

impl Subscription {
    /// Returns a subscription with the default of every field.
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

    /// Returns a new subscription with these parameters; a trial starts with it, unless they say otherwise.
    pub fn from_params(params: &mut ValidatedParams<'_>, now: Time) -> Self {
        let mut subscription = Self::empty(now);
        subscription.apply_params(params);
        if subscription.trial == Some(true) && subscription.trial_starts_on.is_none() {
            subscription.trial_starts_on = subscription.start_date;
        }
        subscription
    }

    /// Changes the fields that are among the parameters, and no others.
    pub fn apply_params(&mut self, params: &mut ValidatedParams<'_>) {
        macro_rules! set_given {
            ($($name:ident $read:ident),*) => {$(
                if params.is_given(stringify!($name)) {
                    self.$name = params.$read(stringify!($name));
                }
            )*};
        }
        if params.is_given("plan") {
            self.plan_code = params.text("plan");
        }
        set_given!(start_date day, end_date day, plan_code text, seats integer, max_seats_used integer, auto_renew boolean);
        set_given!(trial boolean, trial_starts_on day, trial_ends_on day, trial_extension_type integer);
    }

    /// Refuses a subscription that is incomplete or out of bounds.
    fn validate(&self) -> Result<(), ApiError> {
        let mut fields = Map::new();
        let mut invalid = |name: &str, text: &str| fields.insert(name.to_owned(), json!([text]));
        if self.start_date.is_none() {
            invalid("start_date", "can't be blank");
        }
        for (name, seats) in [("seats", self.seats), ("max_seats_used", self.max_seats_used)] {
            match seats {
                None => invalid(name, "can't be blank"),
                Some(count) if count < 0 => invalid(name, "must be greater than or equal to 0"),
                Some(count) if count > i64::from(i32::MAX) => invalid(name, "must be less than or equal to 2147483647"),
                Some(_) => None,
            };
        }
        if self.trial == Some(true) && self.trial_starts_on.is_none() {
            invalid("trial_starts_on", "can't be blank");
        }
        if fields.is_empty() { Ok(()) } else { Err(ApiError::invalid_fields(fields)) }
    }

    /// Returns the subscription as it is answered, with this number of seats in use.
    #[must_use]
    pub fn to_json(&self, in_use: u64, kind: ResponseKind) -> Value {
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
        add_exclude_guests(json!({"plan": plan, "usage": usage, "billing": billing}), kind, json!(false))
    }

    /// Returns how many seats are used beyond those that were paid for; none, if the plan costs nothing.
    fn seats_owed(&self, in_use: i64) -> i64 {
        let seats = self.seats.unwrap_or(0);
        let paid = self.plan_code.as_deref().is_some_and(|plan| !FREE_PLANS.contains(&plan)) && seats > 0;
        if paid { (in_use.max(self.max_seats_used.unwrap_or(0)) - seats).max(0) } else { 0 }
    }
}

/// Returns the answer for a namespace without a subscription.
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

fn add_exclude_guests(mut answer: Value, kind: ResponseKind, guests: Value) -> Value {
    if let (ResponseKind::Read, Some(plan)) = (kind, answer.get_mut("plan").and_then(Value::as_object_mut)) {
        plan.insert("exclude_guests".to_owned(), guests);
    }
    answer
}

/// Returns the subscription of a namespace. Blocks.
pub fn load(private_store: &PrivateStore, namespace: Id) -> Result<Option<Subscription>, StoreError> {
    let invalid = |error: serde_json::Error| StoreError(format!("a subscription that cannot be read: {error}"));
    private_store.read(&store_key(namespace))?.map(|bytes| serde_json::from_slice(&bytes).map_err(invalid)).transpose()
}

/// Stores a new subscription, on disk when it returns; refused if the namespace has one. Blocks.
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

/// Changes a subscription, on disk when it returns; `updated_at` always increases. Blocks.
pub fn update(
    private_store: &PrivateStore,
    namespace: Id,
    now: Time,
    change: impl FnOnce(&mut Subscription) -> Result<(), ApiError>,
) -> Result<Subscription, ApiError> {
    private_store.update(|private_store| {
        let mut subscription = load(private_store, namespace)?.ok_or_else(|| ApiError::not_found("GitlabSubscription"))?;
        let previous_update = subscription.updated_at;
        change(&mut subscription)?;
        subscription.validate()?;
        subscription.updated_at = now.max(previous_update.plus(Duration::from_millis(1)));
        Ok((encode_write(namespace, &subscription)?, subscription))
    })
}

/// Returns how many subscriptions are stored.
pub fn count_subscriptions(private_store: &PrivateStore) -> Result<usize, StoreError> {
    Ok(private_store.scan_prefix(KEY_PREFIX)?.len())
}

fn encode_write(namespace: Id, subscription: &Subscription) -> Result<PrivateWrites, ApiError> {
    Ok(PrivateWrites { entries: vec![(store_key(namespace), Some(serde_json::to_vec(subscription)?))] })
}

fn store_key(namespace: Id) -> Vec<u8> {
    [KEY_PREFIX, &namespace.bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::{Subscription, create, load, update};
    use crate::model::time::Time;
    use crate::primary::extras::billing::validated_params::{ValidatedParams, ValidationErrors};
    use crate::store::generations::generation::StoreOptions;
    use crate::store::primary::primary_store::PrimaryStore;
    use crate::wire::http::params::Params;

    fn subscription(form: &str) -> Subscription {
        let content_type = Some("application/x-www-form-urlencoded");
        let params = Params::parse(None, content_type, form.as_bytes()).unwrap();
        Subscription::from_params(&mut ValidatedParams::new(&params, &mut ValidationErrors::default()), Time::EPOCH)
    }

    #[test]
    fn a_trial_starts_with_its_subscription_unless_the_parameters_say_otherwise() {
        let starts_on = |form: &str| subscription(form).trial_starts_on.map(|day| day.to_string());
        assert_eq!(starts_on("start_date=15 Jul 2020&trial=true").as_deref(), Some("2020-07-15"));
        assert_eq!(starts_on("start_date=2020-07-15&trial=true&trial_starts_on=2020-08-01").as_deref(), Some("2020-08-01"));
        assert_eq!(starts_on("start_date=2020-07-15"), None);
    }

    #[test]
    fn an_update_always_increases_the_time_of_the_update_and_keeps_that_of_the_creation() {
        let folder = tempfile::tempdir().unwrap();
        let store = PrimaryStore::open(folder.path(), StoreOptions { page_cache_bytes: 1 << 20, record_cache_entries: 16 }).unwrap();
        let (private_store, namespace) = (store.private_store(), 10.try_into().unwrap());
        create(private_store, namespace, &subscription("start_date=2020-07-15")).unwrap();
        let first = update(private_store, namespace, Time::EPOCH, |_| Ok(())).unwrap();
        let second = update(private_store, namespace, Time::EPOCH, |_| Ok(())).unwrap();
        assert!(Time::EPOCH < first.updated_at && first.updated_at < second.updated_at);
        assert_eq!(load(private_store, namespace).unwrap().unwrap(), second);
        assert_eq!(second.created_at, Time::EPOCH);
    }
}
