//! What is refused: before anything was done where it can be seen then, and with what to do.

use crate::setup::host::{DROP_IN, EMBEDDED, Host, SIDECAR};

fn refused(host: &Host, words: &[&str], says: &str) {
    let before = host.tree();
    let said = host.setup_ends(words, 1);
    assert!(said.err.contains(says), "{words:?}: {says}: {}", said.err);
    assert_eq!(host.tree(), before, "{words:?}");
}

#[test]
fn without_a_terminal_each_missing_answer_names_its_flag() {
    let Some(host) = Host::new() else { return };
    let gitlab = ["--primary", "gitlab", "--without-sshd", "--gitlab-url", "https://gitlab.example.com"];
    for (words, says) in [
        (&[][..], "Say it with --primary embedded|gitlab|mirror;"),
        (&EMBEDDED[..2], "Say it with --sshd-user NAME;"),
        (&EMBEDDED[..4], "Say it with --shell PATH;"),
        (&EMBEDDED[..6], "Do this? Say --yes;"),
        (&gitlab[..3], "Say it with --gitlab-url URL;"),
        (&gitlab, "Say it with --shell-secret-file FILE;"),
    ] {
        refused(&host, words, says);
    }
}

#[test]
fn wrong_flags_are_refused() {
    let Some(host) = Host::new() else { return };
    host.write("root/some", "a-secret\n");
    let some = host.path("root/some").display().to_string();
    refused(
        &host,
        &[&EMBEDDED[..], &["--feed-url", "https://x"]].concat(),
        "--feed-url means nothing with --primary embedded on this host",
    );
    refused(&host, &[&EMBEDDED[..], &["--ca-file", "/x"]].concat(), "--ca-file means nothing");
    refused(
        &host,
        &[&EMBEDDED[..], &["--primary-url", "ftp://x", "--shell-secret-file", &some, "--sync-secret-file", &some]].concat(),
        "makes no configuration",
    );
    let user = |name: &'static str| EMBEDDED.map(|word| if word == "git" { name } else { word });
    refused(&host, &user("git,root"), "--sshd-user git,root: ");
    host.write("etc/passwd", &(host.read("etc/passwd") + "toor:x:0:0::/root:/bin/sh\n"));
    for (name, why) in [
        ("root", "this is root (uid 0)"),
        ("toor", "this is root (uid 0)"),
        ("sidegate-keys", "this is a user of sidegate's own programs"),
        ("sidegate-mirror", "this is a user of sidegate's own programs"),
    ] {
        refused(&host, &user(name), &format!("--sshd-user {name}: {why}, and sshd asks sidegate alone"));
    }
    let shell = |path: &'static str| EMBEDDED.map(|word| if word.starts_with("/srv") { path } else { word });
    refused(&host, &shell("/srv/a b"), "--shell /srv/a b: ");
    host.write("root/server.pem", "-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\nQUJD\n");
    host.write("root/secret", "a-secret\n");
    let [server, secret] = ["root/server.pem", "root/secret"].map(|path| host.path(path).display().to_string());
    let gitlab = ["--primary", "gitlab", "--gitlab-url", "https://x", "--without-sshd", "--yes", "--shell-secret-file", &secret];
    refused(&host, &[&gitlab[..], &["--ca-file", &server]].concat(), "server.pem: line 4 begins a PRIVATE KEY");
    refused(&host, &[&gitlab[..], &["--ca-file", &secret]].concat(), "secret: it has no certificate in PEM");
    let missing = ["--primary", "gitlab", "--gitlab-url", "https://x", "--shell-secret-file", "/nonexistent/s", "--without-sshd", "--yes"];
    refused(&host, &missing, "/nonexistent/s: there is no such file");
}

#[test]
fn the_account_of_the_operator_is_refused() {
    let Some(host) = Host::new() else { return };
    let before = host.tree();
    let said = host.setup_with(&EMBEDDED.map(|word| if word == "git" { "zoe" } else { word }), &[("SUDO_USER", "zoe")]);
    assert!(said.code == Some(1) && said.err.contains("--sshd-user zoe: this is your own account"), "{}", said.err);
    assert_eq!(host.tree(), before);
}

#[test]
fn the_plan_says_that_the_keys_of_a_user_stop_counting() {
    let Some(host) = Host::new() else { return };
    host.write("etc/passwd", &(host.read("etc/passwd") + "git:x:970:970::/srv/git:/bin/sh\n"));
    let says = "; the keys in /srv/git/.ssh/authorized_keys stop counting";
    for (keys, counts) in [("", false), ("ssh-ed25519 AAAA zoe\n", true)] {
        host.write("srv/git/.ssh/authorized_keys", keys);
        let said = host.setup_ends(&[&EMBEDDED[..6], &["--dry-run"]].concat(), 0);
        assert_eq!(said.out.contains(says), counts, "{}", said.out);
    }
}

