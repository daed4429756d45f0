//! Hosts that are broken, each in one way, and what `sidegate check` must say of each.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use crate::check::host::{DAEMON_USER, Host, KEY_USER};
use crate::support::fake_primary::{FakePrimary, FakeReply, RecordedRequest, json_response, response_with_headers};
use crate::support::generated_directory::directory_of_keys;
use crate::support::small_disk::SmallDisk;

/// The configuration that is checked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Which {
    Sidecar,
    Primary,
}

/// A host that is broken in one way.
pub struct Broken {
    pub name: &'static str,
    /// Breaks a host whose daemons run.
    pub breaks: fn(&mut Host),
    pub which: Which,
    pub level: &'static str,
    /// A part of the finding.
    pub says: &'static str,
    /// Whether the daemon itself refuses to start, so that `check --start` fails.
    pub refused: bool,
}

const fn sidecar(name: &'static str, level: &'static str, says: &'static str, breaks: fn(&mut Host)) -> Broken {
    Broken { name, breaks, which: Which::Sidecar, level, says, refused: false }
}

const fn refused(name: &'static str, says: &'static str, breaks: fn(&mut Host)) -> Broken {
    Broken { name, breaks, which: Which::Sidecar, level: "error", says, refused: true }
}

const fn primary(name: &'static str, says: &'static str, refused: bool, breaks: fn(&mut Host)) -> Broken {
    Broken { name, breaks, which: Which::Primary, level: "error", says, refused }
}

/// All of them.
pub fn hosts() -> Vec<Broken> {
    [secrets(), sockets(), daemons(), logins(), stores(), configurations(), certificates()].into_iter().flatten().collect()
}

fn secrets() -> Vec<Broken> {
    vec![
        sidecar("a wrong sync secret", "error", "feed: refuses our token (401)", |host| {
            host.write("other_secret", "another-sync-secret-of-thirty-2x");
            host.env.replace_in_file("sidegate.toml", "/sync_secret", "/other_secret");
        }),
        sidecar("a wrong shell secret", "error", "primary: refuses our token (401)", |host| {
            host.write("other_secret", "another-shell-secret-of-thirty-2");
            host.env.replace_in_file("sidegate.toml", "/shell_secret", "/other_secret");
        }),
        refused("a secret that others may read", "mode 0644 lets group or others at the secret", |host| {
            host.set_mode("shell_secret", 0o644)
        }),
        refused("a missing secret", "sync_secret: No such file", |host| fs::remove_file(host.path("sync_secret")).unwrap()),
        sidecar("a secret that only root may read", "error", "auth.shell_secret_file: ", |host| host.install_unit(DAEMON_USER, "", "")),
        refused("a credential that no unit hands over", "sidegate.service has no credential of the name shell_secret", |host| {
            host.install_unit("", "", "[Service]\nLoadCredential=other:/etc/hostname\n");
            let file = host.path("shell_secret");
            host.env.replace_in_file("sidegate.toml", file.to_str().unwrap(), "shell_secret");
        }),
    ]
}

fn sockets() -> Vec<Broken> {
    vec![
        sidecar("a socket of mode 0666", "error", "has mode 0666, and [socket] of the configuration says 0660", |host| {
            host.set_mode("api.sock", 0o666)
        }),
        sidecar("a socket that is meant for everybody", "warning", "has mode 0666, as [socket] of the configuration says", |host| {
            host.env.replace_in_file("sidegate.toml", "[auth]\n", "mode = \"0666\"\n[auth]\n");
            host.restart_sidecar();
        }),
        sidecar("a socket of a wrong group", "error", "belongs to the group root, and [socket] of the configuration says", |host| {
            host.give("api.sock", "root");
        }),
        sidecar("a socket of a stranger", "error", "belongs to daemon, neither to root nor to", |host| {
            let group = fs::metadata(host.path("api.sock")).map(|file| std::os::unix::fs::MetadataExt::gid(&file)).unwrap();
            host.give("api.sock", DAEMON_USER);
            std::os::unix::fs::chown(host.path("api.sock"), None, Some(group)).unwrap();
        }),
        sidecar("a socket that has vanished", "error", "has vanished: a daemon listens", |host| {
            host.env.sidecar.as_mut().unwrap().stop();
            let socket = UnixListener::bind(host.path("api.sock")).unwrap();
            host.env.sidecar = Some(host.env.start_daemon_with_socket("serve", "sidegate.toml", socket.into()));
            fs::remove_file(host.path("api.sock")).unwrap();
        }),
        sidecar("a file in the socket's place", "error", "is there and is not a socket", |host| {
            host.env.sidecar.as_mut().unwrap().stop();
            host.write("api.sock", "");
        }),
        sidecar("a socket that an ended daemon left", "error", "nobody listens at", |host| host.env.sidecar.as_mut().unwrap().kill()),
        sidecar("a folder in which others may put a socket", "error", "can be written by others than root and", |host| {
            fs::create_dir(host.path("open")).unwrap();
            host.set_mode("open", 0o777);
            host.env.replace_in_file("sidegate.toml", "/api.sock", "/open/api.sock");
        }),
    ]
}

