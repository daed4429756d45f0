//! A host that is connected and does not confirm a commit, as one that hangs: the status names it once it owes that for 90 s.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{apply, open, small_directory, user};
use crate::api::request::RequestTime;
use crate::model::time::BootTime;
use crate::primary::replication::host_table::HostClaim;
use crate::primary::requests::admin_status::read_status;
use crate::primary::state::PrimaryState;
use crate::wire::directory::feed_lines::Ack;

/// Lets a host confirm what is published.
fn confirm(state: &PrimaryState, name: &Arc<str>, now: RequestTime) {
    let head = state.store.head();
    let ack = Ack { epoch: head.epoch, seq: head.seq, digest: head.state.digest, max_stale: 3600, instance: "a".to_owned() };
    state.hosts.record_ack(name, ack, true, now).unwrap();
}

async fn overdue(state: &PrimaryState, now: RequestTime, seconds: u64) -> Value {
    let passed = Duration::from_secs(seconds);
    let status = read_status(state, RequestTime { wall: now.wall.plus(passed), boot: BootTime(now.boot.0 + passed) }).await.unwrap();
    json!([status["hosts_following"], status["hosts_overdue"], status["overdue"]])
}

#[tokio::test]
async fn a_host_that_hangs_is_named_in_the_status_until_it_confirms() {
    let folder = tempfile::tempdir().unwrap();
    let state = open(folder.path());
    apply(&state, "", &small_directory()).await;
    let (now, name) = (RequestTime::now(), Arc::from("ssh-1"));
    let _stream = state.hosts.open_stream(&HostClaim { name: Arc::clone(&name), instance: Some((Arc::from("a"), 3600)) }, now).unwrap();
    confirm(&state, &name, now);
    assert_eq!(overdue(&state, now, 3000).await, json!([1, 0, []]), "it has confirmed all that there is");
    apply(&state, "", &[user(3, "eve")]).await;
    assert_eq!(overdue(&state, now, 89).await, json!([1, 0, []]), "it confirmed something a moment ago");
    assert_eq!(overdue(&state, now, 90).await, json!([1, 1, ["ssh-1"]]));
    confirm(&state, &name, now);
    assert_eq!(overdue(&state, now, 90).await, json!([1, 0, []]));
}
