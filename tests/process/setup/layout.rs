//! What a host looks like afterwards: the layout of docs/install.md, whichever primary; the same after a second run; and nothing after a dry
//! run.

use crate::setup::host::{DROP_IN, EMBEDDED, Host, PRIMARY, SIDECAR};

const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n";
const SECRET: &str = "a-shell-secret-of-thirty-two-hex\n";

#[test]
fn with_a_primary_on_the_host_it_is_the_layout_of_the_guide() {
    let Some(host) = Host::new() else { return };
    host.write("srv/gitlab-shell/bin/gitlab-shell", "#!/bin/sh\n");
    let said = host.setup_ends(&EMBEDDED, 0);
    let secret = host.read("etc/sidegate/primary/shell_secret");
    assert_eq!((secret.len(), secret.trim().len()), (33, 32), "as `head -c 24 /dev/urandom | base64`");
    assert_ne!(host.read("etc/sidegate/primary/sync_secret"), secret);
    for (path, owner, mode) in [
        ("etc/sidegate/primary", PRIMARY, 0o700),
        ("etc/sidegate/primary/shell_secret", PRIMARY, 0o600),
        ("etc/sidegate/primary/sync_secret", PRIMARY, 0o600),
        ("etc/sidegate/primary.toml", 0, 0o644),
        ("etc/sidegate/shell_secret", SIDECAR, 0o600),
        ("etc/sidegate/sync_secret", SIDECAR, 0o600),
        ("etc/sidegate/sidegate.toml", 0, 0o644),
        ("etc/sidegate/setup.json", 0, 0o600),
        (DROP_IN, 0, 0o644),
    ] {
        assert_eq!(host.owner_and_mode(path), (owner, mode), "{path}");
    }
    for name in ["shell_secret", "sync_secret"] {
        assert_eq!(host.read(&format!("etc/sidegate/{name}")), host.read(&format!("etc/sidegate/primary/{name}")));
    }
    assert_eq!(host.read("srv/gitlab-shell/.gitlab_shell_secret"), secret);
    assert_eq!(host.read("etc/sidegate/sidegate.toml"), include_str!("../../../packaging/sidegate.toml"));
    let git = host.read("etc/passwd").lines().find(|line| line.starts_with("git:")).map(str::to_owned).unwrap();
    assert!(git.contains(":970:") && git.ends_with(":/home/git:/bin/sh"), "{git}");
    assert_eq!(host.owner_and_mode("home/git").0, git.split(':').nth(2).unwrap().parse::<u32>().unwrap());
    let command = "/usr/lib/sidegate/sidegate-authorized-keys --shell /srv/gitlab-shell/bin/gitlab-shell git %u %k";
    assert_eq!((host.sshd_says("authorizedkeyscommand"), host.sshd_says("authorizedkeysfile")), (command.to_owned(), "none".to_owned()));
    assert!(
        said.out.contains("(skipped: below another root nothing is started; run `systemctl enable --now sidegate-primary.service`"),
        "{}",
        said.out
    );
    assert!(!said.out.contains(secret.trim()) && !host.read("etc/sidegate/setup.json").contains(secret.trim()), "a secret is shown");
}

#[test]
fn a_second_run_changes_nothing_and_says_so_and_another_shell_is_taken_over() {
    let Some(host) = Host::new() else { return };
    host.write("srv/gitlab-shell/bin/gitlab-shell", "#!/bin/sh\n");
    host.setup_ends(&EMBEDDED, 0);
    let before = host.tree();
    let said = host.setup_ends(&EMBEDDED, 0);
    assert!(said.out.contains("Nothing to do: all of it is done already.") && !said.out.contains("done: "), "{}", said.out);
    assert_eq!(host.tree(), before);
    let other = EMBEDDED.map(|word| if word.starts_with("/srv") { "/srv/other/bin/gitlab-shell" } else { word });
    let said = host.setup_ends(&other, 0);
    assert_eq!(said.out.lines().filter(|line| line.starts_with("done: ")).count(), 1, "{}", said.out);
    assert!(host.sshd_says("authorizedkeyscommand").contains("--shell /srv/other/bin/gitlab-shell git"));
}