#[test]
fn what_another_wrote_is_not_replaced() {
    let Some(host) = Host::new() else { return };
    host.write("etc/sidegate/sidegate.toml", "host = \"mine\"\n");
    refused(&host, &EMBEDDED, "etc/sidegate/sidegate.toml: it is there already, and not as setup would write it; move it away");
    std::fs::remove_file(host.path("etc/sidegate/sidegate.toml")).unwrap();
    host.write("etc/sidegate/shell_secret", "another-secret\n");
    refused(&host, &EMBEDDED, "etc/sidegate/shell_secret: another may read it, or its user may not");
    std::fs::remove_file(host.path("etc/sidegate/shell_secret")).unwrap();
    host.link("/etc/shadow", "etc/sidegate/shell_secret");
    refused(&host, &EMBEDDED, "etc/sidegate/shell_secret: this is a symlink");
    std::fs::remove_file(host.path("etc/sidegate/shell_secret")).unwrap();
    host.write("srv/gitlab-shell/.gitlab_shell_secret", "one-secret\n");
    std::fs::set_permissions(host.path("srv/gitlab-shell/.gitlab_shell_secret"), std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .unwrap();
    host.write("root/secret", "another-secret\n");
    let secret = host.path("root/secret").display().to_string();
    host.write("etc/passwd", &(host.read("etc/passwd") + "git:x:970:970::/srv/git:/bin/sh\n"));
    std::os::unix::fs::chown(host.path("srv/gitlab-shell/.gitlab_shell_secret"), Some(970), Some(970)).unwrap();
    refused(
        &host,
        &[&EMBEDDED[..], &["--shell-secret-file", &secret]].concat(),
        ".gitlab_shell_secret: it is another secret than the one to be written",
    );
    std::fs::remove_file(host.path("srv/gitlab-shell/.gitlab_shell_secret")).unwrap();
    host.setup_ends(&EMBEDDED, 0);
    let gitlab = ["--primary", "gitlab", "--gitlab-url", "https://x", "--shell-secret-file", &secret, "--without-sshd", "--yes"];
    refused(&host, &gitlab, "this host is set up with --primary embedded, not gitlab; run `sidegate setup --remove` first");
}

#[test]
fn without_the_package_it_says_so() {
    let Some(host) = Host::new() else { return };
    std::fs::remove_file(host.path("usr/share/sidegate/50-sidegate.conf")).unwrap();
    refused(&host, &EMBEDDED, "usr/share/sidegate/50-sidegate.conf: it is not there; install sidegate's package first");
}

#[test]
fn what_sshd_refuses_already_is_said_before_the_first_step() {
    let Some(host) = Host::new() else { return };
    host.write("etc/ssh/sshd_config.d/90-wrong.conf", "NoSuchWord yes\n");
    refused(&host, &[&EMBEDDED[..], &["--no-chain"]].concat(), "sshd does not accept ");
}

#[test]
fn a_copy_whose_source_is_missing_is_refused_before_the_first_step() {
    let Some(host) = Host::new() else { return };
    host.write("etc/sidegate/sync_secret", "a-sync-secret-of-thirty-two-hexx\n");
    let path = host.path("etc/sidegate/sync_secret");
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    std::os::unix::fs::chown(&path, Some(SIDECAR), Some(SIDECAR)).unwrap();
    let says = "sync_secret: it is there, and /etc/sidegate/primary/sync_secret, of which it is to be a copy, is not";
    refused(&host, &EMBEDDED, says);
}

#[test]
fn where_sshd_never_ran_its_folder_is_made() {
    let Some(host) = Host::new() else { return };
    let script = "mount --bind \"$1\" /mnt && mount -t tmpfs none /run && mkdir -p \"$1\" && mount --bind /mnt \"$1\" || exit 77
        \"$0\" setup --root \"$@\" >/dev/null && stat -c '%a %u' /run/sshd";
    let root = host.path("");
    let output = std::process::Command::new("unshare")
        .args(["--mount", "sh", "-c", script, env!("CARGO_BIN_EXE_sidegate")])
        .arg(root.display().to_string().trim_end_matches('/'))
        .args(EMBEDDED)
        .output();
    let Some(output) = output.ok().filter(|output| output.status.code() != Some(77)) else {
        eprintln!("SKIPPED: an sshd that never ran (it needs namespaces of mounts)");
        return;
    };
    assert_eq!(String::from_utf8_lossy(&output.stdout), "755 0\n", "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_drop_in_that_sshd_does_not_use_is_taken_back_and_a_second_run_goes_on() {
    let Some(host) = Host::new() else { return };
    let main = host.read("etc/ssh/sshd_config");
    host.write("etc/ssh/sshd_config", &main.replace("Include", "#Include"));
    let said = host.setup_ends(&[&EMBEDDED[..], &["--no-chain"]].concat(), 1);
    let says = "sshd_config does not include it: write `Include /etc/ssh/sshd_config.d/*.conf` as its first line";
    assert!(said.err.contains(says) && said.err.contains("run setup again to go on"), "{}", said.err);
    assert!(!host.path(DROP_IN).exists() && !host.read("etc/sidegate/setup.json").contains("drop_in"), "{}", said.err);
    host.write("etc/ssh/sshd_config", &main);
    let said = host.setup_ends(&EMBEDDED, 0);
    assert_eq!(said.out.lines().filter(|line| line.starts_with("done: ")).count(), 1, "only what is left: {}", said.out);
    assert!(host.sshd_says("authorizedkeyscommand").contains("sidegate"));
}
