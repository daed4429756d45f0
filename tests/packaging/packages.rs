//! What the archive and the packages install, and what their scripts do to a host: to its users, units, configurations and data.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::{UNITS, USERS, expect_clean_output, read_shipped, repository_path, run_if_installed};

const PROGRAMS: [&str; 2] = ["usr/bin/sidegate", "usr/lib/sidegate/sidegate-authorized-keys"];
const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];

/// The tree of a host, below `usr`, as `packaging/stage` lays it out.
fn staged() -> (TempDir, BTreeSet<String>) {
    let folder = tempfile::tempdir().unwrap();
    let mut stage = Command::new(repository_path("packaging/stage"));
    stage.args([env!("CARGO_BIN_EXE_sidegate"), env!("CARGO_BIN_EXE_sidegate-authorized-keys")]).arg(folder.path());
    expect_clean_output(&stage.output().unwrap());
    let mut files = BTreeSet::new();
    let mut folders = vec![folder.path().to_owned()];
    while let Some(here) = folders.pop() {
        for entry in fs::read_dir(here).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.insert(path.strip_prefix(folder.path()).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    (folder, files)
}

#[test]
fn a_host_gets_programs_units_users_folders_samples_pages_and_completions_and_nothing_in_etc() {
    let (folder, files) = staged();
    let mut expected = BTreeSet::from(PROGRAMS.map(str::to_owned));
    expected.extend(UNITS.map(|unit| format!("usr/lib/systemd/system/{unit}")));
    expected.extend(["sysusers", "tmpfiles"].map(|kind| format!("usr/lib/{kind}.d/sidegate.conf")));
    let samples = ["sidegate.toml", "primary.toml", "mirror.toml", "50-sidegate.conf", "prometheus/alerts.yaml", "grafana/sidegate.json"];
    expected.extend(samples.map(|sample| format!("usr/share/sidegate/{sample}")));
    expected.extend(["copyright", "README", "CHANGELOG.md.gz"].map(|name| format!("usr/share/doc/sidegate/{name}")));
    let completions = [
        "bash-completion/completions/sidegate",
        "fish/vendor_completions.d/sidegate.fish",
        "zsh/vendor-completions/_sidegate",
        "zsh/site-functions/_sidegate",
    ];
    expected.extend(completions.map(|file| format!("usr/share/{file}")));
    let pages = |files: &BTreeSet<String>| files.iter().filter(|file| file.starts_with("usr/share/man/")).cloned().collect::<BTreeSet<_>>();
    for page in ["man1/sidegate.1", "man1/sidegate-admin-apply.1", "man5/sidegate.toml.5", "man5/sidegate-mirror.toml.5"] {
        assert!(pages(&files).contains(&format!("usr/share/man/{page}.gz")), "{page}");
    }
    assert_eq!(files.difference(&pages(&files)).cloned().collect::<BTreeSet<_>>(), expected);
    for file in &files {
        let mode = fs::metadata(folder.path().join(file)).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode, if PROGRAMS.contains(&file.as_str()) { 0o755 } else { 0o644 }, "{file}");
    }
}

/// The folders of what is staged that a packager is told of, with the mode that it gives to what is in them.
fn packaged_folders(manifest: &str, section: &str) -> Vec<(String, String)> {
    let (_, rest) = manifest.split_once(&format!("\n[{section}]\n")).unwrap();
    let (_, assets) = rest.split_once("assets = [\n").unwrap();
    let mut folders = Vec::new();
    for line in assets.split_once("\n]").unwrap().0.lines() {
        let quoted: Vec<&str> = line.split('"').skip(1).step_by(2).collect();
        let from = quoted[0].strip_prefix("target/release/package/").unwrap();
        let folder = from.split_once('*').unwrap().0;
        assert_eq!(quoted[1].trim_start_matches('/'), folder, "it is installed elsewhere than it is staged");
        folders.push((folder.to_owned(), quoted[2].to_owned()));
    }
    folders
}

#[test]
fn both_packages_contain_all_that_is_staged() {
    let (_folder, files) = staged();
    let manifest = read_shipped("Cargo.toml");
    for section in ["package.metadata.deb", "package.metadata.generate-rpm"] {
        let folders = packaged_folders(&manifest, section);
        for file in &files {
            let modes: Vec<&str> = folders.iter().filter(|(folder, _)| file.starts_with(folder)).map(|(_, mode)| mode.as_str()).collect();
            assert_eq!(modes, [if PROGRAMS.contains(&file.as_str()) { "755" } else { "644" }], "{section}: {file}");
        }
    }
    for script in ["postinst", "prerm", "postrm"] {
        assert!(manifest.contains(&format!("_script = \"packaging/deb/{script}\"\n")), "the rpm does not run {script}");
    }
}

/// A host in a folder, with programs that write down what they are called with in place of those that change a host.
struct Host {
    folder: TempDir,
}

impl Host {
    fn new() -> Self {
        let host = Self { folder: tempfile::tempdir().unwrap() };
        for name in ["systemctl", "systemd-sysusers", "systemd-tmpfiles", "userdel", "groupdel"] {
            let script = "#!/bin/sh\necho \"${0##*/} $*\" >>\"$CALLS\"\n";
            host.write(&format!("bin/{name}"), script);
            fs::set_permissions(host.path(&format!("bin/{name}")), fs::Permissions::from_mode(0o755)).unwrap();
        }
        host
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        fs::write(self.path(path), text).unwrap();
    }

    /// Runs a script as dpkg or rpm does. Returns what it called, and what it told the person who installs.
    fn run(&self, script: &str, arguments: &[&str]) -> (Vec<String>, String) {
        let calls = self.path("calls");
        let path = format!("{}:/usr/bin:/bin", self.path("bin").display());
        let mut command = Command::new("sh");
        command.arg(repository_path("packaging/deb").join(script)).args(arguments);
        let output = command.env("PATH", path).env("CALLS", &calls).env("DPKG_ROOT", self.folder.path()).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && output.stdout.is_empty(), "{script} {arguments:?}: {told}");
        let called = fs::read_to_string(&calls).unwrap_or_default();
        let _ = fs::remove_file(calls);
        let root = format!("={}", self.folder.path().display());
        (called.lines().map(|line| line.replace(&root, "=/")).collect(), told)
    }
}

