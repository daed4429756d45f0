//! Follows the feed for the generation that serves, and switches to a new one when it is ready. The only writer of the store.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::model::change::Head;
use crate::model::clock;
use crate::model::time::{BootTime, Time};
use crate::replica::alarm::Alarm;
use crate::replica::feed::{ChangeLines, Feed, NoFeed, Received};
use crate::replica::flusher::Binding;
use crate::replica::link::{Link, Moved};
use crate::replica::mark::Mark;
use crate::replica::resync::{Candidate, NotAdopted};
use crate::replica::setup::Pace;
use crate::replica::shared::Shared;
use crate::replica::status::{Finding, NotVerified, Relation, Verified};
use crate::replica::tracked::{Broken, Took, Track, Tracked};
use crate::store::age::{Kept, boot_id};
use crate::store::folder::Refused;
use crate::store::generation::{Damage, Generation};
use crate::store::generations::{Generations, Opened};
use crate::wire::feed::FeedLine;

/// So many gaps in a row, and a snapshot is fetched.
const GAPS: u32 = 3;
/// So many heartbeats, heard after a new generation began to catch up with what serves, and the primary itself is behind that. One may
/// have been written before the last commit.
const HEARTBEATS_BEHIND: u32 = 2;
/// So many failures of the store in a row, and a new one is built.
const STORE_FAILURES: u32 = 2;

/// The same reason for a lost feed is logged again after this time.
const SAID_AGAIN: Duration = Duration::from_secs(300);

/// What a replica is told while it runs.
pub enum Command {
    /// End cleanly; answered when all is on disk.
    Stop(oneshot::Sender<()>),
    /// Read the store through and compare.
    Verify(oneshot::Sender<Result<Verified, NotVerified>>),
}

enum Event {
    Command(Command),
    Candidate(Box<Candidate>),
    Tick,
    Link(Moved),
    Scanned(Result<bool, String>),
}

/// Whether the serving generation has been read through.
enum Scan {
    /// It is being.
    Running(JoinHandle<Result<bool, String>>),
    /// It was found whole.
    Whole,
    /// There is nothing to read.
    None,
}

impl Scan {
    /// Waits for a scan that runs to end; for ever if none does.
    async fn ended(&mut self) -> Result<bool, String> {
        match self {
            Self::Running(scan) => scan.await.unwrap_or_else(|ended| Err(ended.to_string())),
            Self::Whole | Self::None => std::future::pending().await,
        }
    }
}

/// Follows.
pub struct Follower<F> {
    feed: Arc<F>,
    shared: Arc<Shared>,
    generations: Arc<Generations>,
    pace: Pace,
    mark: Mark,
    age_file: PathBuf,
    binding: watch::Sender<Option<Binding>>,
    link: Link,
    serving: Option<Tracked>,
    scan: Scan,
    told_to_flush: Option<Head>,
    gaps: u32,
    store_failures: u32,
    /// What was last logged of a lost feed, and when.
    said: Option<(String, Time)>,
}

impl<F: Feed> Follower<F> {
    /// Will follow.
    pub fn new(
        feed: Arc<F>,
        shared: Arc<Shared>,
        generations: Arc<Generations>,
        store: &std::path::Path,
        pace: Pace,
        link: Link,
        binding: watch::Sender<Option<Binding>>,
    ) -> Self {
        Self {
            feed,
            shared,
            generations,
            pace,
            mark: Mark::within(store),
            age_file: store.join("age"),
            binding,
            link,
            serving: None,
            scan: Scan::None,
            told_to_flush: None,
            gaps: 0,
            store_failures: 0,
            said: None,
        }
    }

