//! What is installed beside the programs is understood by those who read it: systemd, systemd-sysusers, systemd-tmpfiles and sshd.
//!
//! Each test does nothing where its reader is not installed; `tests/run` installs them.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot start a process or write a file has failed")]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

mod completions;
mod manual_pages;
mod packages;

const UNITS: [&str; 4] = ["sidegate.socket", "sidegate.service", "sidegate-primary.service", "sidegate-mirror.service"];
const SERVICES: [&str; 3] = ["sidegate.service", "sidegate-primary.service", "sidegate-mirror.service"];
const USERS: [&str; 4] = ["sidegate", "sidegate-primary", "sidegate-mirror", "sidegate-keys"];
const DAEMON_PATH: &str = "/usr/bin/sidegate";

fn repository_path(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read_shipped(path: &str) -> String {
    fs::read_to_string(repository_path(path)).unwrap()
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// `None` where the program is not installed.
fn run_if_installed(command: &mut Command) -> Option<Output> {
    match command.output() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => panic!("{command:?}: {error}"),
    }
}

/// Standard output of a program that must have ended well and must not have complained.
fn expect_clean_output(output: &Output) -> String {
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaints.is_empty(), "{}: {complaints}", output.status);
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The units as they are shipped, but for a daemon that is there.
fn installed_units() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for unit in UNITS {
        let installed =
            read_shipped(&format!("systemd/{unit}")).replace(&format!("{DAEMON_PATH} "), &format!("{} ", env!("CARGO_BIN_EXE_sidegate")));
        fs::write(folder.path().join(unit), installed).unwrap();
    }
    folder
}

#[test]
fn systemd_understands_the_units() {
    let folder = installed_units();
    let mut verify = Command::new("systemd-analyze");
    verify.args(["verify", "--man=no"]).args(UNITS.map(|unit| folder.path().join(unit)));
    if let Some(output) = run_if_installed(&mut verify) {
        expect_clean_output(&output);
    }
}

#[test]
fn the_units_are_hardened() {
    let folder = installed_units();
    for unit in SERVICES {
        let mut security = Command::new("systemd-analyze");
        // In tenths: an exposure of 1.4 of 10 at most.
        security.args(["security", "--no-pager", "--offline=yes", "--threshold=14"]).arg(folder.path().join(unit));
        if let Some(output) = run_if_installed(&mut security) {
            assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        }
    }
}

#[test]
fn the_services_are_hardened_alike() {
    let hardening = |unit: &str| {
        let unit = read_shipped(&format!("systemd/{unit}"));
        let (_, rest) = unit.split_once("\nCapabilityBoundingSet=").unwrap();
        rest.split_once("\n[Install]").unwrap().0.trim().to_owned()
    };
    for service in &SERVICES[1..] {
        assert_eq!(hardening(SERVICES[0]), hardening(service), "{service}");
    }
}

#[test]
fn paths_and_users_are_the_same_wherever_they_are_written() {
    let (socket, service, primary) = (
        read_shipped("systemd/sidegate.socket"),
        read_shipped("systemd/sidegate.service"),
        read_shipped("systemd/sidegate-primary.service"),
    );
    let (sidecar, sysusers, sshd) = (
        read_shipped("packaging/sidegate.toml"),
        read_shipped("packaging/sidegate.sysusers"),
        read_shipped("packaging/sshd_config.d/50-sidegate.conf"),
    );
    assert!(socket.contains("\nListenStream=/run/sidegate/api.sock\n"));
    assert!(sidecar.contains("\n#path = \"/run/sidegate/api.sock\"\n") && sshd.contains("(default: /run/sidegate/api.sock)"));
    assert!(sidecar.contains("\n#path = \"/var/lib/sidegate\"\n") && service.contains("\nStateDirectory=sidegate\n"));
    assert!(read_shipped("packaging/primary.toml").contains("\n#path = \"/run/sidegate-primary/api.sock\"\n"));
    assert!(primary.contains("\nRuntimeDirectory=sidegate-primary\n"));
    for user in USERS {
        assert!(sysusers.lines().any(|line| line.split_whitespace().take(2).eq(["u", user])), "{user} is not made");
    }
    assert!(service.contains("\nUser=sidegate\n") && primary.contains("\nUser=sidegate-primary\n"));
    let mirror = read_shipped("systemd/sidegate-mirror.service");
    let folders = ["\nUser=sidegate-mirror\n", "\nRuntimeDirectory=sidegate-mirror\n", "\nStateDirectory=sidegate-mirror\n"];
    assert!(folders.iter().all(|line| mirror.contains(line)), "{mirror}");
    let sample = read_shipped("packaging/mirror.toml");
    assert!(
        sample.contains("\n#path = \"/run/sidegate-mirror/api.sock\"\n") && sample.contains("\n#path = \"/var/lib/sidegate-mirror\"\n")
    );
    assert!(sshd.contains("AuthorizedKeysCommandUser sidegate-keys\n"));
    // The helper may open the socket.
    assert!(
        socket.contains("\nSocketGroup=git\nSocketMode=0660\n")
            && sysusers.lines().any(|line| line.split_whitespace().eq(["m", "sidegate-keys", "git"]))
    );
}

