//! The texts that setup writes: the configurations as docs/install.md has them, and the drop-in of the package with this host's names.

use std::path::Path;

use crate::cli::config::file;
use crate::cli::config::serve::ServeConfig;
use crate::cli::exit_status::CommandError;
use crate::cli::setup::answers::{Login, Source};
use crate::cli::setup::host::Host;
use crate::cli::setup::owned_file;
use crate::helper::arguments::CHAIN_OPTION;
use crate::wire::authorized_keys::ShellPath;

/// The configuration of the sidecar.
pub const SIDECAR_CONFIG: &str = "/etc/sidegate/sidegate.toml";
/// The configuration of a primary on this host: its secrets are in a folder of their own.
pub const PRIMARY_CONFIG_TEXT: &str =
    "[auth]\nshell_secret_file = \"/etc/sidegate/primary/shell_secret\"\nsync_secret_file = \"/etc/sidegate/primary/sync_secret\"\n";
/// Where certificates to trust are.
pub const CA_FILE: &str = "/etc/sidegate/ca.pem";
const SAMPLE: &str = "/usr/share/sidegate/sidegate.toml";
const DROP_IN: &str = "/usr/share/sidegate/50-sidegate.conf";
const DROP_IN_MATCH: &str = "Match User git\n";
const DROP_IN_COMMAND: &str = "AuthorizedKeysCommand /usr/lib/sidegate/sidegate-authorized-keys git %u %k\n";

/// Returns the configuration of the sidecar. Refuses values that the sidecar would refuse, as a URL that is none.
pub fn sidecar_config(source: &Source, host: &Host) -> Result<String, CommandError> {
    let ca_line = |ca: bool| if ca { format!("ca_file = {}\n", quoted(CA_FILE)) } else { String::new() };
    let text = match source {
        Source::Here { .. } => shipped(host, SAMPLE)?,
        Source::Primary { url, ca_file, .. } => format!("[primary]\nurl = {}\n{}", quoted(url), ca_line(ca_file.is_some())),
        Source::Gitlab { url, ca_file, .. } => {
            format!("[primary]\nurl = {}\nfeed = \"none\"\n{}", quoted(url), ca_line(ca_file.is_some()))
        }
        Source::Mirror { url, feed_url, ca_file, .. } => format!(
            "[primary]\nurl = {}\nfeed = \"none\"\n{}[feed]\nurl = {}\nsync_secret_file = \"/etc/sidegate/sync_secret\"\n",
            quoted(url),
            ca_line(ca_file.is_some()),
            quoted(feed_url)
        ),
    };
    let refused = |error| CommandError(format!("what the flags say makes no configuration: {error}"));
    file::parse::<ServeConfig>(Path::new(SIDECAR_CONFIG), &text).map_err(refused)?;
    Ok(text)
}

/// Returns the drop-in of the package, with the names of this host in it.
pub fn drop_in(login: &Login, host: &Host) -> Result<String, CommandError> {
    let text = shipped(host, DROP_IN)?;
    if text.matches(DROP_IN_MATCH).count() != 1 || text.matches(DROP_IN_COMMAND).count() != 1 {
        let path = host.path(Path::new(DROP_IN));
        return Err(CommandError(format!("{}: not the drop-in of this version; install sidegate's package again", path.display())));
    }
    let shell = if login.shell == ShellPath::default() { String::new() } else { format!("--shell {} ", escaped(&login.shell.to_string())) };
    let chain = login.chain.as_ref().map_or_else(String::new, |chain| format!(" {CHAIN_OPTION} {chain}"));
    let user = &login.user;
    let command = format!("AuthorizedKeysCommand /usr/lib/sidegate/sidegate-authorized-keys {shell}{user} %u %k{chain}\n");
    Ok(text.replace(DROP_IN_MATCH, &format!("Match User {user}\n")).replace(DROP_IN_COMMAND, &command))
}