    /// Opens the store, serves it, and follows until it is told to stop.
    pub async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>, mut candidates: mpsc::Receiver<Candidate>) {
        self.open().await;
        let mut ticks = interval(self.pace.age_every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.reset();
        loop {
            let position = self.serving.as_ref().and_then(Tracked::position);
            let event = tokio::select! {
                biased;
                command = commands.recv() => Event::Command(command.unwrap_or_else(|| Command::Stop(oneshot::channel().0))),
                Some(candidate) = candidates.recv() => Event::Candidate(Box::new(candidate)),
                _ = ticks.tick() => Event::Tick,
                whole = self.scan.ended() => Event::Scanned(whole),
                moved = self.link.moved(&self.feed, position) => Event::Link(moved),
            };
            match event {
                Event::Command(Command::Stop(stopped)) => {
                    self.save().await;
                    let _nobody_waits = stopped.send(());
                    return;
                }
                Event::Command(Command::Verify(found)) => {
                    let verified = self.verify().await;
                    let _nobody_waits = found.send(verified);
                }
                Event::Candidate(candidate) => self.consider(*candidate).await,
                Event::Tick => self.save().await,
                Event::Scanned(whole) => self.scanned(whole).await,
                Event::Link(Moved::Connected) => self.connected(),
                Event::Link(Moved::Line(received)) => self.line(received).await,
                Event::Link(Moved::Lost(no_feed)) => self.lost(&no_feed),
            }
            self.shared.stir();
        }
    }

    // ---- start ----

    async fn open(&mut self) {
        let generations = Arc::clone(&self.generations);
        let limit = self.pace.open;
        let opened = blocking(move || {
            let opened = generations.open_current(limit)?;
            if let Err(refused) = generations.sweep() {
                tracing::warn!("old generations could not be removed: {refused}");
            }
            Ok::<_, Refused>(opened)
        });
        match opened.await {
            Ok(Opened::Ready(generation)) => self.begin(generation).await,
            Ok(Opened::Empty) => self.shared.wanted.need("there is no store yet"),
            Ok(Opened::Quarantined(damage)) => self.rebuild_after(&damage.to_string()),
            Err(failure) => {
                let message = format!("{failure}; the primary is asked instead");
                self.shared.alarms.raise(Alarm::Store, &*message, clock::wall());
                self.shared.problem(message);
                self.shared.wanted.need("the store could not be opened");
            }
        }
        self.shared.set_opened();
        self.shared.stir();
    }

    /// Hits are served at once. A scan beside the following decides whether a no may be said, or whether all of it is given up.
    async fn begin(&mut self, generation: Generation) {
        let Some(head) = generation.head() else { return self.quarantine(generation, "it has no cursor").await };
        self.shared.serve(Some(&generation), false);
        self.shared.stand(Some(head));
        self.restore_age();
        let reader = generation.clone();
        self.scan = Scan::Running(tokio::spawn(blocking(move || reader.whole())));
        let track = self.mark.read().map_or(Track::True(head), Track::Drifted);
        self.serving = Some(Tracked::new(generation, track));
        if matches!(track, Track::Drifted(_)) {
            self.shared.set_caught_up(false);
            self.shared.wanted.need("the store had drifted from the primary before the last stop");
        }
        self.publish();
    }

    async fn scanned(&mut self, whole: Result<bool, String>) {
        self.scan = Scan::None;
        let Some(tracked) = &self.serving else { return };
        let generation = tracked.generation().clone();
        match whole {
            Ok(true) => {
                self.scan = Scan::Whole;
                self.publish();
                tracing::info!("the store was read through and is whole");
            }
            Ok(false) => self.quarantine(generation, "a scan has found other records than were stored").await,
            Err(failure) => self.quarantine(generation, &failure).await,
        }
    }

    fn restore_age(&self) {
        let now = clock::boot();
        let stands = self.shared.head();
        let kept = Kept::read(&self.age_file).filter(|kept| {
            let same = kept.is_of(stands);
            if !same {
                tracing::warn!("the store is not the one whose age was kept, or has lost its last commits: its age is not known");
            }
            same
        });
        let age = kept.as_ref().and_then(|kept| boot_id().ok().map(|id| kept.age_at(&id, now, clock::wall())));
        self.shared.restore_age(age, now);
        self.shared.set_caught_up(kept.is_some_and(|kept| kept.caught_up));
    }

    // ---- following ----

    fn connected(&mut self) {
        if let Some(tracked) = &mut self.serving {
            tracked.connected();
        }
        self.told_to_flush = None;
        let mut told = self.shared.told();
        told.connected_since = Some(clock::wall());
        told.lost_since = None;
        told.counted.connects += 1;
        drop(told);
        self.shared.alarms.clear(Alarm::Forbidden);
        tracing::info!("the feed is connected");
    }

    async fn line(&mut self, received: Received) {
        let Some(tracked) = &mut self.serving else { return };
        self.shared.hear(&received.line, tracked.position());
        if Tracked::takes_several_batches(&received.line) {
            self.shared.review(false);
        }
        let lags = matches!((&received.line, tracked.position()), (FeedLine::Heartbeat { seq, .. }, Some(head)) if *seq > head.seq);
        let took = tracked.take(received.line).await;
        self.publish();
        match took {
            Ok(Took::Proven) => self.proven(received.at),
            Ok(Took::Drifted) => self.drifted(),
            Ok(Took::Applied) => self.applied(),
            Ok(Took::Nothing) if lags => self.shared.set_caught_up(false),
            Ok(Took::Nothing) => {}
            Err(broken) => self.broken(&broken),
        }
    }

    fn proven(&mut self, at: BootTime) {
        self.shared.prove(at);
        self.shared.set_caught_up(true);
        self.shared.told().digest_equal = Some(true);
        self.well();
        for alarm in [Alarm::Drift, Alarm::PrimaryWentBack, Alarm::Garbled] {
            self.shared.alarms.clear(alarm);
        }
        self.unmark();
        self.bind();
    }

    fn applied(&mut self) {
        self.shared.set_caught_up(false);
        self.well();
        self.bind();
    }

    fn drifted(&mut self) {
        let Some(claimed) = self.serving.as_ref().and_then(Tracked::position) else { return };
        if let Err(error) = self.mark.set(claimed) {
            tracing::warn!("the drift could not be noted on disk: {error}");
        }
        self.shared.set_caught_up(false);
        {
            let mut told = self.shared.told();
            told.digest_equal = Some(false);
            told.counted.drifts += 1;
        }
        let message = format!(
            "at commit {} this host's records do not add up to what the primary says; a snapshot is fetched, answers go on and their age grows",
            claimed.seq
        );
        self.shared.alarms.raise(Alarm::Drift, &*message, clock::wall());
        self.shared.problem(message);
        self.shared.wanted.need("the records drifted from the primary's");
        self.bind();
    }

    fn well(&mut self) {
        self.link.went_well();
        self.gaps = 0;
        self.store_failures = 0;
    }

    /// What binds is written and, if it equals the primary, acknowledged.
    fn bind(&mut self) {
        let Some(tracked) = &self.serving else { return };
        let head = tracked.true_head();
        if head.is_some() && head == self.told_to_flush {
            return;
        }
        self.told_to_flush = head;
        self.binding.send_replace(Some(Binding { generation: tracked.generation().clone(), head }));
    }

    fn broken(&mut self, broken: &Broken) {
        match broken {
            Broken::Store(damage) => {
                self.store_failures += 1;
                let message = format!("{damage}; answers go on from what is here");
                self.shared.alarms.raise(Alarm::Store, &*message, clock::wall());
                if self.store_failures >= STORE_FAILURES {
                    self.shared.wanted.need("the store cannot be written");
                }
            }
            Broken::Gap { .. } | Broken::Back { .. } => {
                self.gaps += 1;
                if self.gaps >= GAPS {
                    self.gaps = 0;
                    self.shared.wanted.need("the feed leaves commits out");
                }
            }
            Broken::Stopped => {}
        }
        self.link.hang_up();
        self.disconnected(&broken.to_string());
    }

    fn lost(&mut self, no_feed: &NoFeed) {
        self.disconnected(&no_feed.to_string());
        match no_feed {
            NoFeed::Gone(head) => self.cursor_lost(*head),
            NoFeed::Unlike { seq, .. } => {
                let ours = self.serving.as_ref().and_then(Tracked::position).map_or(0, |head| head.seq);
                let theirs = seq.map_or_else(|| "another commit".to_owned(), |seq| format!("commit {seq}"));
                let message = format!(
                    "the primary is at {theirs} and does not know the state that this host has at commit {ours}; it was probably restored from a backup: run `sidegate admin new-epoch` at the primary. Answers go on and their age grows"
                );
                self.shared.alarms.raise(Alarm::PrimaryWentBack, message, clock::wall());
            }
            NoFeed::Forbidden(_) => self.shared.alarms.raise(Alarm::Forbidden, no_feed.to_string(), clock::wall()),
            NoFeed::Garbled(_) => self.shared.alarms.raise(Alarm::Garbled, no_feed.to_string(), clock::wall()),
            NoFeed::Unreachable(_) | NoFeed::Silent(_) | NoFeed::Refused { .. } => {}
        }
    }

    fn cursor_lost(&mut self, head: Option<Head>) {
        let Some(tracked) = &mut self.serving else { return };
        let first = !matches!(tracked.track(), Track::Lost(_));
        tracked.lose(head);
        if first {
            self.link.turn();
        }
        self.shared.set_caught_up(false);
        self.publish();
        self.shared.wanted.need("the primary no longer has what follows the cursor");
    }

    fn disconnected(&mut self, why: &str) {
        self.shared.problem(why.to_owned());
        let now = clock::wall();
        {
            let mut told = self.shared.told();
            if told.connected_since.take().is_some() {
                told.counted.disconnects += 1;
                told.lost_since = Some(now);
            }
            told.lost_since.get_or_insert(now);
        }
        let said = self.said.as_ref().is_some_and(|(before, at)| before == why && now.since(*at) < SAID_AGAIN);
        if said {
            tracing::debug!("there is no feed: {why}");
        } else {
            tracing::warn!("there is no feed: {why}");
            self.said = Some((why.to_owned(), now));
        }
    }

    /// What others read of the serving generation.
    fn publish(&self) {
        let Some(tracked) = &self.serving else { return };
        let whole = matches!(self.scan, Scan::Whole) && tracked.true_head().is_some_and(|head| head.state == tracked.generation().state());
        self.shared.review(whole);
        if let Some(head) = tracked.true_head() {
            self.shared.stand(Some(head));
        }
        self.shared.told().following = match tracked.track() {
            Track::True(_) => Relation::True,
            Track::Drifted(_) => Relation::Drifted,
            Track::Lost(_) => Relation::Lost,
        };
    }

    fn unmark(&self) {
        if let Err(error) = self.mark.clear() {
            tracing::warn!("the note of a drift could not be removed: {error}");
        }
    }

    // ---- a new generation ----

    async fn consider(&mut self, candidate: Candidate) {
        let Candidate { mut tracked, mut lines, proven, folder, outcome } = candidate;
        let adopted = match self.reach(&mut tracked, &mut lines).await {
            Ok(()) => self.install(folder.clone()).await,
            Err(not_adopted) => Err(not_adopted),
        };
        let switched = adopted.map(|()| self.switch(tracked, lines, proven, &folder));
        if switched.is_ok() {
            self.save().await;
        }
        let _resync_ended = outcome.send(switched);
    }

    /// Reads on for the candidate until it has every commit that binds in what serves now, which meanwhile takes no more.
    ///
    /// A primary is behind if it still says so after that: what was on its way before may be older than the last commit.
    async fn reach(&self, tracked: &mut Tracked, lines: &mut ChangeLines) -> Result<(), NotAdopted> {
        let Some(serving) = &self.serving else { return Ok(()) };
        let Some(bound) = serving.position().or_else(|| serving.generation().head()) else { return Ok(()) };
        let (began, mut said_less) = (clock::boot(), 0);
        loop {
            let Some(head) = tracked.true_head() else { return Err(NotAdopted::Failed("the candidate drifted".to_owned())) };
            if head.epoch != bound.epoch {
                let overtaken = matches!(serving.track(), Track::Lost(Some(_)));
                return if overtaken { Err(NotAdopted::OtherEpoch) } else { Ok(()) };
            }
            if head.seq >= bound.seq {
                return Ok(());
            }
            let received = match tokio::time::timeout(self.pace.silence, lines.recv()).await {
                Ok(Some(Ok(received))) => received,
                Ok(Some(Err(no_feed))) => return Err(NotAdopted::Failed(no_feed.to_string())),
                Ok(None) | Err(_) => return Err(NotAdopted::Failed("the feed ended".to_owned())),
            };
            if matches!(received.line, FeedLine::Heartbeat { seq, .. } if seq == head.seq) {
                said_less += u32::from(received.at > began);
            }
            if said_less == HEARTBEATS_BEHIND {
                return Err(NotAdopted::Behind { primary: head.seq, ours: bound.seq });
            }
            let _proved = tracked.take(received.line).await.map_err(|broken| NotAdopted::Failed(broken.to_string()))?;
        }
    }

    async fn install(&self, folder: PathBuf) -> Result<(), NotAdopted> {
        let generations = Arc::clone(&self.generations);
        blocking(move || generations.install(&folder)).await.map_err(|failure| NotAdopted::Failed(failure.to_string()))
    }

    /// The switch itself: one pointer. Gives the generation that served before.
    fn switch(&mut self, tracked: Tracked, lines: ChangeLines, proven: BootTime, folder: &std::path::Path) -> Option<Generation> {
        let before = self.serving.take().map(|before| before.generation().clone());
        self.scan = Scan::Whole;
        self.shared.serve(Some(tracked.generation()), true);
        self.serving = Some(tracked);
        self.publish();
        self.link.take_over(lines);
        {
            let mut told = self.shared.told();
            told.connected_since.get_or_insert_with(clock::wall);
            told.lost_since = None;
            told.primary = self.serving.as_ref().and_then(Tracked::true_head);
            told.counted.resyncs += 1;
            told.generation = folder.file_name().map(|name| name.to_string_lossy().into_owned());
        }
        for alarm in [Alarm::LossHeld, Alarm::Damage, Alarm::Store, Alarm::Forbidden] {
            self.shared.alarms.clear(alarm);
        }
        self.shared.wanted.fulfil();
        self.told_to_flush = None;
        self.proven(proven);
        tracing::info!(seq = self.shared.head().map(|head| head.seq), "a new generation serves");
        before
    }

    // ---- damage ----

    async fn quarantine(&mut self, generation: Generation, why: &str) {
        self.serving = None;
        self.scan = Scan::None;
        self.shared.serve(None, false);
        self.binding.send_replace(None);
        self.shared.stand(None);
        self.shared.restore_age(None, clock::boot());
        self.shared.set_caught_up(false);
        self.shared.told().following = Relation::Nothing;
        self.link.turn();
        let generations = Arc::clone(&self.generations);
        let moved = blocking(move || {
            drop(generation);
            generations.quarantine()
        });
        if let Err(failure) = moved.await {
            tracing::warn!("the damaged store could not be moved to quarantine: {failure}");
        }
        self.unmark();
        self.rebuild_after(why);
    }

    fn rebuild_after(&self, damage: &str) {
        self.shared.told().counted.quarantines += 1;
        let message = format!("the store on disk was damaged ({damage}); it is in quarantine, the primary is asked, a new one is built");
        self.shared.alarms.raise(Alarm::Damage, &*message, clock::wall());
        self.shared.problem(message);
        self.shared.wanted.need("the store was damaged");
    }

    // ---- for the operator, and for the next start ----

    /// Reads everything. The feed waits meanwhile, so that what is read does not move.
    async fn verify(&mut self) -> Result<Verified, NotVerified> {
        let Some(tracked) = &self.serving else {
            let why = self.shared.told().last_error.as_ref().map(|problem| problem.message.clone());
            return Err(NotVerified::NoStore(why.unwrap_or_else(|| "none has been fetched yet".to_owned())));
        };
        let generation = tracked.generation().clone();
        let stored = generation.state();
        let head = tracked.true_head().or_else(|| tracked.position());
        let primary = self.shared.told().primary.filter(|said| head.is_some_and(|head| (head.epoch, head.seq) == (said.epoch, said.seq)));
        let reader = generation.clone();
        let read = blocking(move || {
            let whole = reader.whole()?;
            Ok::<_, Damage>((whole, if whole { reader.state() } else { reader.scan()? }))
        });
        let (whole, scanned) = match read.await {
            Ok(read) => read,
            Err(failure) => {
                self.quarantine(generation, &failure).await;
                return Err(NotVerified::NoStore(failure));
            }
        };
        let finding = match primary {
            _ if !whole => Finding::Damaged,
            None => Finding::PrimaryNotHeard,
            Some(said) if said.state == scanned => Finding::Equal,
            Some(_) => Finding::Unlike,
        };
        match finding {
            Finding::Damaged => self.quarantine(generation, "a scan has found other records than were stored").await,
            Finding::Unlike => self.shared.wanted.need("a scan has found other records than the primary has"),
            Finding::Equal | Finding::PrimaryNotHeard => {}
        }
        Ok(Verified { scanned, stored, primary, finding })
    }

    /// The age as it is now, written once what it is the age of is on disk.
    async fn save(&self) {
        let Some(tracked) = &self.serving else { return };
        let generation = tracked.generation().clone();
        let (boot, wall) = (clock::boot(), clock::wall());
        let age = self.shared.age(boot);
        let caught_up = self.shared.caught_up();
        let file = self.age_file.clone();
        let saved = blocking(move || {
            generation.flush()?;
            if let (Some(age), Some(Head { epoch, seq, .. })) = (age, generation.head()) {
                Kept { boot_id: boot_id()?, boot, wall, age, caught_up, epoch, seq }.write(&file)?;
            }
            Ok::<_, NotSaved>(generation.size())
        });
        match saved.await {
            Ok(bytes) => self.shared.told().store_bytes = bytes,
            Err(failure) => {
                let message =
                    format!("the age of the directory could not be saved: {failure}; after a restart it counts from the last time it was");
                self.shared.alarms.raise(Alarm::Store, &*message, clock::wall());
                self.shared.problem(message);
            }
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum NotSaved {
    #[error(transparent)]
    Damage(#[from] Damage),
    #[error(transparent)]
    Refused(#[from] Refused),
}

/// What blocks, on a thread that may; a panic there is a failure like any other.
async fn blocking<T: Send + 'static, E: std::fmt::Display + Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, String> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|failure| failure.to_string()),
        Err(ended) => Err(format!("the store's thread ended: {ended}")),
    }
}

/// How long a stop may take before threads that block are left behind.
pub const STOP: Duration = Duration::from_secs(10);
