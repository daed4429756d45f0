//! A socket whose file vanishes: made again where the daemon made it, an alarm where systemd did.

use std::fs;
use std::os::unix::net::UnixListener;

use crate::support::env::TestEnv;
use crate::support::generated_directory::{directory_of_keys, key_blob};
use crate::support::http::Request;

#[test]
fn a_socket_whose_file_vanishes_is_made_again_and_status_and_metrics_say_so() {
    let env = TestEnv::running(&directory_of_keys(3));
    let blob = key_blob(1);
    assert!(env.run_helper(&blob).starts_with("command="));
    fs::remove_file(env.sidecar_socket()).unwrap();
    env.wait_for("the sidecar's socket to be made again", || env.sidecar_socket().exists());
    assert!(env.run_helper(&blob).starts_with("command="), "{}", env.logs());
    env.wait_for("it to be counted", || env.status()["sockets"]["remade"] == 1);
    let metrics = Request::get("/-/metrics").send(&env.sidecar_socket()).text();
    assert!(metrics.contains("\nsidegate_sockets_remade_total 1\n") && metrics.contains("\nsidegate_sockets_lost 0\n"), "{metrics}");
    assert!(env.sidecar.as_ref().unwrap().log().contains("was missing, and was made again"), "{}", env.logs());

    fs::remove_file(env.primary_socket()).unwrap();
    env.wait_for("the primary's socket to be made again", || env.primary_socket().exists());
    env.wait_for("it to be counted", || env.primary_status()["sockets"]["remade"] == 1);
}

#[test]
fn a_socket_of_systemd_whose_file_vanishes_is_alarmed_with_what_to_do() {
    let mut env = TestEnv::new();
    env.start_primary();
    let listener = UnixListener::bind(env.sidecar_socket()).unwrap();
    env.sidecar = Some(env.start_daemon_with_socket("serve", "sidegate.toml", listener.into()));
    assert_eq!(env.status()["sockets"]["lost"].as_array().unwrap().len(), 0);
    // Another name of the same socket, so that it can still be asked.
    let kept = env.path().join("kept.sock");
    fs::rename(env.sidecar_socket(), &kept).unwrap();
    let status = || Request::get("/-/admin/status").send(&kept).json();
    env.wait_for("an alarm", || !status()["sockets"]["lost"].as_array().unwrap().is_empty());
    let message = status()["sockets"]["lost"][0]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("api.sock is missing") && message.contains("systemctl restart sidegate.socket"), "{message}");
    assert!(env.sidecar.as_ref().unwrap().log().contains("no client reaches this daemon"), "{}", env.logs());
    let text = env.run_sidegate(&["status", "--socket", kept.to_str().unwrap()]);
    assert!(String::from_utf8_lossy(&text.stdout).contains("ALARM socket_lost since "), "{text:?}");
    fs::rename(&kept, env.sidecar_socket()).unwrap();
    env.wait_for("the end of the alarm", || env.status()["sockets"]["lost"].as_array().unwrap().is_empty());
}
