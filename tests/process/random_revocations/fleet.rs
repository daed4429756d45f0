//! A primary and its hosts, each host behind a link of its own, and all that is done to them: kill, stop, fill, copy, restore.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use sidegate::model::clock;

use crate::support::env::{Daemon, TestEnv};
use crate::support::http::Request;
use crate::support::link::{Delivery, Link};
use crate::support::small_disk::SmallDisk;

/// The host that is always there, with its store on a small disk if one can be mounted.
pub const FIRST: usize = 0;
/// The host that comes now and then.
pub const NEWCOMER: usize = 2;
/// How long a healed fleet may take until every host is where the primary is: the longest wait between two tries to connect is 10 s, and
/// of a question whether the primary is back 15 s.
const RECOVERY_TIME: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_millis(20);

/// How long one class of answers may be given, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub ttl: u64,
    pub max_stale: u64,
}

/// The limits of a host's classes.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub keys: Limits,
    pub reads: Limits,
    pub push: Limits,
}

const fn limits(ttl: u64, max_stale: u64) -> Limits {
    Limits { ttl, max_stale }
}

/// Of each host: the second's pulls may be older than its keys, and its bounds are no whole seconds.
const BOUNDS: [Bounds; 3] = [
    Bounds { keys: limits(2_000, 6_000), reads: limits(1_000, 4_000), push: limits(1_000, 3_000) },
    Bounds { keys: limits(3_000, 5_500), reads: limits(2_000, 8_500), push: limits(2_000, 4_000) },
    Bounds { keys: limits(3_000, 9_000), reads: limits(3_000, 9_000), push: limits(3_000, 9_000) },
];
/// What the first host's bounds are raised to.
const RAISED: Bounds =
    Bounds { keys: limits(2_000, LONGEST_MAX_STALE), reads: limits(1_000, LONGEST_MAX_STALE), push: limits(1_000, LONGEST_MAX_STALE) };
/// The longest bound that the primary allows, in milliseconds.
const LONGEST_MAX_STALE: u64 = 12_000;

/// One host.
pub struct Host {
    pub socket: PathBuf,
    pub link: Link,
    config: String,
    store: PathBuf,
    daemon: Mutex<Option<Daemon>>,
    /// What its configuration says now.
    bounds: Mutex<Bounds>,
    /// When it was stopped, and when it went on.
    pub pauses: Mutex<Vec<(Duration, Duration)>>,
}

/// A copy of the primary's folder, as a snapshot of its disk would be.
pub struct Copy {
    folder: PathBuf,
    /// Boot time when it was begun.
    pub taken: Duration,
}

/// All of it. Daemons end before their disks, and those before the folder.
pub struct Fleet {
    pub hosts: Vec<Host>,
    primary: Mutex<Option<Daemon>>,
    pub host_disk: Option<SmallDisk>,
    pub primary_disk: Option<SmallDisk>,
    pub env: TestEnv,
}

impl Fleet {
    /// A primary with this directory, and two hosts that follow it.
    pub fn start(directory: &str) -> Self {
        let env = TestEnv::with_config(&format!("[sync]\nlongest_max_stale = \"{LONGEST_MAX_STALE}ms\"\n"), "");
        let hosts = (0..BOUNDS.len()).map(|index| Host::configure(&env, index)).collect();
        let host_disk = SmallDisk::mount(&env.path().join("host-1"), 24 << 10);
        let primary_disk = SmallDisk::mount(&env.path().join("primary"), 48 << 10);
        let fleet = Self { hosts, primary: Mutex::new(None), host_disk, primary_disk, env };
        fleet.start_primary();
        fleet.env.apply(directory);
        for host in &fleet.hosts[..NEWCOMER] {
            host.start(&fleet.env);
        }
        assert_eq!(fleet.wait_until_recovered(), Ok(()), "{}", fleet.logs());
        fleet
    }

    pub fn start_primary(&self) {
        *self.primary() = Some(self.env.start_daemon("primary", "primary.toml"));
    }

    pub fn kill_primary(&self) {
        *self.primary() = None;
    }

    pub fn signal_primary(&self, signal: Signal) {
        self.primary().as_ref().unwrap().signal(signal);
    }