#[test]
fn an_installation_makes_users_and_folders_and_starts_and_enables_nothing() {
    for arguments in [["configure", ""], ["1", ""]] {
        let (called, told) = Host::new().run("postinst", &arguments);
        assert_eq!(called, ["systemd-sysusers --root=/ sidegate.conf", "systemd-tmpfiles --root=/ --create sidegate.conf"]);
        assert_eq!(told, "");
    }
}

#[test]
fn an_upgrade_restarts_only_what_runs_and_leaves_the_socket() {
    for arguments in [["configure", "0.1.0-1"], ["2", ""]] {
        let host = Host::new();
        fs::create_dir_all(host.path("run/systemd/system")).unwrap();
        assert_eq!(host.run("prerm", if arguments[0] == "2" { &["1"] } else { &["upgrade", "0.2.0-1"] }).0, Vec::<String>::new());
        let (called, _) = host.run("postinst", &arguments);
        let units = ["sidegate-primary.service", "sidegate-mirror.service", "sidegate.service"];
        assert_eq!(called[2], "systemctl daemon-reload");
        let calls = units.map(|unit| [format!("systemctl --quiet is-active {unit}"), format!("systemctl try-restart {unit}")]);
        assert_eq!(called[3..], calls.concat());
    }
}

#[test]
fn a_unit_that_does_not_run_or_is_masked_is_not_restarted_and_not_called_failed() {
    let host = Host::new();
    fs::create_dir_all(host.path("run/systemd/system")).unwrap();
    host.write("bin/systemctl", "#!/bin/sh\necho \"systemctl $*\" >>\"$CALLS\"\n[ \"$1\" = daemon-reload ]\n");
    let (called, told) = host.run("postinst", &["configure", "0.1.0-1"]);
    assert!(!called.iter().any(|call| call.contains("try-restart")) && told.is_empty(), "{called:?} {told}");
}

