//! Layouts that work: `sidegate check` says that all is well.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::process::Command;

use crate::check::assert_well;
use crate::check::host::{DAEMON_USER, Host, KEY_USER, is_possible};
use crate::support::env::TestEnv;
use crate::support::fake_primary::{FakePrimary, FakeReply};
use crate::support::generated_directory::directory_of_keys;

#[test]
fn a_host_with_an_embedded_primary_is_well_and_so_is_the_primary() {
    if !is_possible() {
        return;
    }
    let host = Host::running();
    let checked = host.check(&[]);
    assert_well("embedded primary", &checked);
    for says in [
        "sidegate.toml: understood",
        "secrets: readable by root alone",
        "sshd: it asks sidegate, as nobody",
        "callers: nobody, which sshd starts the helper as, may ask: keys, shell",
        "look-up: nobody asks and is answered",
        "primary: answers, and takes our token",
        "feed: answers, and takes our token",
        "daemon: it answers at ",
        "daemon: it follows, and no alarm stands",
        "has the owner, group and mode that [socket] of the configuration says, and somebody listens",
        "within 86400 s on one that is cut off",
    ] {
        assert!(checked.findings.iter().any(|finding| finding.what.contains(says)), "{says} is not in\n{}", checked.text);
    }
    assert_well("primary", &host.check_primary(&[]));
    assert_well("offline", &host.check(&["--offline"]));
    assert_eq!((host.check(&["--start"]).code, host.check(&["--start"]).text.as_str()), (Some(0), ""), "nothing to say before a start");
}

#[test]
fn a_host_in_front_of_a_primary_without_a_feed_is_well() {
    if !is_possible() {
        return;
    }
    let mut host = Host::prepared();
    host.env.replace_in_file("sidegate.toml", "feed = \"sidegate\"", "feed = \"none\"");
    fs::remove_file(host.path("sync_secret")).unwrap();
    host.write("primary_sync_secret", "a-sync-secret-of-thirty-two-hexx");
    host.env.replace_in_file("primary.toml", "/sync_secret", "/primary_sync_secret");
    host.env.start_primary();
    host.env.apply(&directory_of_keys(3));
    host.env.start_sidecar();
    let checked = host.check(&[]);
    assert_well("feed none", &checked);
    assert!(!checked.text.contains("feed: "), "nobody is asked for a feed: {}", checked.text);
}

#[test]
fn a_host_whose_socket_systemd_made_is_well() {
    if !is_possible() {
        return;
    }
    let mut host = Host::prepared();
    host.env.start_primary();
    host.env.apply(&directory_of_keys(3));
    let socket = UnixListener::bind(host.path("api.sock")).unwrap();
    host.give("api.sock", KEY_USER);
    host.set_mode("api.sock", 0o600);
    let shown = format!(
        "LoadState=loaded\nActiveState=active\nListen={} (Stream)\nSocketUser={KEY_USER}\nSocketGroup={}\nSocketMode=0600\n",
        host.path("api.sock").display(),
        crate::check::host::group_of(KEY_USER),
    );
    host.write("bin/show-sidegate.socket", &shown);
    host.env.sidecar = Some(host.env.start_daemon_with_socket("serve", "sidegate.toml", OwnedFd::from(socket)));
    host.env.wait_until_fresh();
    assert_well("socket-activated", &host.check(&[]));
    fs::remove_file(host.path("api.sock")).unwrap();
    let checked = host.check(&[]);
    let vanished = checked.findings.iter().find(|finding| finding.what.contains("has vanished")).expect("it is named");
    assert!(vanished.remedy.as_ref().unwrap().contains("systemctl restart sidegate.socket"), "{vanished:?}");
}