#[test]
fn whichever_primary_gitlab_shell_is_told_to_ask_sidegate_and_has_the_secret() {
    let lines = "config.yml:\n    gitlab_url: \"http+unix://%2Frun%2Fsidegate%2Fapi.sock\"\n    secret_file: \"/srv/gitlab-shell/.gitlab_shell_secret\"\n";
    let Some(host) = Host::new() else { return };
    host.write("srv/gitlab-shell/bin/gitlab-shell", "#!/bin/sh\n");
    let said = host.setup_ends(&EMBEDDED, 0);
    assert!(said.out.contains(lines), "{}", said.out);
    let Some(host) = Host::new() else { return };
    host.write("srv/gitlab-shell/bin/gitlab-shell", "#!/bin/sh\n");
    host.write("root/secret", SECRET);
    let secret = host.path("root/secret").display().to_string();
    let follows = ["--primary-url", "https://primary.example:8181", "--shell-secret-file", &secret, "--sync-secret-file", &secret];
    let said = host.setup_ends(&[&EMBEDDED[..], &follows].concat(), 0);
    assert!(said.out.contains(lines), "{}", said.out);
    assert_eq!(host.read("srv/gitlab-shell/.gitlab_shell_secret"), SECRET);
    assert_eq!(host.owner_and_mode("srv/gitlab-shell/.gitlab_shell_secret").1, 0o600);
}

#[test]
fn a_reload_that_did_not_happen_is_made_up_for_in_the_next_run() {
    let Some(host) = Host::new() else { return };
    host.setup_ends(&EMBEDDED, 0);
    let record = host.read("etc/sidegate/setup.json");
    assert!(record.contains("\"in_force\": true"), "{record}");
    host.write("etc/sidegate/setup.json", &record.replace("\"in_force\": true", "\"in_force\": false"));
    let said = host.setup_ends(&EMBEDDED, 0);
    let done: Vec<&str> = said.out.lines().filter(|line| line.starts_with("done: ")).collect();
    assert!(done.len() == 1 && done[0].contains("reload sshd"), "{}", said.out);
    assert_eq!(host.read("etc/sidegate/setup.json"), record);
}

#[test]
fn a_drop_in_that_sshd_does_not_use_any_more_is_not_called_done() {
    let Some(host) = Host::new() else { return };
    host.setup_ends(&EMBEDDED, 0);
    let main = host.read("etc/ssh/sshd_config");
    host.write("etc/ssh/sshd_config", &main.replace("Include", "#Include"));
    let said = host.setup_ends(&EMBEDDED, 1);
    assert!(!said.out.contains("Nothing to do") && said.err.contains("sshd_config does not include it"), "{}{}", said.out, said.err);
    host.write("etc/ssh/sshd_config", &main);
    assert!(host.setup_ends(&EMBEDDED, 0).out.contains("Nothing to do: all of it is done already."));
}

#[test]
fn a_dry_run_shows_the_files_without_secrets_and_changes_nothing() {
    let Some(host) = Host::new() else { return };
    host.write("root/secret", SECRET);
    let before = host.tree();
    let secret = host.path("root/secret").display().to_string();
    let said = host.setup_ends(&[&EMBEDDED[..6], &["--shell-secret-file", &secret, "--dry-run"]].concat(), 0);
    assert_eq!(host.tree(), before);
    for shown in [
        "  1. make the folder /etc/sidegate/primary, mode 0700, for sidegate-primary",
        "| shell_secret_file = ",
        "| Match User git",
        "Nothing was done (--dry-run).",
    ] {
        assert!(said.out.contains(shown), "{shown}: {}", said.out);
    }
    assert!(!said.out.contains(SECRET.trim()), "{}", said.out);
}

#[test]
fn in_front_of_a_gitlab_the_host_has_its_secret_and_its_url() {
    let Some(host) = Host::new() else { return };
    host.write("root/secret", SECRET);
    let secret = host.path("root/secret").display().to_string();
    let flags =
        ["--primary", "gitlab", "--gitlab-url", "https://gitlab.example.com", "--shell-secret-file", &secret, "--without-sshd", "--yes"];
    let said = host.setup_ends(&flags, 0);
    assert_eq!(host.read("etc/sidegate/sidegate.toml"), "[primary]\nurl = \"https://gitlab.example.com\"\nfeed = \"none\"\n");
    assert_eq!(
        (host.read("etc/sidegate/shell_secret"), host.owner_and_mode("etc/sidegate/shell_secret")),
        (SECRET.to_owned(), (SIDECAR, 0o600))
    );
    assert!(!host.path(DROP_IN).exists() && !host.path("etc/sidegate/primary.toml").exists(), "{}", said.out);
    assert!(said.out.contains("gitlab_rails['internal_api_url'] = 'http+unix://%2Frun%2Fsidegate%2Fapi.sock'"), "{}", said.out);
}

