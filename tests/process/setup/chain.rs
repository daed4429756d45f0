//! Another command that sshd asked before: it is found, offered, and asked on for keys that sidegate does not know; by real logins.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::setup::host::{DROP_IN, EMBEDDED, Host};
use crate::support::env::TestEnv;
use crate::support::generated_directory::{directory_of_keys, key_line};
use crate::support::sshd::{KeyPair, Sshd, forced_command};

const OTHER: &str = "etc/ssh/sshd_config.d/10-other.conf";
const EARLY: &str = "etc/ssh/sshd_config.d/00-sidegate.conf";

#[test]
fn the_command_that_sshd_asks_is_offered_and_goes_on_behind_sidegate() {
    let Some(host) = Host::new() else { return };
    host.write_program("bin/cat");
    host.write(OTHER, "AuthorizedKeysCommand /bin/cat \"a b\" %u\nAuthorizedKeysCommandUser nobody\n");
    let before = host.tree();
    let said = host.setup_ends(&EMBEDDED, 1);
    let place = format!("({}:1)", host.path(OTHER).display());
    assert!(said.err.contains("sshd asks `/bin/cat \"a b\" %u`") && said.err.contains(&place), "{}", said.err);
    assert!(said.err.contains("Say --chain '/bin/cat \"a b\" %u' or --no-chain;"), "{}", said.err);
    assert_eq!(host.tree(), before);
    let chained = [&EMBEDDED[..], &["--chain", "/bin/cat \"a b\" %u"]].concat();
    host.setup_ends(&chained, 0);
    let asked = host.sshd_says("authorizedkeyscommand");
    assert!(asked.ends_with(" git %u %k --chain /bin/cat \"a b\" %u"), "{asked}");
    assert!(host.path(EARLY).exists() && !host.path(DROP_IN).exists(), "sshd takes the first, and the other one is read early");
    let said = host.setup_ends(&EMBEDDED, 0);
    assert!(said.out.contains("Nothing to do") && host.sshd_says("authorizedkeyscommand") == asked, "{}", said.out);
    host.setup_ends(&["--remove", "--yes"], 0);
    assert_eq!((host.tree(), host.sshd_says("authorizedkeyscommand").as_str()), (before, "/bin/cat \"a b\" %u"));
}

#[test]
fn a_chain_that_cannot_be_asked_is_refused() {
    let Some(host) = Host::new() else { return };
    host.write_program("bin/cat");
    for (chain, says) in [
        ("", "a command was expected"),
        ("keys %u", "the full path of a program was expected"),
        ("/nonexistent/keys %u", "there is no such program on this host"),
        ("/usr/lib/sidegate/sidegate-authorized-keys git %u %k", "this is sidegate's helper itself"),
        ("/bin/cat %x", "sshd would end every connection of the Git user at `%x`; sshd takes %f,"),
        ("/bin/cat 50%", "at `%`;"),
        ("/bin/cat\nPermitRootLogin yes", "a command of one line was expected"),
    ] {
        let said = host.setup_ends(&[&EMBEDDED[..], &["--chain", chain]].concat(), 1);
        assert!(said.err.contains("--chain: `") && said.err.contains(says), "{chain}: {}", said.err);
    }
}

#[test]
fn a_chain_that_the_user_of_the_helper_may_not_reach_is_refused() {
    let Some(host) = Host::new() else { return };
    host.write_program("opt/closed/keys");
    fs::set_permissions(host.path("opt/closed"), fs::Permissions::from_mode(0o700)).unwrap();
    let words = [&EMBEDDED[..], &["--chain", "/opt/closed/keys %u"]].concat();
    let said = host.setup_ends(&words, 1);
    let part = host.path("opt/closed").display().to_string();
    assert!(said.err.contains(&format!("sidegate-keys, as which the helper runs it, may not enter or run {part};")), "{}", said.err);
    fs::set_permissions(host.path("opt/closed"), fs::Permissions::from_mode(0o755)).unwrap();
    host.setup_ends(&words, 0);
}

#[test]
fn a_command_of_an_earlier_match_is_named_with_what_to_do_and_the_chain_is_kept() {
    let Some(host) = Host::new() else { return };
    host.write_program("bin/cat");
    let match_all = "Match User *\n    AuthorizedKeysCommand /bin/cat %u\n    AuthorizedKeysCommandUser nobody\n";
    host.write("etc/ssh/sshd_config.d/00-a.conf", match_all);
    let said = host.setup_ends(&[&EMBEDDED[..], &["--chain", "/bin/cat %u"]].concat(), 1);
    let place = format!("`/bin/cat %u` comes before it ({}:2): ", host.path("etc/ssh/sshd_config.d/00-a.conf").display());
    let what = format!("{place}exclude git from that Match, or name our file /{EARLY} so that it is read before it, and set up again");
    assert!(said.err.contains(&format!("{what} with --chain '/bin/cat %u'")), "{}", said.err);
    host.write("etc/ssh/sshd_config.d/00-a.conf", &match_all.replace("User *", "User *,!git"));
    host.setup_ends(&[&EMBEDDED[..], &["--chain", "/bin/cat %u"]].concat(), 0);
    assert!(host.sshd_says("authorizedkeyscommand").ends_with(" git %u %k --chain /bin/cat %u"));
}

/// Lines for a real sshd: the drop-in that setup wrote, with the paths of the test's daemon, for everybody who logs in.
fn as_of_this_test(host: &Host, env: &TestEnv, file: &str) -> String {
    let helper = format!("{} --socket {}", env.helper_path().display(), env.sidecar_socket().display());
    let text = host.read(file).replace("/usr/lib/sidegate/sidegate-authorized-keys", &helper);
    text.replace("Match User git\n", "")
        .replace(" git %u %k", " root %u %k")
        .replace("AuthorizedKeysCommandUser sidegate-keys", "AuthorizedKeysCommandUser root")
}

#[test]
fn keys_of_both_log_in_and_a_stopped_sidegate_lets_in_neither() {
    let Some(host) = Host::new() else { return };
    let mut env = TestEnv::running(&directory_of_keys(3));
    let [ours, theirs, nobodys] = ["ours", "theirs", "nobodys"].map(|name| KeyPair::generate(&env, name, "ed25519"));
    env.apply(&key_line(777, 1, &ours.public_line));
    env.wait_until_fresh();
    let keys = env.write("keys", &format!("#!/bin/sh\n[ \"$1\" = root ] && echo 'command=\"echo theirs\" {}'\n", theirs.public_line));
    fs::set_permissions(&keys, fs::Permissions::from_mode(0o755)).unwrap();
    host.write_program(&keys.display().to_string()[1..]);
    let shell = forced_command(&env, "echo \"forced: $1\"").display().to_string();
    let chain = format!("{} %u", keys.display());
    host.setup_ends(&["--primary", "embedded", "--sshd-user", "git", "--shell", &shell, "--chain", &chain, "--yes"], 0);
    let Some(sshd) = Sshd::start_with(&env, "sshd", &as_of_this_test(&host, &env, DROP_IN)) else { return };
    assert_eq!(sshd.login(&[&ours]).as_deref(), Some("forced: key-777"), "{}", sshd.log());
    assert_eq!(sshd.login(&[&theirs]).as_deref(), Some("theirs"), "{}", sshd.log());
    assert_eq!(sshd.login(&[&nobodys]), None);
    assert!(env.sidecar.as_mut().unwrap().stop().success());
    assert_eq!((sshd.login(&[&ours]), sshd.login(&[&theirs])), (None, None), "an outage is no reason to ask another");
}
