//! `setup --remove`: what was before is there again; what was changed since is kept and named.

use crate::setup::host::{DROP_IN, EMBEDDED, Host};

#[test]
fn it_leaves_what_was_before() {
    let Some(host) = Host::new() else { return };
    host.write("srv/gitlab-shell/bin/gitlab-shell", "#!/bin/sh\n");
    host.write("etc/ssh/sshd_config.d/70-other.conf", "AuthorizedKeysCommand /bin/cat %u\nAuthorizedKeysCommandUser nobody\n");
    let before = host.tree();
    host.setup_ends(&[&EMBEDDED[..], &["--no-chain"]].concat(), 0);
    assert!(host.sshd_says("authorizedkeyscommand").contains("sidegate"));
    let uid = host.read("etc/passwd").lines().find_map(|line| line.strip_prefix("git:x:")?.split(':').next().map(str::to_owned)).unwrap();
    assert!(host.read("etc/sidegate/setup.json").contains(&format!("\"uid\": {uid}")));
    let dry = host.setup_ends(&["--remove", "--dry-run"], 0);
    assert!(dry.out.contains("  1. remove /etc/ssh/sshd_config.d/50-sidegate.conf and reload sshd"), "{}", dry.out);
    host.setup_ends(&["--remove", "--yes"], 0);
    assert_eq!(host.tree(), before);
    assert_eq!(host.sshd_says("authorizedkeyscommand"), "/bin/cat %u", "the foreign command comes back");
    let again = host.setup_ends(&["--remove", "--yes"], 0);
    assert!(again.out.starts_with("Nothing to undo: "), "{}", again.out);
}