#[test]
fn an_installation_into_an_image_without_proc_leaves_the_folder_to_the_first_start() {
    let host = Host::new();
    host.write("bin/systemd-tmpfiles", "#!/bin/sh\nexit 1\n");
    let (called, told) = host.run("postinst", &["configure", ""]);
    assert_eq!(called, ["systemd-sysusers --root=/ sidegate.conf"]);
    assert!(told.contains("/etc/sidegate is made at the next start"), "{told}");
}

#[test]
fn a_unit_of_the_operator_that_hides_ours_is_reported() {
    let host = Host::new();
    host.write("etc/systemd/system/sidegate.service", "");
    let (_, told) = host.run("postinst", &["configure"]);
    assert!(told.contains("etc/systemd/system/sidegate.service takes the place of") && told.contains("sidegate.service.d/"), "{told}");
}

/// What is on a host that was in use.
const IN_USE: [&str; 8] = [
    "etc/sidegate/sidegate.toml",
    "etc/sidegate/primary/shell_secret",
    "etc/ssh/sshd_config.d/00-sidegate.conf",
    "etc/ssh/sshd_config.d/50-sidegate.conf",
    "etc/systemd/system/sidegate.service.d/setup.conf",
    "var/lib/sidegate/store",
    "var/lib/sidegate-primary/store",
    "run/sidegate-primary/api.sock",
];

fn host_in_use() -> Host {
    let host = Host::new();
    for file in IN_USE {
        host.write(file, "AuthorizedKeysCommand /usr/lib/sidegate/sidegate-authorized-keys git %u %k\n");
    }
    host.write("etc/passwd", &USERS.map(|user| format!("{user}:x:990:990::/:/usr/sbin/nologin\n")).concat());
    host.write("etc/group", "git:x:989:sidegate-keys\nsidegate-primary:x:990:\n");
    host.write("var/lib/sidegated/other", "");
    host.write("etc/systemd/system/sidegate-primary.service.d/own.conf", "");
    host.write("etc/ssh/sshd_config.d/10-other.conf", "# /usr/lib/sidegate/sidegate-authorized-keys is not for us\n");
    fs::create_dir_all(host.path("run/systemd/system")).unwrap();
    host
}

#[test]
fn a_removal_stops_and_disables_all_keeps_configurations_data_and_users_and_warns_of_sshd() {
    for (arguments, after) in [("remove", "remove"), ("0", "0")] {
        let host = host_in_use();
        let (called, told) = host.run("prerm", &[arguments]);
        assert_eq!(called, [format!("systemctl --root=/ --quiet --now disable {}", UNITS.join(" "))]);
        assert!(told.contains("sshd still asks") && told.contains("50-sidegate.conf") && !told.contains("10-other"), "{told}");
        assert_eq!(host.run("postrm", &[after]).0, ["systemctl daemon-reload"]);
        assert!(IN_USE.iter().all(|file| host.path(file).exists()));
    }
}

#[test]
fn a_purge_leaves_nothing_of_ours_and_takes_nothing_of_others() {
    let host = host_in_use();
    let (called, told) = host.run("postrm", &["purge"]);
    assert!(IN_USE.iter().all(|file| !host.path(file).exists()));
    assert!(host.path("etc/systemd/system/sidegate-primary.service.d/own.conf").exists());
    for gone in
        ["etc/sidegate", "etc/systemd/system/sidegate.service.d", "var/lib/sidegate", "var/lib/sidegate-primary", "run/sidegate-primary"]
    {
        assert!(!host.path(gone).exists(), "{gone}");
    }
    assert!(host.path("var/lib/sidegated/other").exists() && host.path("etc/ssh/sshd_config.d/10-other.conf").exists());
    assert!(told.contains("50-sidegate.conf is removed"), "{told}");
    for user in USERS {
        assert!(called.iter().any(|call| call.starts_with("userdel ") && call.ends_with(&format!(" {user}"))), "{called:?}");
    }
    assert!(called.iter().any(|call| call == "systemctl reload ssh.service") && !called.iter().any(|call| call.contains("reload sshd")));
    assert_eq!(called.iter().filter(|call| call.starts_with("groupdel")).count(), 1, "{called:?}");
    // Once more, with nothing left: as after a purge that was interrupted.
    fs::write(host.path("etc/passwd"), "").unwrap();
    fs::write(host.path("etc/group"), "git:x:989:\n").unwrap();
    assert_eq!(host.run("postrm", &["purge"]), (Vec::new(), String::new()));
}

