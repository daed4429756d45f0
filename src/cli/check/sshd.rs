//! Does sshd ask sidegate? sshd itself says what is in force for a login (`sshd -T`), after all its files; and sshd's own rules about the
//! path of the command are applied to the helper.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::{Group, Uid};

use crate::cli::arguments::SshdArgs;
use crate::cli::check::as_daemon::{find_user, groups_of, user_name};
use crate::cli::check::findings::Findings;
use crate::cli::check::key_command::KeyCommand;
use crate::cli::check::program;
use crate::cli::check::sshd_files::SshdFiles;
use crate::cli::check::sshd_settings::SshdSettings;
use crate::rules::wildcard::matches_wildcard;

const SSHD_PATHS: [&str; 4] = ["/usr/sbin/sshd", "/usr/local/sbin/sshd", "/usr/bin/sshd", "/sbin/sshd"];
const TIME_LIMIT: Duration = Duration::from_secs(10);
const GROUP_OR_OTHERS_WRITE: u32 = 0o022;

/// Judges what sshd would do at a login. Returns the command that it runs to look up keys, if it has one.
pub fn check(sshd: &SshdArgs, socket: &Path, found: &mut Findings) -> Option<KeyCommand> {
    if sshd.without_sshd {
        found.ok("sshd: not asked, as the command says (--without-sshd)");
        return None;
    }
    let files = SshdFiles::read(&sshd.sshd_config);
    let Some(settings) = ask(sshd, found) else {
        return command_of_files(&files, found).inspect(|command| command.judge_tokens(&version(), found));
    };
    judge_login(&settings, &sshd.ssh_user, found);
    let command = judge_command(&settings, &files, found)?;
    check_program(command.program(), found);
    command.judge_tokens(&version(), found);
    if command.is_helper() {
        command.judge_arguments(&sshd.ssh_user, socket, found);
    }
    check_user(&sshd.ssh_user, found);
    Some(command)
}

/// Asks sshd what is in force for a login of the user; `None` where it cannot be asked, which is said.
fn ask(sshd: &SshdArgs, found: &mut Findings) -> Option<SshdSettings> {
    let config = sshd.sshd_config.display();
    let Some(program) = SSHD_PATHS.map(Path::new).into_iter().find(|path| path.exists()) else {
        found.warn("sshd: it is not installed here, so it was not asked", "install it; where logins come another way, say --without-sshd");
        return None;
    };
    if !Uid::effective().is_root() {
        found.ok(format!("sshd: only root can ask it what is in force; {config} and its drop-ins were read in its place"));
        return None;
    }
    let login = format!("user={},host=localhost,addr=127.0.0.1", sshd.ssh_user);
    match program::run(program, &["-T", "-f", &config.to_string(), "-C", &login], TIME_LIMIT) {
        Ok(output) if output.success => Some(SshdSettings::parse(&output.stdout)),
        Ok(output) => {
            let what = format!("sshd: it refuses its configuration {config}: {}", output.stderr.trim());
            found.fail(what, format!("correct the file that it names, until `{} -t` says nothing", program.display()));
            None
        }
        Err(reason) => {
            found.warn(format!("sshd: it could not be asked: {reason}"), format!("{} -T", program.display()));
            None
        }
    }
}

/// Returns what sshd says of its version; old ones say it in their complaint about the option.
fn version() -> String {
    let program = SSHD_PATHS.map(Path::new).into_iter().find(|path| path.exists());
    let output = program.and_then(|program| program::run(program, &["-V"], TIME_LIMIT).ok());
    output.map(|output| output.stdout + &output.stderr).unwrap_or_default()
}

/// Returns the command that the files name, where sshd itself cannot be asked.
fn command_of_files(files: &SshdFiles, found: &mut Findings) -> Option<KeyCommand> {
    match files.ours().or_else(|| files.commands().next()) {
        None => warn_no_command(found),
        Some(line) if !line.command.contains("sidegate") => {
            let what = format!("sshd: {}:{} sets `{}`, which is not sidegate", line.file.display(), line.number, line.command);
            found.warn(what, "install the drop-in of sidegate, or say --without-sshd where logins come another way");
        }
        Some(line) => {
            found.ok(format!("sshd: {} names sidegate", line.file.display()));
            return KeyCommand::parse(&line.command, line.user.as_deref().unwrap_or_default());
        }
    }
    None
}