fn daemons() -> Vec<Broken> {
    vec![
        sidecar("a daemon that hangs", "error", "daemon: no answer from ", |host| {
            host.env.sidecar.as_ref().unwrap().signal(Signal::SIGSTOP);
        }),
        sidecar("a daemon that can let nobody in", "error", "can be answered neither from here nor by the primary", |host| {
            host.env.primary.as_mut().unwrap().stop();
            host.env.sidecar.as_mut().unwrap().stop();
            fs::remove_dir_all(host.path("sidecar")).unwrap();
            host.env.start_sidecar();
            host.env.wait_for("the probe to fail", || host.env.status()["primary"]["state"] == "silent");
        }),
        sidecar("a service that has failed behind its socket", "error", "sidegate.service: it has failed, while sidegate.socket", |host| {
            host.install_unit("", "", "");
            host.env.replace_in_file("bin/show-sidegate.service", "ActiveState=active", "ActiveState=failed");
            host.write("bin/show-sidegate.socket", "LoadState=loaded\nActiveState=active\nListen=/run/other.sock (Stream)\n");
        }),
        sidecar("a primary that was restored from an old copy", "warning", "daemon: ALARM primary_went_back since ", |host| {
            let (store, copy) = (host.path("primary"), host.path("copy"));
            let copy_store = |from: &Path, to: &Path| assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
            host.env.primary.as_mut().unwrap().stop();
            copy_store(&store, &copy);
            host.env.start_primary();
            host.env.apply(&directory_of_keys(9));
            host.env.wait_until_fresh();
            host.env.primary.as_mut().unwrap().stop();
            fs::remove_dir_all(&store).unwrap();
            copy_store(&copy, &store);
            host.env.start_primary();
            host.env.wait_for("the alarm", || host.env.status()["alarms"].to_string().contains("primary_went_back"));
        }),
    ]
}