#[test]
fn a_gitlab_of_gitlab_s_packages_is_found() {
    let Some(host) = Host::new() else { return };
    host.write("var/opt/gitlab/gitlab-rails/etc/gitlab_shell_secret", SECRET);
    std::fs::create_dir_all(host.path("var/opt/gitlab/gitlab-workhorse/sockets")).unwrap();
    host.setup_ends(&["--primary", "gitlab", "--without-sshd", "--yes"], 0);
    let config = host.read("etc/sidegate/sidegate.toml");
    assert!(config.contains("url = \"http+unix:///var/opt/gitlab/gitlab-workhorse/sockets/socket\"\nfeed = \"none\"\n"), "{config}");
    assert_eq!(host.read("etc/sidegate/shell_secret"), SECRET);
}

#[test]
fn a_host_that_follows_a_mirror_or_another_host_s_primary_has_both_secrets_and_the_certificates() {
    let Some(host) = Host::new() else { return };
    for (name, text) in [("shell", SECRET), ("sync", "a-sync-secret-of-thirty-two-hexx\n"), ("ca.pem", CERTIFICATE)] {
        host.write(&format!("root/{name}"), text);
    }
    let [shell, sync, ca] = ["shell", "sync", "ca.pem"].map(|name| host.path(&format!("root/{name}")).display().to_string());
    let secrets = ["--shell-secret-file", &shell, "--sync-secret-file", &sync, "--ca-file", &ca, "--without-sshd", "--yes"];
    let mirror = ["--primary", "mirror", "--gitlab-url", "https://gitlab.example.com", "--feed-url", "https://mirror.example:8181"];
    host.setup_ends(&[&mirror[..], &secrets].concat(), 0);
    let config = host.read("etc/sidegate/sidegate.toml");
    assert!(config.contains("ca_file = \"/etc/sidegate/ca.pem\"\n[feed]\nurl = \"https://mirror.example:8181\"\n"), "{config}");
    assert_eq!(
        (host.owner_and_mode("etc/sidegate/sync_secret"), host.owner_and_mode("etc/sidegate/ca.pem")),
        ((SIDECAR, 0o600), (0, 0o644))
    );
    assert_eq!(host.read("etc/sidegate/ca.pem"), CERTIFICATE);
    host.setup_ends(&["--remove", "--yes"], 0);
    let primary = ["--primary", "embedded", "--primary-url", "https://primary.example:8181"];
    host.setup_ends(&[&primary[..], &secrets].concat(), 0);
    let config = host.read("etc/sidegate/sidegate.toml");
    assert_eq!(config, "[primary]\nurl = \"https://primary.example:8181\"\nca_file = \"/etc/sidegate/ca.pem\"\n");
}

#[test]
fn on_a_terminal_it_asks_for_what_the_flags_do_not_say_and_once_before_it_begins() {
    let Some(host) = Host::new() else { return };
    let before = host.tree();
    let Some(said) = host.setup_at_terminal("\n\n/srv/gitlab-shell/bin/gitlab-shell\nno\n") else { return };
    for asked in [
        "Which primary: embedded, gitlab or mirror? [embedded] ",
        "Which user logs in for Git? [git] ",
        "Which gitlab-shell does a login run? [/opt/gitlab/embedded/service/gitlab-shell/bin/gitlab-shell] ",
        "Do this? [y/N] ",
        "Nothing was done.",
    ] {
        assert!(said.contains(asked), "{asked}: {said}");
    }
    assert_eq!(host.tree(), before);
    let said = host.setup_at_terminal("embedded\n\n/srv/gitlab-shell/bin/gitlab-shell\ny\n").unwrap();
    assert!(said.contains("Done. What was made is in /etc/sidegate/setup.json"), "{said}");
    host.setup_ends(&["--remove", "--yes"], 0);
    assert_eq!(host.tree(), before);
}