#[test]
fn a_check_before_a_start_and_one_offline_ask_nobody() {
    if !is_possible() {
        return;
    }
    let mut host = Host::running();
    host.env.primary.as_mut().unwrap().stop();
    // Whoever asked it would wait for ever, and would be seen.
    let hung = FakePrimary::listen_with_probe(&host.path("hung.sock"), |_| FakeReply::Hang);
    host.env.replace_in_file("sidegate.toml", "/primary.sock", "/hung.sock");
    assert_eq!([host.check(&["--start"]).code, host.check(&["--offline"]).code], [Some(0); 2]);
    assert_eq!(hung.count(), 0, "{:?}", hung.take_requests());
    host.env.sidecar.as_mut().unwrap().kill();
    host.write("sshd_config", "no configuration of sshd");
    assert_eq!(host.check(&["--start"]).code, Some(0), "nothing of that keeps the daemon from starting");
    assert_eq!(host.check(&["--offline"]).code, Some(2));
}

#[test]
fn root_judges_a_daemon_of_another_user_as_that_user_with_the_secrets_that_systemd_hands_over() {
    if !is_possible() {
        return;
    }
    let mut host = Host::prepared();
    host.env.start_primary();
    host.env.apply(&directory_of_keys(3));
    // One secret is the user's own, the other root's and handed over.
    host.give("shell_secret", DAEMON_USER);
    let sync = host.path("sync_secret").display().to_string();
    host.env.replace_in_file("sidegate.toml", &sync, "sync");
    host.install_unit(DAEMON_USER, "", &format!("[Service]\nLoadCredential=sync:{sync}\n"));
    fs::create_dir(host.path("sidecar")).unwrap();
    host.set_mode("sidecar", 0o700);
    host.give("sidecar", DAEMON_USER);
    host.env.replace_in_file("sidegate.toml", "/api.sock", "/own/api.sock");
    host.env.replace_in_file("sidegate.toml", "[auth]\n", "mode = \"0666\"\n[auth]\n");
    host.env.replace_in_file("sidegate.toml", &format!("group = \"{}\"\n", crate::check::host::group_of(KEY_USER)), "");
    host.change_drop_in("/api.sock", "/own/api.sock");
    fs::create_dir(host.path("own")).unwrap();
    host.give("own", DAEMON_USER);
    let daemon = start_as_daemon_user(&host.env);
    wait_until_it_follows(&host);
    let checked = host.check(&[]);
    drop(daemon);
    let problems: Vec<_> = checked.findings.iter().filter(|finding| finding.level != "ok").map(|finding| finding.what.as_str()).collect();
    assert!(checked.code == Some(1) && problems.len() == 1 && problems[0].contains("has mode 0666, as"), "{}", checked.text);
    for says in
        ["judged as daemon, the user of sidegate.service", "secrets: readable by daemon alone", "feed: answers, and takes our token"]
    {
        assert!(checked.text.contains(says), "{says} is not in\n{}", checked.text);
    }
}

/// Waits until the sidecar at the socket in the folder `own` is connected to its feed.
fn wait_until_it_follows(host: &Host) {
    let socket = host.path("own/api.sock").display().to_string();
    host.env.wait_for("the sidecar to follow", || {
        let printed = host.env.run_sidegate(&["status", "--json", "--socket", &socket]).stdout;
        let status: serde_json::Value = serde_json::from_slice(&printed).unwrap_or_default();
        status["follower"]["connected_since"].is_string()
    });
}

/// Starts the sidecar as a user that is not root, as its unit would: with a folder of credentials.
fn start_as_daemon_user(env: &TestEnv) -> crate::support::env::Daemon {
    let credentials = env.path().join("credentials");
    fs::create_dir(&credentials).unwrap();
    fs::copy(env.path().join("sync_secret"), credentials.join("sync")).unwrap();
    fs::set_permissions(credentials.join("sync"), fs::Permissions::from_mode(0o600)).unwrap();
    let user = nix::unistd::User::from_name(DAEMON_USER).unwrap().unwrap();
    std::os::unix::fs::chown(credentials.join("sync"), Some(user.uid.as_raw()), None).unwrap();
    let program = env.path().join("sidegate");
    fs::copy(env!("CARGO_BIN_EXE_sidegate"), &program).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", DAEMON_USER, "--regid", DAEMON_USER, "--init-groups"]).arg(program).arg("serve").arg("--config");
    command.arg(env.path().join("sidegate.toml")).env("CREDENTIALS_DIRECTORY", &credentials);
    env.spawn_daemon(command, "sidegate.toml")
}