fn warn_no_command(found: &mut Findings) {
    let what = "sshd: it has no AuthorizedKeysCommand for this login, and no file names sidegate, so no key is looked up";
    let remedy = "install the drop-in (`install -m 0644 /usr/share/sidegate/50-sidegate.conf /etc/ssh/sshd_config.d/`), and reload sshd; where \
                  logins come another way, as through gitlab-sshd, say --without-sshd";
    found.warn(what, remedy);
}

/// Judges whether a login with a key is possible at all.
fn judge_login(settings: &SshdSettings, user: &str, found: &mut Findings) {
    if settings.value("pubkeyauthentication") == Some("no") {
        found.fail(
            format!("sshd: PubkeyAuthentication is no for {user}, so nobody logs in with a key"),
            "say PubkeyAuthentication yes, and reload sshd",
        );
    }
    let methods = settings.value("authenticationmethods").unwrap_or("any");
    if methods != "any" && !methods.split_whitespace().any(|list| list.split(',').all(|method| method.starts_with("publickey"))) {
        let what = format!("sshd: AuthenticationMethods is `{methods}` for {user}, so a key alone does not log in");
        found.fail(what, "say AuthenticationMethods publickey in the drop-in, and reload sshd");
    }
    if let Some(reason) = refused_by_name(settings, user, &groups_of_login(user)) {
        found.fail(format!("sshd: {reason}, so {user} does not log in at all"), format!("let {user} in there, and reload sshd"));
    }
    if let Some(command) = settings.value("forcecommand") {
        let what = format!("sshd: ForceCommand is `{command}` for {user}: it runs in place of gitlab-shell");
        found.fail(what, format!("take {user} out of it with a `Match`, and reload sshd"));
    }
}

/// Returns which list of names keeps a user out, if one does. An address in a pattern is not looked at.
fn refused_by_name(settings: &SshdSettings, user: &str, groups: &[String]) -> Option<String> {
    let listed = |keyword: &str, names: &[String]| {
        let mut patterns =
            settings.values(keyword).flat_map(str::split_whitespace).map(|pattern| pattern.split('@').next().unwrap_or(pattern));
        patterns.any(|pattern| names.iter().any(|name| matches_wildcard(pattern, name)))
    };
    let is_set = |keyword: &str| settings.values(keyword).next().is_some();
    let is_user = [user.to_owned()];
    for (allow, deny, names) in [("AllowUsers", "DenyUsers", &is_user[..]), ("AllowGroups", "DenyGroups", groups)] {
        if listed(&deny.to_lowercase(), names) {
            return Some(format!("{deny} names it"));
        }
        if is_set(&allow.to_lowercase()) && !listed(&allow.to_lowercase(), names) {
            return Some(format!("{allow} does not name it"));
        }
    }
    None
}

/// Returns the names of the groups of a user, if there is one.
fn groups_of_login(name: &str) -> Vec<String> {
    let groups = find_user(name).map(|user| groups_of(&user)).unwrap_or_default();
    groups.into_iter().filter_map(|gid| Group::from_gid(gid).ok().flatten()).map(|group| group.name).collect()
}

/// Judges the command that sshd runs to look up a key.
fn judge_command(settings: &SshdSettings, files: &SshdFiles, found: &mut Findings) -> Option<KeyCommand> {
    let Some(command) = settings.value("authorizedkeyscommand") else {
        match files.ours() {
            None => warn_no_command(found),
            Some(line) => {
                let (why, remedy) = files.why_unused(&line);
                found.fail(format!("sshd: it does not ask sidegate: {why}"), remedy);
            }
        }
        return None;
    };
    if !command.contains("sidegate") {
        let place = files.line_of(command).map_or_else(String::new, |line| format!(" ({}:{})", line.file.display(), line.number));
        let what = format!("sshd: it asks `{command}`{place}, which is not sidegate");
        match files.ours() {
            Some(line) => {
                let ours = line.file.display();
                let remedy = format!("remove that line, or rename {ours} so that it is read first, as 10-sidegate.conf; and reload sshd");
                found.fail(format!("{what}; the first one counts, and {ours} comes later"), remedy);
            }
            None => found.warn(what, "install the drop-in of sidegate; where logins come another way, say --without-sshd"),
        }
    }
    let user = settings.value("authorizedkeyscommanduser").unwrap_or_default();
    if user.is_empty() {
        let remedy = "say AuthorizedKeysCommandUser sidegate-keys beside AuthorizedKeysCommand, and reload sshd";
        found.fail("sshd: AuthorizedKeysCommandUser is not set, so sshd runs no command", remedy);
    }
    let parsed = KeyCommand::parse(command, user);
    if command.contains("sidegate") && !user.is_empty() {
        found.ok(format!("sshd: it asks sidegate, as {user}"));
    }
    parsed
}

