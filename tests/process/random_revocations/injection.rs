//! How each fault is injected into a fleet that is healthy. It lasts a drawn time and leaves everything running; what the fleet still needs to
//! recover is not waited for here.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::random_revocations::fault::Fault;
use crate::random_revocations::fleet::{FIRST, Fleet, Host, NEWCOMER, now, wait};
use crate::random_revocations::operator::Operator;
use crate::support::link::{Delivery, Traffic};
use crate::support::random::Random;
use crate::support::small_disk::SmallDisk;

/// How much lag a link that is ever later gains each second, and how much at most.
const LAG_PER_SECOND: Duration = Duration::from_millis(900);
const MOST_LAG: Duration = Duration::from_secs(60);

/// Injects it for about `time`; the restores are the episode's to do.
pub fn inject(fault: Fault, operator: &Operator, random: &mut Random, time: Duration) {
    let fleet = operator.fleet;
    match fault {
        Fault::None | Fault::Restored | Fault::RestoredFromOldCopy => wait(time),
        Fault::PausedPrimary | Fault::KilledPrimary | Fault::NewEpoch => inject_at_primary(fault, fleet, random, time),
        Fault::KilledBoth => kill_both(fleet, random, time),
        Fault::FullHostDisk => {
            // A commit, or too many changes for one: then the host has to fetch a snapshot for which there is no room.
            let keys = if random.chance(2) { 900 } else { 1_900 };
            fill_host_disk(operator, fleet.host_disk.as_ref().unwrap(), keys, time);
        }
        Fault::FullPrimaryDisk => fill_primary_disk(fleet, fleet.primary_disk.as_ref().unwrap(), time),
        Fault::Newcomer => newcomer(fleet, random, time),
        Fault::RaisedBounds => raise_bounds(fleet, random, time),
        Fault::Namesake => namesake(fleet, time),
        Fault::CopiedHost => copied_host(fleet, time),
        Fault::RestoredHost => restored_host(fleet, time),
        Fault::OlderFile => {
            wait(time / 2);
            operator.apply_older_file();
            wait(time / 2);
            operator.apply_older_file();
        }
        Fault::Mixed => mixed(fleet, random, time),
        _ => {
            let which = random.below(3);
            let hosts = &fleet.hosts[..NEWCOMER];
            let targets: Vec<&Host> = if which == 2 { hosts.iter().collect() } else { vec![&hosts[usize::try_from(which).unwrap()]] };
            std::thread::scope(|scope| {
                for host in targets {
                    let mut random = Random::new(random.below(u64::MAX));
                    scope.spawn(move || inject_at_host(fault, fleet, host, &mut random, time));
                }
            });
        }
    }
}

/// Puts away what the fault needed, once the operator rests: a host that is forgotten may not say yes to what is revoked later.
pub fn clean_up(fault: Fault, fleet: &Fleet) {
    let newcomer = &fleet.hosts[NEWCOMER];
    newcomer.remove();
    newcomer.heal();
    match fault {
        Fault::Newcomer => {
            let _forgotten = fleet.admin(&["forget-host", "ssh-3"]);
        }
        Fault::Namesake | Fault::CopiedHost => {
            newcomer.rename(&fleet.env, "ssh-3");
            fleet.hosts[1].heal();
        }
        _ => {}
    }
}

fn inject_at_host(fault: Fault, fleet: &Fleet, host: &Host, random: &mut Random, time: Duration) {
    let late = Delivery::Growing { since: std::time::Instant::now(), per_second: LAG_PER_SECOND, most: MOST_LAG };
    match fault {
        Fault::LateLink => host.link.deliver_all(late),
        Fault::LateFeed => host.link.deliver(Traffic::Feed, late),
        Fault::HeldLink => host.link.deliver_all(Delivery::Held),
        Fault::HeldFeed => host.link.deliver(Traffic::Feed, Delivery::Held),
        Fault::CutLink => host.link.cut(),
        Fault::CutFeed => host.link.deliver(Traffic::Feed, Delivery::Cut),
        Fault::FlappingLink => return flap(host, random, time),
        Fault::PausedHost => return host.pause(|| wait(time)),
        Fault::PausedThenCutHost => {
            host.pause(|| {
                wait(time / 2);
                host.link.cut();
                wait(time / 2);
            });
            wait(time / 3);
            return host.heal();
        }
        Fault::KilledHost => return kill_host(fleet, host, random, time),
        _ => {}
    }
    wait(time);
    host.heal();
}

fn inject_at_primary(fault: Fault, fleet: &Fleet, random: &mut Random, time: Duration) {
    if fault == Fault::PausedPrimary {
        fleet.signal_primary(Signal::SIGSTOP);
        wait(time);
        return fleet.signal_primary(Signal::SIGCONT);
    }
    if fault == Fault::NewEpoch {
        wait(time / 3);
        new_epoch(fleet);
        return wait(time / 3);
    }
    for _ in 0..2 {
        fleet.kill_primary();
        wait(part(time / 2, random));
        fleet.start_primary();
        wait(part(time / 4, random));
    }
}

/// A drawn part of a time.
pub fn part(time: Duration, random: &mut Random) -> Duration {
    time.mul_f64(f64::from(u32::try_from(random.below(1_000)).unwrap()) / 1_000.0)
}