fn logins() -> Vec<Broken> {
    vec![
        sidecar("a peer without sshd's user", "error", "nobody may not look up keys, so nobody can log in", |host| {
            host.env.replace_in_file(
                "sidegate.toml",
                "[auth]\n",
                "default_scopes = []\n[[peer]]\nuser = \"daemon\"\nscopes = [\"keys\"]\n[auth]\n",
            );
            host.restart_sidecar();
        }),
        sidecar("rules from when they took scopes away", "warning", "gives only what everybody has who can open the socket", |host| {
            host.env.replace_in_file(
                "sidegate.toml",
                "[auth]\n",
                &format!("[[peer]]\nuser = \"{KEY_USER}\"\nscopes = [\"keys\"]\n[auth]\n"),
            );
        }),
        sidecar(
            "a drop-in that ends in .bak",
            "error",
            "50-sidegate.conf.bak is not read, because its name does not end in .conf",
            |host| {
                fs::rename(host.path("sshd_config.d/50-sidegate.conf"), host.path("sshd_config.d/50-sidegate.conf.bak")).unwrap();
            },
        ),
        sidecar("a drop-in that nothing includes", "error", "does not include it", |host| {
            host.env.replace_in_file("sshd_config", "Include", "#")
        }),
        sidecar("no drop-in at all", "warning", "it has no AuthorizedKeysCommand for this login", |host| {
            fs::remove_file(host.path("sshd_config.d/50-sidegate.conf")).unwrap();
        }),
        sidecar("another command before ours", "error", "10-other.conf:2), which is not sidegate; the first one counts", |host| {
            host.write(
                "sshd_config.d/10-other.conf",
                "Match User root\nAuthorizedKeysCommand /bin/false %u\nAuthorizedKeysCommandUser nobody\n",
            );
        }),
        sidecar("no keys at sshd", "error", "PubkeyAuthentication is no", |host| {
            host.change_drop_in("    AuthorizedKeysFile none", "    PubkeyAuthentication no")
        }),
        sidecar("a user whom sshd keeps out", "error", "AllowUsers does not name it", |host| {
            host.write("sshd_config.d/60.conf", "AllowUsers zoe\n")
        }),
        sidecar("a configuration that sshd refuses", "error", "sshd: it refuses its configuration", |host| {
            host.write("sshd_config.d/60.conf", "Prot 2\n")
        }),
        sidecar("a helper that others may write", "error", "it refuses to run", |host| host.set_mode("sidegate-authorized-keys", 0o775)),
        sidecar("a helper that is not there", "error", "sidegate-authorized-keys: No such file", |host| {
            fs::remove_file(host.path("sidegate-authorized-keys")).unwrap();
        }),
        sidecar("a user of the command who does not exist", "error", "AuthorizedKeysCommandUser nobody-at-all does not exist", |host| {
            host.change_drop_in(&format!("User {KEY_USER}"), "User nobody-at-all");
        }),
        sidecar("a helper that asks another socket", "error", "and the daemon's socket is", |host| {
            host.change_drop_in("/api.sock", "/old.sock")
        }),
        sidecar("a helper that answers for another user", "error", "answers for another user than root", |host| {
            host.change_drop_in("root %u", "git %u")
        }),
        sidecar("no gitlab-shell", "error", "which is no program on this host", |host| fs::remove_file(host.path("gitlab-shell")).unwrap()),
    ]
}

fn stores() -> Vec<Broken> {
    vec![
        refused("a store of another user", "owns this, and we are uid 0", |host| {
            host.install_unit("", "", "");
            host.env.sidecar.as_mut().unwrap().stop();
            host.give("sidecar", DAEMON_USER);
        }),
        sidecar("a store that the unit may not write", "error", "it sees the file system read-only", |host| {
            host.install_unit("", "ProtectSystem=strict\nStateDirectory=sidegate\n", "");
        }),
        sidecar("a store that others may read", "error", "lets group or others read what is in it", |host| host.set_mode("sidecar", 0o755)),
        sidecar("a full disk", "error", "is full, ", |host| match SmallDisk::mount(&host.path("disk"), 2048) {
            Some(disk) => {
                host.beside.push(Box::new(disk));
                host.env.replace_in_file("sidegate.toml", "/sidecar\"", "/disk\"");
            }
            None => host.skipped = true,
        }),
        sidecar("a store that cannot be made", "error", "is not there, and daemon may not make it in", |host| {
            host.install_unit(DAEMON_USER, "", "");
            host.env.replace_in_file("sidegate.toml", "/sidecar\"", "/none/sidecar\"");
        }),
    ]
}