    /// Copies the primary's folder while it stands still.
    pub fn copy_primary(&self, name: &str) -> Copy {
        let copy = Copy { folder: self.env.path().join(name), taken: now() };
        stop(self.primary().as_ref().unwrap());
        copy_folder(&self.env.path().join("primary"), &copy.folder);
        self.signal_primary(Signal::SIGCONT);
        copy
    }

    /// Kills the primary and puts a copy in the place of its folder.
    pub fn restore_primary(&self, copy: &Copy) {
        self.kill_primary();
        let folder = self.env.path().join("primary");
        empty_folder(&folder);
        copy_folder(&copy.folder, &folder);
    }

    /// Runs `sidegate admin`, also against a primary that is not there.
    pub fn admin(&self, words: &[&str]) -> Output {
        self.env.run_admin(words)
    }

    /// Waits until every host that runs is where the primary is; else says what is not so.
    pub fn wait_until_recovered(&self) -> Result<(), String> {
        let begun = now();
        loop {
            let missing = self.not_recovered();
            match missing {
                None => return Ok(()),
                Some(missing) if now() - begun > RECOVERY_TIME => return Err(missing),
                Some(_) => std::thread::park_timeout(TICK),
            }
        }
    }

    fn not_recovered(&self) -> Option<String> {
        let Some(primary) = status(&self.env.primary_socket()) else { return Some("the primary does not answer".to_owned()) };
        self.hosts.iter().filter(|host| host.runs()).find_map(|host| {
            let Some(here) = status(&host.socket) else { return Some(format!("{} does not answer", host.config)) };
            let follower = &here["follower"];
            let follows = follower["cursor"]["digest"] == primary["head"]["digest"]
                && follower["cursor"]["seq"] == primary["head"]["seq"]
                && follower["cursor"]["epoch"] == primary["head"]["epoch"]
                && follower["whole"] == true
                && here["freshness"]["keys"]["state"] != "expired"
                && here["primary"]["breaker"] == "closed";
            (!follows).then(|| format!("{}: {here}\nthe primary: {primary}", host.config))
        })
    }

    /// The logs of all.
    pub fn logs(&self) -> String {
        let names = ["primary.toml", "host-1.toml", "host-2.toml", "host-3.toml"];
        names.map(|name| format!("--- {name}\n{}", fs::read_to_string(self.log_path(name)).unwrap_or_default())).concat()
    }

    /// Where the log of a daemon is, by the name of its configuration.
    pub fn log_path(&self, config: &str) -> PathBuf {
        self.env.path().join(format!("{config}.log"))
    }

    /// Gives the first host its own bounds again, if they were raised; returns whether they were.
    pub fn lower_bounds(&self) -> bool {
        let (host, own) = (&self.hosts[FIRST], BOUNDS[FIRST]);
        let raised = host.bounds().keys.max_stale > own.keys.max_stale;
        if raised {
            host.kill();
            host.write_config(&self.env, "ssh-1", own);
            host.start(&self.env);
        }
        raised
    }

    fn primary(&self) -> MutexGuard<'_, Option<Daemon>> {
        self.primary.lock().unwrap()
    }
}

impl Host {
    fn configure(env: &TestEnv, index: usize) -> Self {
        let at = env.path();
        let store = at.join(format!("host-{}", index + 1));
        let [socket, link_path] = ["sock", "link"].map(|extension| store.with_extension(extension));
        let link = Link::start(&link_path, &env.primary_socket());
        let config = format!("host-{}.toml", index + 1);
        let host =
            Self { socket, link, config, store, daemon: Mutex::new(None), bounds: Mutex::new(BOUNDS[index]), pauses: Mutex::default() };
        host.write_config(env, &format!("ssh-{}", index + 1), BOUNDS[index]);
        host
    }