/// Returns a text of the package.
fn shipped(host: &Host, file: &str) -> Result<String, CommandError> {
    let path = host.path(Path::new(file));
    let found = owned_file::read(&path)?;
    let missing = || CommandError(format!("{}: it is not there; install sidegate's package first", path.display()));
    String::from_utf8(found.ok_or_else(missing)?.content).map_err(|error| CommandError::with_context(&path.display().to_string(), error))
}

/// Returns a text as TOML has it.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// Returns a word as sshd takes it, for which a percent sign begins a token.
fn escaped(word: &str) -> String {
    word.replace('%', "%%")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{drop_in, sidecar_config};
    use crate::cli::setup::answers::{Login, Source};
    use crate::cli::setup::host::Host;
    use crate::cli::setup::read_secret::ReadSecret;

    fn host() -> (tempfile::TempDir, Host) {
        let folder = tempfile::tempdir().unwrap();
        let shared = folder.path().join("usr/share/sidegate");
        fs::create_dir_all(&shared).unwrap();
        fs::write(shared.join("sidegate.toml"), include_str!("../../../packaging/sidegate.toml")).unwrap();
        fs::write(shared.join("50-sidegate.conf"), include_str!("../../../packaging/sshd_config.d/50-sidegate.conf")).unwrap();
        let host = Host::new(Some(folder.path())).unwrap();
        (folder, host)
    }

    fn lines_of(login: &Login) -> String {
        let (_folder, host) = host();
        let text = drop_in(login, &host).unwrap();
        text.lines().map(str::trim).filter(|line| !line.starts_with('#') && !line.is_empty()).map(|line| format!("{line}\n")).collect()
    }

    #[test]
    fn the_drop_in_has_the_names_of_the_host() {
        let mut login = Login { user: "git".to_owned(), shell: Default::default(), chain: None };
        let program = "/usr/lib/sidegate/sidegate-authorized-keys";
        let expected = |user: &str, command: &str| {
            format!(
                "Match User {user}\nAuthorizedKeysCommand {program} {command}\nAuthorizedKeysCommandUser sidegate-keys\nAuthorizedKeysFile none\n"
            )
        };
        assert_eq!(lines_of(&login), expected("git", "git %u %k"));
        login.shell = "/srv/50%/shell".parse().unwrap();
        login.user = "gitlab".to_owned();
        assert_eq!(lines_of(&login), expected("gitlab", "--shell /srv/50%%/shell gitlab %u %k"));
        login.chain = Some("/usr/bin/keys \"a b\" %u".to_owned());
        assert_eq!(lines_of(&login), expected("gitlab", "--shell /srv/50%%/shell gitlab %u %k --chain /usr/bin/keys \"a b\" %u"));
    }

    #[test]
    fn the_configurations_are_those_of_the_guide_and_a_url_that_is_none_is_refused() {
        let (_folder, host) = host();
        let guide = include_str!("../../../docs/install.md");
        let here = sidecar_config(&Source::Here { shell_secret: None }, &host).unwrap();
        assert_eq!(here, include_str!("../../../packaging/sidegate.toml"));
        assert!(guide.contains(super::PRIMARY_CONFIG_TEXT));
        let secret = || ReadSecret { file: "/s".into(), content: b"secret".to_vec() };
        let followed = Source::Primary {
            url: "https://primary.example:8181".to_owned(),
            ca_file: Some("/s".into()),
            shell_secret: secret(),
            sync_secret: secret(),
        };
        assert!(guide.contains(&sidecar_config(&followed, &host).unwrap()));
        let mirror = |feed_url: &str| Source::Mirror {
            url: "https://gitlab.example.com".to_owned(),
            feed_url: feed_url.to_owned(),
            ca_file: None,
            shell_secret: secret(),
            sync_secret: secret(),
        };
        assert!(guide.contains(&sidecar_config(&mirror("https://mirror.example:8181"), &host).unwrap()));
        for wrong in ["mirror", "ftp://x", "https://a\"\n[log]"] {
            let error = sidecar_config(&mirror(wrong), &host).unwrap_err().to_string();
            assert!(error.starts_with("what the flags say makes no configuration: "), "{error}");
        }
    }
}
