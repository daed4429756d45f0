//! Feeds the watchdog of systemd: only after every thread that answers has made a look-up of the daemon's own. A thread that hangs ends the
//! feeding, and systemd starts the daemon again; a primary that hangs, or a disk that is full, does not, because no such look-up waits for one.

use crate::net::notify;
use crate::net::server::probe::Prober;

/// Feeds it for as long as it is polled; does nothing where the unit has no `WatchdogSec=`.
pub async fn feed(prober: Prober) {
    let Some(interval) = notify::watchdog_interval() else { return };
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        prober.all_answer().await;
        notify::watchdog();
    }
}