    /// Writes the configuration that the next start reads.
    fn write_config(&self, env: &TestEnv, name: &str, bounds: Bounds) {
        let at = env.path().display();
        let class = |limits: Limits| format!("{{ ttl = \"{}ms\", max_stale = \"{}ms\" }}", limits.ttl, limits.max_stale);
        let link = self.socket.with_extension("link");
        env.write(
            &self.config,
            &format!(
                "host = \"{name}\"\n[socket]\npath = \"{}\"\n[auth]\nshell_secret_file = \"{at}/shell_secret\"\n\
                 [primary]\nurl = \"http+unix://{}\"\nfeed = \"sidegate\"\nsync_secret_file = \"{at}/sync_secret\"\n\
                 [store]\npath = \"{}\"\n[log]\nlevel = \"info\"\n\
                 [freshness]\nloss_guard = {{ share = 1.0, more_than = 1000000 }}\nkeys = {}\nreads = {}\npush_precheck = {}\n",
                self.socket.display(),
                link.display(),
                self.store.display(),
                class(bounds.keys),
                class(bounds.reads),
                class(bounds.push),
            ),
        );
        *self.bounds.lock().unwrap() = bounds;
    }

    /// Gives it another name before its first start.
    pub fn rename(&self, env: &TestEnv, name: &str) {
        self.write_config(env, name, self.bounds());
    }

    /// Lets its answers be older from its next start on.
    pub fn raise_bounds(&self, env: &TestEnv) {
        self.write_config(env, "ssh-1", RAISED);
    }

    pub fn bounds(&self) -> Bounds {
        *self.bounds.lock().unwrap()
    }

    pub fn start(&self, env: &TestEnv) {
        *self.daemon.lock().unwrap() = Some(env.start_daemon("serve", &self.config));
    }

    pub fn kill(&self) {
        *self.daemon.lock().unwrap() = None;
    }

    pub fn runs(&self) -> bool {
        self.daemon.lock().unwrap().is_some()
    }

    /// Kills it, and removes all that it has.
    pub fn remove(&self) {
        self.kill();
        empty_folder(&self.store);
    }

    /// Copies its store, while it stands still, as a backup would.
    pub fn copy_store(&self, env: &TestEnv) -> PathBuf {
        let copy = env.path().join(format!("copy-of-a-host-{}", now().as_millis()));
        copy_folder(&self.store, &copy);
        copy
    }

    /// Gives it a copy of a store in the place of its own; it must not run.
    pub fn take_store(&self, copy: &Path) {
        empty_folder(&self.store);
        copy_folder(copy, &self.store);
    }

    /// Stops it for a time, as a paused virtual machine.
    pub fn pause(&self, then: impl FnOnce()) {
        let began = now();
        stop(self.daemon.lock().unwrap().as_ref().unwrap());
        then();
        self.daemon.lock().unwrap().as_ref().unwrap().signal(Signal::SIGCONT);
        self.pauses.lock().unwrap().push((began, now()));
    }

    /// Waits until it has followed the primary once.
    pub fn wait_until_it_follows(&self) {
        let begun = now();
        while now() - begun < RECOVERY_TIME && status(&self.socket).is_none_or(|status| status["freshness"]["keys"]["state"] == "expired") {
            std::thread::park_timeout(TICK);
        }
    }

    /// Delivers everything at once again.
    pub fn heal(&self) {
        self.link.deliver_all(Delivery::Prompt);
    }
}

/// Stops a daemon, and waits until it stands still.
fn stop(daemon: &Daemon) {
    daemon.signal(Signal::SIGSTOP);
    let stat = format!("/proc/{}/stat", daemon.id());
    while !fs::read_to_string(&stat).unwrap().contains(") T ") {
        std::thread::yield_now();
    }
}

/// Boot time.
pub fn now() -> Duration {
    clock::boot_time().0
}

/// Waits for a time; a load goes on meanwhile.
pub fn wait(time: Duration) {
    let begun = now();
    while let Some(left) = time.checked_sub(now() - begun).filter(|left| !left.is_zero()) {
        std::thread::park_timeout(left);
    }
}

fn status(socket: &Path) -> Option<Value> {
    let response = Request::get("/-/admin/status").try_send(socket).ok()?;
    serde_json::from_slice(&response.body).ok()
}

fn empty_folder(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let _file = fs::remove_file(entry.path()).or_else(|_| fs::remove_dir_all(entry.path()));
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    let copied = Command::new("cp").arg("-a").arg(from.join(".")).arg(to).status().unwrap();
    assert!(copied.success(), "the primary's folder could not be copied");
}