#[test]
fn what_was_there_before_is_used_and_stays() {
    let Some(host) = Host::new() else { return };
    let secret = "the-secret-that-was-there-before\n";
    host.write("srv/gitlab-shell/.gitlab_shell_secret", secret);
    host.write("etc/passwd", &(host.read("etc/passwd") + "git:x:970:970::/srv/git:/bin/sh\n"));
    std::os::unix::fs::chown(host.path("srv/gitlab-shell/.gitlab_shell_secret"), Some(970), Some(970)).unwrap();
    std::fs::set_permissions(host.path("srv/gitlab-shell/.gitlab_shell_secret"), std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .unwrap();
    let before = host.tree();
    let said = host.setup_ends(&EMBEDDED, 0);
    assert_eq!((host.read("etc/sidegate/primary/shell_secret").as_str(), host.path("home/git").exists()), (secret, false), "{}", said.out);
    host.setup_ends(&["--remove", "--yes"], 0);
    assert_eq!(host.tree(), before);
}

#[test]
fn files_that_were_changed_or_added_since_are_kept_and_named() {
    let Some(host) = Host::new() else { return };
    host.setup_ends(&EMBEDDED, 0);
    host.write("etc/sidegate/sidegate.toml", "host = \"mine\"\n");
    host.write("etc/sidegate/primary/notes", "mine\n");
    host.write("home/git/repositories", "mine\n");
    let said = host.setup_ends(&["--remove", "--yes"], 1);
    for kept in [
        "KEPT: /etc/sidegate/sidegate.toml: it was changed after setup",
        "KEPT: the folder /etc/sidegate/primary: files are in it that setup did not write",
        "KEPT: the user git and the home /home/git: /home/git/repositories is in its home, and came after it",
    ] {
        assert!(said.out.contains(kept), "{kept}: {}", said.out);
    }
    assert!(said.err.contains("3 things were kept"), "{}", said.err);
    assert_eq!(
        (host.read("etc/sidegate/sidegate.toml").as_str(), host.read("home/git/repositories").as_str()),
        ("host = \"mine\"\n", "mine\n")
    );
    assert!(!host.path("etc/sidegate/shell_secret").exists() && host.read("etc/passwd").contains("\ngit:"));
    for mine in ["etc/sidegate/sidegate.toml", "etc/sidegate/primary/notes", "home/git/repositories"] {
        std::fs::remove_file(host.path(mine)).unwrap();
    }
    host.setup_ends(&["--remove", "--yes"], 0);
    assert!(!host.path("etc/sidegate/setup.json").exists() && !host.path("home/git").exists());
}

#[test]
fn a_drop_in_that_was_moved_is_named_and_all_that_sshd_needs_for_it_is_kept() {
    let Some(host) = Host::new() else { return };
    host.setup_ends(&EMBEDDED, 0);
    let moved = "etc/ssh/sshd_config.d/10-moved.conf";
    std::fs::rename(host.path(DROP_IN), host.path(moved)).unwrap();
    let before = host.tree();
    let said = host.setup_ends(&["--remove", "--yes"], 1);
    let line = host.read(moved).lines().position(|line| line.trim().starts_with("AuthorizedKeysCommand ")).unwrap() + 1;
    assert!(
        said.err.contains(&format!("({}:{line}), so all that sshd needs for that is kept; remove that line", host.path(moved).display()))
    );
    assert_eq!(host.tree(), before);
    std::fs::remove_file(host.path(moved)).unwrap();
    host.setup_ends(&["--remove", "--yes"], 0);
    assert!(!host.path("etc/sidegate/setup.json").exists());
}

#[test]
fn an_error_of_sshd_that_was_there_before_is_named_before_anything_is_removed() {
    let Some(host) = Host::new() else { return };
    host.setup_ends(&EMBEDDED, 0);
    host.write("etc/ssh/sshd_config.d/90-wrong.conf", "NoSuchWord yes\n");
    let before = host.tree();
    let said = host.setup_ends(&["--remove", "--yes"], 1);
    assert!(said.err.contains("nothing was removed, because of an error that was there before: sshd does not accept"), "{}", said.err);
    assert!(said.err.contains("90-wrong.conf") && said.err.contains("NoSuchWord"), "{}", said.err);
    assert_eq!(host.tree(), before);
}

#[test]
fn a_user_who_was_there_gets_the_group_of_the_socket_and_loses_it_again() {
    let Some(host) = Host::new() else { return };
    host.write("etc/passwd", &(host.read("etc/passwd") + "gitlab:x:971:971::/srv/git:/bin/sh\n"));
    let before = host.read("etc/group");
    let gitlab = EMBEDDED.map(|word| if word == "git" { "gitlab" } else { word });
    let said = host.setup_ends(&gitlab, 0);
    assert!(said.out.contains("done: have the user gitlab in the group git"), "{}", said.out);
    assert!(host.read("etc/group").contains("\ngit:x:970:sidegate-keys,gitlab\n"), "{}", host.read("etc/group"));
    assert!(host.setup_ends(&gitlab, 0).out.contains("Nothing to do"));
    host.setup_ends(&["--remove", "--yes"], 0);
    assert_eq!(host.read("etc/group"), before);
    assert!(host.read("etc/passwd").contains("\ngitlab:x:971:"));
}

#[test]
fn what_to_do_by_hand_is_said_before_the_question() {
    let Some(host) = Host::new() else { return };
    host.write("root/secret", "a-shell-secret-of-thirty-two-hex\n");
    let secret = host.path("root/secret").display().to_string();
    let gitlab = ["--primary", "gitlab", "--gitlab-url", "https://gitlab.example.com", "--shell-secret-file", &secret];
    host.setup_ends(&[&gitlab[..], &EMBEDDED[2..]].concat(), 0);
    let Some(said) = host.setup_at_prompt(&["--remove"], "Do this? [y/N] ", || {}, "no\n") else { return };
    let before = said.split("Do this?").next().unwrap();
    for says in ["take `internal_api_url`", "Put the `gitlab_url` of its config.yml back first", "keys in it that were revoked meanwhile"] {
        assert!(before.contains(says), "{says}: {said}");
    }
}

#[test]
fn an_account_that_setup_did_not_make_is_not_removed() {
    let Some(host) = Host::new() else { return };
    let user = "{\"made\":\"user\",\"name\":\"git\",\"home\":\"/home/git\",\"files\":{}}";
    host.write("etc/passwd", &(host.read("etc/passwd") + "git:x:970:970::/home/git:/bin/sh\n"));
    let before = host.tree();
    host.write("etc/sidegate/setup.json", &format!("{{\"form\":1,\"primary\":\"embedded\",\"entries\":[{user}]}}"));
    let said = host.setup_ends(&["--remove", "--yes"], 0);
    assert!(said.out.contains("forget the user git, which is not known to be made by setup"), "{}", said.out);
    assert_eq!(host.tree(), before, "cut off before useradd: somebody else made it");
    let made_as = user.replace("\"home\"", "\"uid\":971,\"home\"");
    host.write("etc/sidegate/setup.json", &format!("{{\"form\":1,\"primary\":\"embedded\",\"entries\":[{made_as}]}}"));
    let said = host.setup_ends(&["--remove", "--yes"], 1);
    assert!(said.out.contains("it has uid 970 and the home /home/git, and setup made one with uid 971 and /home/git"), "{}", said.out);
    assert!(host.read("etc/passwd").contains("\ngit:x:970:"));
}

#[test]
fn a_drop_in_that_was_changed_keeps_all_that_sshd_needs_for_it() {
    let Some(host) = Host::new() else { return };
    host.setup_ends(&EMBEDDED, 0);
    host.write(DROP_IN, &(host.read(DROP_IN) + "    PasswordAuthentication no\n"));
    let before = host.tree();
    let said = host.setup_ends(&["--remove", "--yes"], 1);
    assert!(
        said.err.contains("50-sidegate.conf: it was changed after setup, so it is kept, and with it all that sshd needs"),
        "{}",
        said.err
    );
    assert_eq!(host.tree(), before);
}
