//! The files of sshd's configuration: which of them names sidegate's helper, and why sshd may not see it. sshd itself says only what is in
//! force.

use std::fs;
use std::path::{Path, PathBuf};

/// The folder of drop-ins, beside the file.
const DROP_INS: &str = "sshd_config.d";
const COMMAND: &str = "AuthorizedKeysCommand";
const COMMAND_USER: &str = "AuthorizedKeysCommandUser";

/// The file and all that lies in the folder of drop-ins, whatever its name.
pub struct SshdFiles {
    main: PathBuf,
    files: Vec<(PathBuf, String)>,
}

/// A line that names a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLine {
    /// Its file.
    pub file: PathBuf,
    /// The number of the line.
    pub number: usize,
    /// The command.
    pub command: String,
    /// The user beside it, if the file names one.
    pub user: Option<String>,
}

impl SshdFiles {
    /// Reads the files, as far as they can be read.
    #[must_use]
    pub fn read(main: &Path) -> Self {
        let folder = main.parent().unwrap_or(Path::new("/")).join(DROP_INS);
        let entries = fs::read_dir(folder).map(|entries| entries.flatten().map(|entry| entry.path()).collect::<Vec<_>>());
        let mut paths = entries.unwrap_or_default();
        paths.sort();
        paths.push(main.to_owned());
        let files = paths.into_iter().filter_map(|file| fs::read_to_string(&file).ok().map(|text| (file, text)));
        Self { main: main.to_owned(), files: files.collect() }
    }

    /// Returns the lines that name a command, in the order in which sshd takes the first one: drop-ins by name, then the file.
    pub fn commands(&self) -> impl Iterator<Item = CommandLine> {
        self.files.iter().flat_map(|(file, text)| {
            let user = text.lines().find_map(|line| setting(line, COMMAND_USER));
            let lines = text.lines().enumerate().filter_map(|(index, line)| setting(line, COMMAND).map(|command| (index + 1, command)));
            lines.map(move |(number, command)| CommandLine { file: file.clone(), number, command, user: user.clone() })
        })
    }

    /// Returns the line that names sidegate, if any does, also in a file that sshd does not read.
    #[must_use]
    pub fn ours(&self) -> Option<CommandLine> {
        self.commands().find(|line| line.command.contains("sidegate"))
    }

    /// Returns the line that has this command.
    #[must_use]
    pub fn line_of(&self, command: &str) -> Option<CommandLine> {
        self.commands().find(|line| line.command == command)
    }

    /// Returns why sshd does not use a line that is there, and what to do.
    #[must_use]
    pub fn why_unused(&self, line: &CommandLine) -> (String, String) {
        let (file, main) = (line.file.display(), self.main.display());
        if line.file != self.main && line.file.extension().is_none_or(|extension| extension != "conf") {
            let right = line.file.with_file_name("50-sidegate.conf");
            return (
                format!("{file} is not read, because its name does not end in .conf"),
                format!("mv {file} {}, and reload sshd", right.display()),
            );
        }
        if line.file != self.main && !self.includes_drop_ins() {
            let folder = line.file.parent().unwrap_or(&line.file).display();
            let remedy = format!("write `Include {folder}/*.conf` as the first line of {main}, and reload sshd");
            return (format!("{file} is not read, because {main} does not include it"), remedy);
        }
        let remedy =
            format!("look at the `Match` above it ({file}:{}); name the user who logs in with --ssh-user, and reload sshd", line.number);
        (format!("{file} is for other logins than this one"), remedy)
    }

    fn includes_drop_ins(&self) -> bool {
        let main = self.files.iter().filter(|(file, _)| *file == self.main);
        let mut includes = main.flat_map(|(_, text)| text.lines()).filter_map(|line| setting(line, "Include"));
        includes.any(|value| value.contains(DROP_INS))
    }
}

/// Returns the value of a line of sshd's configuration, if it sets `keyword`.
fn setting(line: &str, keyword: &str) -> Option<String> {
    let (name, value) = line.trim().split_once(|letter: char| letter.is_ascii_whitespace() || letter == '=')?;
    name.eq_ignore_ascii_case(keyword).then(|| value.trim().trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::SshdFiles;

    const OURS: &str = "Match User git\n  authorizedkeyscommand \"/usr/lib/sidegate/sidegate-authorized-keys git %u %k\"\n\tAuthorizedKeysCommandUser=keys\n";

    fn files(main: &str, drop_ins: &[(&str, &str)]) -> (tempfile::TempDir, SshdFiles) {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("sshd_config.d")).unwrap();
        fs::write(folder.path().join("sshd_config"), main).unwrap();
        for (name, text) in drop_ins {
            fs::write(folder.path().join("sshd_config.d").join(name), text).unwrap();
        }
        let read = SshdFiles::read(&folder.path().join("sshd_config"));
        (folder, read)
    }

    #[test]
    fn the_command_s_user_is_the_one_beside_the_command_of_sidegate() {
        let other = "AuthorizedKeysCommand /usr/bin/other %u\nAuthorizedKeysCommandUser nobody\n";
        let (_folder, read) = files("Include /etc/ssh/sshd_config.d/*.conf\n", &[("10-other.conf", other), ("50-sidegate.conf", OURS)]);
        let ours = read.ours().unwrap();
        assert!(ours.file.ends_with("50-sidegate.conf") && ours.number == 2 && ours.user.as_deref() == Some("keys"), "{ours:?}");
        assert!(read.line_of("/usr/bin/other %u").unwrap().file.ends_with("10-other.conf"));
        assert!(read.why_unused(&ours).0.contains("is for other logins"));
    }

    #[test]
    fn a_drop_in_that_sshd_does_not_read_is_told_why() {
        let why = |main: &str, name: &str| {
            let (_folder, read) = files(main, &[(name, OURS)]);
            let ours = read.ours().unwrap();
            read.why_unused(&ours)
        };
        let include = "Include /etc/ssh/sshd_config.d/*.conf\n";
        for name in ["50-sidegate.conf.bak", "50-sidegate.disabled", "50-sidegate"] {
            let (what, remedy) = why(include, name);
            assert!(what.contains("does not end in .conf") && remedy.contains("50-sidegate.conf"), "{what}; {remedy}");
        }
        let (what, remedy) = why("#Include /etc/ssh/sshd_config.d/*.conf\n", "50-sidegate.conf");
        assert!(what.contains("does not include it") && remedy.contains("sshd_config.d/*.conf` as the first line"), "{what}; {remedy}");
    }
}