fn configurations() -> Vec<Broken> {
    vec![
        refused("a setting that is not known", "`hots`: unknown field `hots`", |host| {
            host.env.replace_in_file("sidegate.toml", "host =", "hots =")
        }),
        refused("a peer who does not exist", "the user `nobody-at-all` of a [[peer]] does not exist", |host| {
            host.env.replace_in_file("sidegate.toml", "[auth]\n", "[[peer]]\nuser = \"nobody-at-all\"\nscopes = [\"metrics\"]\n[auth]\n");
        }),
        sidecar("its own socket as the primary", "error", "is this host's own socket", |host| {
            host.env.replace_in_file("sidegate.toml", "/primary.sock", "/api.sock");
        }),
        sidecar("a dead primary", "warning", "the sidecar will answer from its copy of the directory", |host| {
            host.env.primary.as_mut().unwrap().stop();
        }),
        sidecar("a primary that is none", "error", "answers `check` with status 404, as no primary does", |host| {
            replace_primary(host, |_| FakeReply::Respond(json_response(404, "{\"message\":\"404 Not Found\"}")));
        }),
        sidecar("a clock that is not the primary's", "error", "away from that of primary, which refuses tokens", |host| {
            let headers = "Date: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Type: application/json\r\n";
            replace_primary(host, move |_| FakeReply::Respond(response_with_headers(200, headers, "{}")));
        }),
        refused("no file of certificates", "ca.pem", |host| {
            let file = host.path("ca.pem").display().to_string();
            let primary = format!("url = \"http+unix://{}\"", host.env.primary_socket().display());
            host.env.replace_in_file("sidegate.toml", &primary, &format!("url = \"https://127.0.0.1:1\"\nca_file = \"{file}\""));
        }),
        sidecar("metrics that everybody reads", "warning", "whoever reaches 0.0.0.0:0 reads the metrics of this daemon", |host| {
            host.env.replace_in_file("sidegate.toml", "[auth]\n", "[metrics]\nlisten = \"0.0.0.0:0\"\n[auth]\n");
        }),
        sidecar("metrics at an address of another host", "error", "metrics.listen: 192.0.2.7:9469: ", |host| {
            host.env.replace_in_file("sidegate.toml", "[auth]\n", "[metrics]\nlisten = \"192.0.2.7:9469\"\n[auth]\n");
        }),
        sidecar("a configuration that the daemon may not read", "error", "daemon may not read it", |host| {
            host.install_unit(DAEMON_USER, "", "");
            host.set_mode("sidegate.toml", 0o600);
        }),
        sidecar("a unit that a warning keeps from starting", "warning", "before its start without --start", |host| {
            let before =
                "ExecStartPre={ path=/usr/bin/sidegate ; argv[]=/usr/bin/sidegate check --offline --config /x ; ignore_errors=no }\n";
            host.install_unit("", before, "");
        }),
    ]
}

fn certificates() -> Vec<Broken> {
    vec![
        primary("missing TLS files", "listen: ", true, |host| listen(host, None, None)),
        primary("a certificate of another key", "it does not go with the key in", true, |host| {
            let (certificate, _) = certificate(2049);
            listen(host, Some(certificate), Some(KeyPair::generate().unwrap().serialize_pem()));
        }),
        primary("an expired certificate", "expired on 2026-01-01", false, |host| {
            let (certificate, key) = certificate(2026);
            listen(host, Some(certificate), Some(key));
        }),
    ]
}

/// Lets the host ask a primary that the test plays.
fn replace_primary(host: &mut Host, answer: impl Fn(&RecordedRequest) -> FakeReply + Send + Sync + 'static) {
    let fake = FakePrimary::listen_with_probe(&host.path("fake.sock"), answer);
    host.beside.push(Box::new(fake));
    host.env.replace_in_file("sidegate.toml", "/primary.sock", "/fake.sock");
}

/// A certificate that is valid until the first day of a year, and its key.
fn certificate(until: i32) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["primary.example".to_owned()]).unwrap();
    params.not_before = date_time_ymd(2025, 1, 1);
    params.not_after = date_time_ymd(until, 1, 1);
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

/// Lets the primary listen on the network with these files.
fn listen(host: &Host, certificate: Option<String>, key: Option<String>) {
    let [certificate_file, key_file] = ["cert.pem", "key.pem"].map(|name| host.path(name).display().to_string());
    let section =
        format!("[listen]\naddress = \"127.0.0.1:0\"\ntls_cert_file = \"{certificate_file}\"\ntls_key_file = \"{key_file}\"\n[auth]\n");
    host.env.replace_in_file("primary.toml", "[auth]\n", &section);
    for (name, text) in [("cert.pem", certificate), ("key.pem", key)] {
        if let Some(text) = text {
            host.write(name, &text);
        }
    }
}