#[test]
fn a_purge_of_the_rest_of_a_package_takes_nothing_of_an_installation_from_the_archive() {
    let host = host_in_use();
    host.write("usr/bin/sidegate", "");
    let (called, told) = host.run("postrm", &["purge"]);
    assert!(called.is_empty() && IN_USE.iter().all(|file| host.path(file).exists()), "{called:?}");
    assert!(told.contains("installed another way"), "{told}");
}

#[test]
fn a_purge_that_cannot_remove_a_user_says_so_and_goes_on() {
    let host = host_in_use();
    host.write("bin/userdel", "#!/bin/sh\necho \"userdel $*\" >>\"$CALLS\"\nexit 8\n");
    let (called, told) = host.run("postrm", &["purge"]);
    assert_eq!(called.iter().filter(|call| call.starts_with("userdel")).count(), 4, "{called:?}");
    assert!(told.contains("the user sidegate-keys stays: end its processes"), "{told}");
    assert!(IN_USE.iter().all(|file| !host.path(file).exists()));
}

#[test]
fn a_purge_names_a_store_elsewhere_and_a_file_that_still_asks_the_program() {
    let host = host_in_use();
    host.write("etc/sidegate/primary.toml", "[socket]\npath = \"/run/sidegate-primary/api.sock\"\n[store]\npath = \"/srv/keys\"\n");
    host.write("etc/ssh/sshd_config.d/20-own.conf", "AuthorizedKeysCommand /usr/lib/sidegate/sidegate-authorized-keys git %u %k\n");
    let (_, told) = host.run("postrm", &["purge"]);
    assert!(told.contains("/srv/keys, which") && !told.contains("/run/sidegate-primary/api.sock, which"), "{told}");
    assert!(told.contains("still asks") && told.contains("20-own.conf"), "{told}");
}

#[test]
fn a_removal_says_how_what_a_set_up_made_is_taken_back_and_that_gitlab_shell_still_asks() {
    let host = host_in_use();
    host.write("etc/sidegate/setup.json", "{}");
    let (_, told) = host.run("prerm", &["remove"]);
    assert!(told.contains("sidegate setup --remove") && told.contains("gitlab_url") && told.contains("gitlab.rb"), "{told}");
}

#[test]
fn what_dpkg_undoes_changes_nothing() {
    for (script, argument) in
        [("postinst", "abort-upgrade"), ("prerm", "failed-upgrade"), ("postrm", "abort-install"), ("postrm", "upgrade")]
    {
        assert_eq!(host_in_use().run(script, &[argument, "0.1.0-1"]), (Vec::new(), String::new()), "{script} {argument}");
    }
}

#[test]
fn the_scripts_are_plain_sh() {
    let scripts: Vec<PathBuf> = SCRIPTS.map(|script| repository_path("packaging/deb").join(script)).into();
    let all = scripts.iter().map(PathBuf::as_path).chain([Path::new("packaging/install")]);
    for script in all {
        let text = fs::read_to_string(repository_path(script.to_str().unwrap())).unwrap();
        assert!(text.starts_with("#!/bin/sh\n"), "{}", script.display());
        for shell in ["dash", "sh"] {
            if let Some(output) = run_if_installed(Command::new(shell).arg("-n").arg(repository_path(script.to_str().unwrap()))) {
                expect_clean_output(&output);
            }
        }
    }
}

#[test]
fn the_archive_is_what_is_staged_and_the_scripts_that_install_it() {
    let archive = read_shipped("packaging/archive");
    assert!(archive.contains("\npackaging/stage \"$sidegate\" \"$helper\" \"$staged/files\"\n"), "{archive}");
    assert!(read_shipped("packaging/install").ends_with("\n../postinst configure\n") && archive.contains(" packaging/deb/postinst "));
}
