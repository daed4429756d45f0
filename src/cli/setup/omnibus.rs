//! A GitLab of GitLab's own packages (Omnibus) on this host: where its socket and its secrets are, and the lines for its `gitlab.rb`.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::unistd::{Gid, Group};

use crate::cli::setup::host::Host;

/// Where its gitlab-shell is.
pub const SHELL: &str = "/opt/gitlab/embedded/service/gitlab-shell/bin/gitlab-shell";
/// The secret of its gitlab-shell, written by `gitlab-ctl reconfigure`.
pub const SHELL_SECRET: &str = "/var/opt/gitlab/gitlab-rails/etc/gitlab_shell_secret";
/// The folder of the socket of its Workhorse, which its group alone may enter.
const SOCKET_FOLDER: &str = "/var/opt/gitlab/gitlab-workhorse/sockets";
/// That socket, as a URL of `primary.url`.
pub const URL: &str = "http+unix:///var/opt/gitlab/gitlab-workhorse/sockets/socket";
const URL_SCHEME: &str = "http+unix://";
/// The socket of the sidecar, as gitlab-shell writes it.
pub const SIDECAR_URL: &str = "http+unix://%2Frun%2Fsidegate%2Fapi.sock";

/// Returns whether GitLab's packages have set up a GitLab on this host.
#[must_use]
pub fn is_here(host: &Host) -> bool {
    host.path(Path::new(SHELL_SECRET)).exists() && host.path(Path::new(SOCKET_FOLDER)).is_dir()
}

/// Returns the group that may reach its socket, where this URL is that socket and everybody may not.
#[must_use]
pub fn group_of_socket(host: &Host, url: &str) -> Option<String> {
    let folder = fs::metadata(host.path(Path::new(SOCKET_FOLDER))).ok()?;
    let is_closed = url == URL && folder.mode() & 0o001 == 0;
    is_closed.then(|| Group::from_gid(Gid::from_raw(folder.gid())).ok().flatten()).flatten().map(|group| group.name)
}

/// Returns what to write into `/etc/gitlab/gitlab.rb`, in its own words, so that gitlab-shell asks sidegate and Gitaly's hooks go on asking
/// this GitLab.
#[must_use]
pub fn settings(gitlab_url: &str) -> String {
    format!(
        "# gitlab-shell asks the sidegate of this host.\n\
         gitlab_rails['internal_api_url'] = '{SIDECAR_URL}'\n\
         # Gitaly's hooks, which decide a push with its real changes, go on asking GitLab itself. Where gitaly['configuration'] is set already,\n\
         # put the line of `gitlab` into it.\n\
         gitaly['configuration'] = {{\n  gitlab: {{ url: '{}' }},\n}}\n",
        as_gitaly_writes(gitlab_url)
    )
}

/// Returns a URL as gitlab-shell and Gitaly write it: the path of a socket is percent-encoded.
fn as_gitaly_writes(url: &str) -> String {
    match url.strip_prefix(URL_SCHEME) {
        Some(path) => format!("{URL_SCHEME}{}", path.replace('/', "%2F")),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{URL, settings};

    #[test]
    fn gitlab_shell_asks_sidegate_and_gitaly_asks_gitlab() {
        let text = settings(URL);
        assert!(text.contains("\ngitlab_rails['internal_api_url'] = 'http+unix://%2Frun%2Fsidegate%2Fapi.sock'\n"), "{text}");
        assert!(text.contains("gitlab: { url: 'http+unix://%2Fvar%2Fopt%2Fgitlab%2Fgitlab-workhorse%2Fsockets%2Fsocket' }"), "{text}");
        assert!(settings("https://gitlab.example.com").contains("url: 'https://gitlab.example.com'"));
    }
}