/// Begins a new epoch, as soon as the primary does it.
pub fn new_epoch(fleet: &Fleet) {
    while !fleet.admin(&["new-epoch"]).status.success() {
        wait(Duration::from_millis(100));
    }
}

fn flap(host: &Host, random: &mut Random, time: Duration) {
    let begun = now();
    while now() - begun < time {
        host.link.end_connections(Traffic::Feed);
        host.link.end_connections(Traffic::Questions);
        wait(part(Duration::from_millis(800), random));
    }
}

fn kill_host(fleet: &Fleet, host: &Host, random: &mut Random, time: Duration) {
    for _ in 0..2 {
        host.kill();
        wait(part(time / 2, random));
        host.start(&fleet.env);
        wait(part(time / 4, random));
    }
}

fn kill_both(fleet: &Fleet, random: &mut Random, time: Duration) {
    let host = &fleet.hosts[usize::from(random.chance(2))];
    host.kill();
    fleet.kill_primary();
    wait(part(time / 2, random));
    if random.chance(2) {
        host.start(&fleet.env);
        wait(time / 2);
        fleet.start_primary();
    } else {
        fleet.start_primary();
        wait(part(time / 2, random));
        host.start(&fleet.env);
    }
}

/// Fills the disk, and commits more than there is room for in the files that the store already has.
fn fill_host_disk(operator: &Operator, disk: &SmallDisk, keys: u64, time: Duration) {
    disk.fill();
    operator.apply_ballast(keys);
    wait(time);
    disk.free_space();
}

/// Fills the disk. After a write that failed a primary takes nothing before it is started again.
fn fill_primary_disk(fleet: &Fleet, disk: &SmallDisk, time: Duration) {
    disk.fill();
    wait(time);
    disk.free_space();
    fleet.kill_primary();
    fleet.start_primary();
}

fn newcomer(fleet: &Fleet, random: &mut Random, time: Duration) {
    let host = &fleet.hosts[NEWCOMER];
    host.start(&fleet.env);
    host.wait_until_it_follows();
    if random.chance(2) {
        wait(part(time / 3, random));
    }
    fleet.kill_primary();
    host.link.cut();
    fleet.start_primary();
    wait(time);
}

/// The second host's place is taken by another with its name; who stands there now is ended by [`clean_up`].
fn namesake(fleet: &Fleet, time: Duration) {
    let host = &fleet.hosts[NEWCOMER];
    host.rename(&fleet.env, "ssh-2");
    fleet.hosts[1].link.cut();
    host.start(&fleet.env);
    host.wait_until_it_follows();
    wait(time);
    host.remove();
}

fn copied_host(fleet: &Fleet, time: Duration) {
    let (original, host) = (&fleet.hosts[1], &fleet.hosts[NEWCOMER]);
    host.rename(&fleet.env, "ssh-2");
    wait(time / 3);
    original.pause(|| host.take_store(&original.copy_store(&fleet.env)));
    original.link.cut();
    host.start(&fleet.env);
    wait(time / 3);
    host.link.cut();
    wait(time / 3);
    host.remove();
}

fn restored_host(fleet: &Fleet, time: Duration) {
    let host = &fleet.hosts[1];
    let mut copy = None;
    host.pause(|| copy = Some(host.copy_store(&fleet.env)));
    wait(time / 2);
    host.kill();
    host.link.cut();
    host.take_store(&copy.unwrap());
    host.start(&fleet.env);
    wait(time / 2);
    host.heal();
}

fn raise_bounds(fleet: &Fleet, random: &mut Random, time: Duration) {
    let host = &fleet.hosts[FIRST];
    host.kill();
    host.raise_bounds(&fleet.env);
    host.start(&fleet.env);
    host.wait_until_it_follows();
    wait(part(Duration::from_secs(5), random));
    fleet.kill_primary();
    host.link.cut();
    fleet.start_primary();
    wait(time);
    host.heal();
}

fn mixed(fleet: &Fleet, random: &mut Random, time: Duration) {
    const AT_A_HOST: [Fault; 10] = [
        Fault::LateLink,
        Fault::LateFeed,
        Fault::HeldLink,
        Fault::HeldFeed,
        Fault::CutLink,
        Fault::CutFeed,
        Fault::FlappingLink,
        Fault::PausedHost,
        Fault::PausedThenCutHost,
        Fault::KilledHost,
    ];
    const AT_THE_PRIMARY: [Fault; 4] = [Fault::None, Fault::PausedPrimary, Fault::KilledPrimary, Fault::NewEpoch];
    let at_primary = AT_THE_PRIMARY[usize::try_from(random.below(AT_THE_PRIMARY.len() as u64)).unwrap()];
    std::thread::scope(|scope| {
        for host in &fleet.hosts[..NEWCOMER] {
            let fault = AT_A_HOST[usize::try_from(random.below(AT_A_HOST.len() as u64)).unwrap()];
            let mut random = Random::new(random.below(u64::MAX));
            scope.spawn(move || inject_at_host(fault, fleet, host, &mut random, time));
        }
        if at_primary != Fault::None {
            inject_at_primary(at_primary, fleet, random, time);
        }
    });
}
