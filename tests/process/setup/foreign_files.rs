//! Files in folders that others own: the user who logs in makes setup read nothing that only root may read, whenever a link is put there.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};

use crate::setup::host::{EMBEDDED, Host};

const SECRET: &str = "a-shell-secret-of-thirty-two-hex\n";
const ONLY_ROOTS: &str = "root:$y$only-root-may-read-this\n";
const BESIDE: &str = "srv/gitlab-shell/.gitlab_shell_secret";

/// A host with a user `git` who owns the folder of gitlab-shell, and a secret in it.
fn host_of_git() -> Option<Host> {
    let host = Host::new()?;
    host.write("etc/passwd", &(host.read("etc/passwd") + "git:x:970:970::/srv/git:/bin/sh\n"));
    host.write("srv/gitlab-shell/bin/gitlab-shell", "#!/bin/sh\n");
    host.write("root/shadow", ONLY_ROOTS);
    fs::set_permissions(host.path("root/shadow"), fs::Permissions::from_mode(0o600)).unwrap();
    host.write(BESIDE, SECRET);
    fs::set_permissions(host.path(BESIDE), fs::Permissions::from_mode(0o600)).unwrap();
    for path in ["srv/gitlab-shell", BESIDE] {
        chown(host.path(path), Some(970), Some(970)).unwrap();
    }
    Some(host)
}

#[test]
fn what_is_put_in_the_place_of_a_secret_after_it_was_read_is_copied_nowhere() {
    let Some(host) = host_of_git() else { return };
    let swap = || {
        fs::remove_file(host.path(BESIDE)).unwrap();
        host.link(&host.path("root/shadow").display().to_string(), BESIDE);
    };
    let Some(said) = host.setup_at_prompt(&EMBEDDED[..6], "Do this? [y/N] ", swap, "y\n") else { return };
    assert_eq!(host.read("etc/sidegate/primary/shell_secret"), SECRET, "{said}");
    assert!(said.contains(".gitlab_shell_secret: this is a symlink"), "{said}");
    host.setup(&EMBEDDED);
    let leaked: Vec<String> = host.tree().into_iter().filter(|(_, found)| found.3 == ONLY_ROOTS).map(|(name, _)| name).collect();
    assert_eq!(leaked, ["root/shadow"]);
}

#[test]
fn a_secret_behind_a_link_counts_only_where_root_made_the_link() {
    let Some(host) = host_of_git() else { return };
    fs::rename(host.path(BESIDE), host.path("srv/secret")).unwrap();
    host.link("../secret", BESIDE);
    let before = host.tree();
    let said = host.setup_ends(&EMBEDDED, 1);
    assert!(said.err.contains("this is a symlink") && said.err.contains("name its file with --shell-secret-file"), "{}", said.err);
    assert_eq!(host.tree(), before);
    chown(host.path("srv/gitlab-shell"), Some(0), Some(0)).unwrap();
    host.setup_ends(&EMBEDDED, 0);
    assert_eq!(host.read("etc/sidegate/shell_secret"), SECRET);
    host.setup_ends(&["--remove", "--yes"], 0);
    assert_eq!(host.read(BESIDE), SECRET);
}

#[test]
fn a_secret_that_the_user_who_logs_in_may_not_read_is_refused() {
    let Some(host) = host_of_git() else { return };
    fs::remove_file(host.path(BESIDE)).unwrap();
    fs::hard_link(host.path("root/shadow"), host.path(BESIDE)).unwrap();
    let said = host.setup_ends(&EMBEDDED, 1);
    assert!(said.err.contains("git, who logs in, may not read it"), "{}", said.err);
    let named = host.path(BESIDE).display().to_string();
    let said = host.setup_ends(&[&EMBEDDED[..], &["--shell-secret-file", &named]].concat(), 1);
    assert!(said.err.contains("it is in a folder of uid 970, and is not a file of that user's own"), "{}", said.err);
}