/// Finds what sshd refuses about the path of a command: root owns it and every folder above, and nobody else may write them.
fn check_program(program: &Path, found: &mut Findings) {
    let name = program.display();
    let real = match fs::canonicalize(program) {
        Ok(real) => real,
        Err(error) => {
            return found.fail(format!("sshd: its AuthorizedKeysCommand {name}: {error}"), "install sidegate again, or correct the path");
        }
    };
    if !real.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.mode() & 0o111 != 0) {
        found.fail(format!("sshd: its AuthorizedKeysCommand {name} cannot be executed"), format!("chmod 0755 {name}"));
    }
    for (path, owner, mode) in unsafe_parts(&real) {
        let part = path.display();
        let what = format!(
            "sshd: it refuses to run {name}, because {part} belongs to {} and has mode {mode:04o}: only root may own it and write it",
            user_name(Uid::from_raw(owner))
        );
        found.fail(what, format!("chown root {part}; chmod go-w {part}"));
    }
}

/// Returns each part of a path that another than root owns, or that group or others may write, with its owner and mode.
fn unsafe_parts(path: &Path) -> Vec<(PathBuf, u32, u32)> {
    let parts = path.ancestors().filter_map(|part| part.metadata().ok().map(|metadata| (part, metadata)));
    let unsafe_ones = parts.filter(|(_, metadata)| metadata.uid() != 0 || metadata.mode() & GROUP_OR_OTHERS_WRITE != 0);
    unsafe_ones.map(|(part, metadata)| (part.to_owned(), metadata.uid(), metadata.mode() & 0o7777)).collect()
}

/// Finds a user who could not log in whatever the key says: unknown, or with a shell that runs nothing.
fn check_user(name: &str, found: &mut Findings) {
    let Some(user) = find_user(name) else {
        let what = format!("sshd: the user {name}, who logs in, does not exist on this host");
        return found.fail(what, "make it as docs/install.md says, or name another with --ssh-user");
    };
    let shell = user.shell.display().to_string();
    if shell.ends_with("/nologin") || shell.ends_with("/false") {
        let what = format!("sshd: the shell of {name} is {shell}, which runs no command, so nobody gets to gitlab-shell");
        found.fail(what, format!("usermod --shell /bin/sh {name}"));
    }
}

#[cfg(test)]
mod tests {
    use super::{judge_login, refused_by_name};
    use crate::cli::check::findings::Findings;
    use crate::cli::check::sshd_settings::SshdSettings;

    fn complaints(printed: &str) -> Vec<String> {
        let mut found = Findings::default();
        judge_login(&SshdSettings::parse(printed), "git", &mut found);
        found.as_slice().iter().map(|finding| finding.what.clone()).collect()
    }

    #[test]
    fn what_keeps_every_key_out_is_named() {
        assert!(complaints("pubkeyauthentication yes\nauthenticationmethods any\nforcecommand none\n").is_empty());
        assert!(complaints("allowusers zoe\nallowusers git@10.0.0.0/8\ndenyusers root\n").is_empty());
        let group = SshdSettings::parse("allowgroups git ssh\n");
        assert_eq!(refused_by_name(&group, "git", &["git".to_owned()]), None);
        assert!(refused_by_name(&group, "git", &["users".to_owned()]).is_some());
        for methods in ["publickey", "password publickey", "publickey,publickey"] {
            assert!(complaints(&format!("authenticationmethods {methods}\n")).is_empty(), "{methods}");
        }
        for (line, says) in [
            ("pubkeyauthentication no", "PubkeyAuthentication is no"),
            ("authenticationmethods publickey,password", "a key alone does not log in"),
            ("authenticationmethods password", "a key alone does not log in"),
            ("forcecommand /bin/true", "in place of gitlab-shell"),
            ("denyusers g*", "DenyUsers names it"),
            ("allowusers zoe\nallowusers admin@10.0.0.0/8", "AllowUsers does not name it"),
        ] {
            let said = complaints(line);
            assert!(said.len() == 1 && said[0].contains(says), "{line}: {said:?}");
        }
    }
}