/// A root in which the users have been made; `None` where systemd-sysusers is not installed.
fn root_with_users() -> Option<TempDir> {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("etc")).unwrap();
    let output = run_if_installed(
        Command::new("systemd-sysusers").arg("--root").arg(root.path()).arg(repository_path("packaging/sidegate.sysusers")),
    )?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(root)
}

#[test]
fn systemd_sysusers_makes_the_users() {
    let dry = run_if_installed(Command::new("systemd-sysusers").args(["--dry-run"]).arg(repository_path("packaging/sidegate.sysusers")));
    if let Some(output) = dry {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    if !is_root() {
        return;
    }
    let Some(root) = root_with_users() else { return };
    let users = fs::read_to_string(root.path().join("etc/passwd")).unwrap();
    for user in USERS {
        assert!(users.lines().any(|line| line.starts_with(&format!("{user}:")) && line.ends_with(":/usr/sbin/nologin")), "{users}");
    }
    let groups = fs::read_to_string(root.path().join("etc/group")).unwrap();
    let has = |group: &str, member: &str| {
        groups.lines().any(|line| line.starts_with(&format!("{group}:")) && line.ends_with(&format!(":{member}")))
    };
    assert!(has("git", "sidegate-keys") && has("sidegate-primary", "sidegate") && has("sidegate-mirror", "sidegate"), "{groups}");
}

#[test]
fn systemd_tmpfiles_makes_the_folders() {
    if !is_root() {
        return;
    }
    let Some(root) = root_with_users() else { return };
    let made = run_if_installed(
        Command::new("systemd-tmpfiles").args(["--create", "--root"]).arg(root.path()).arg(repository_path("packaging/sidegate.tmpfiles")),
    );
    let Some(output) = made else { return };
    expect_clean_output(&output);
    let made = fs::metadata(root.path().join("etc/sidegate")).unwrap();
    assert_eq!((made.permissions().mode() & 0o7777, made.uid()), (0o755, 0));
}

/// Returns the values of a setting of a unit.
fn settings<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
}

#[test]
fn the_folder_of_the_socket_belongs_to_the_socket_s_unit_alone() {
    let (socket, service) = (read_shipped("systemd/sidegate.socket"), read_shipped("systemd/sidegate.service"));
    assert_eq!((settings(&socket, "ListenStream"), settings(&socket, "DirectoryMode")), (vec!["/run/sidegate/api.sock"], vec!["0755"]));
    // A folder of the service is given to its user and group at every start, with the socket in it, which sshd's user then may not open.
    assert!(settings(&service, "RuntimeDirectory").is_empty(), "{service}");
    let tmpfiles = read_shipped("packaging/sidegate.tmpfiles");
    let folders = tmpfiles.lines().filter(|line| line.starts_with('d')).filter_map(|line| line.split_whitespace().nth(1));
    assert_eq!(folders.collect::<Vec<_>>(), ["/etc/sidegate"]);
}

#[test]
fn a_restart_of_the_socket_restarts_the_service() {
    // With Wants= alone a running service stays as it is, without a socket that anybody finds.
    let service = read_shipped("systemd/sidegate.service");
    assert_eq!((settings(&service, "Requires"), settings(&service, "After")[0]), (vec!["sidegate.socket"], "sidegate.socket"));
    assert_eq!(settings(&read_shipped("systemd/sidegate.socket"), "RemoveOnStop"), ["yes"]);
}

#[test]
fn a_credential_of_the_mirror_is_named_as_the_file_of_its_sample() {
    let (unit, sample) = (read_shipped("systemd/sidegate-mirror.service"), read_shipped("packaging/mirror.toml"));
    let credentials: Vec<&str> =
        unit.lines().filter_map(|line| line.strip_prefix("#LoadCredential=")?.split_once(':')).map(|(_, file)| file).collect();
    assert_eq!(credentials.len(), 4, "{credentials:?}");
    for file in credentials {
        assert!(sample.contains(&format!("_file = \"{file}\"\n")), "{file}");
    }
}

#[test]
fn sshd_asks_for_the_keys_of_git_and_of_nobody_else() {
    // Without it sshd does not even print its configuration.
    if !Path::new("/run/sshd").is_dir() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("host");
    let Some(output) = run_if_installed(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key)) else { return };
    expect_clean_output(&output);
    let config = folder.path().join("sshd_config");
    let dropin = repository_path("packaging/sshd_config.d/50-sidegate.conf");
    fs::write(&config, format!("HostKey {}\nInclude {}\nAuthorizedKeysFile .ssh/authorized_keys\n", key.display(), dropin.display()))
        .unwrap();
    let seen = |user: &str| {
        let who = format!("user={user},host=localhost,addr=127.0.0.1");
        run_if_installed(Command::new("/usr/sbin/sshd").args(["-T", "-C", &who, "-f"]).arg(&config))
            .map(|output| expect_clean_output(&output))
    };
    let (Some(git), Some(root)) = (seen("git"), seen("root")) else { return };
    assert!(git.contains("\nauthorizedkeyscommand /usr/lib/sidegate/sidegate-authorized-keys git %u %k\n"), "{git}");
    assert!(git.contains("\nauthorizedkeyscommanduser sidegate-keys\n") && git.contains("\nauthorizedkeysfile none\n"), "{git}");
    assert!(root.contains("\nauthorizedkeyscommand none\n") && root.contains("\nauthorizedkeysfile .ssh/authorized_keys\n"), "{root}");
}
