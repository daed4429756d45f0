//! A primary that is open: its store, its doors, and what it remembers while it runs.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use crate::authority::counters::Counters;
use crate::authority::following::door::Door;
use crate::authority::following::hosts::Hosts;
use crate::authority::following::lines::Lines;
use crate::authority::following::snapshots::Snapshots;
use crate::authority::limits::Limits;
use crate::authority::quiet::Quiet;
use crate::authority::secrets::Renewable;
use crate::authority::setup::Setup;
use crate::authority::upkeep::Upkeep;
use crate::authority::usage::Usage;
use crate::authority::withheld;
use crate::model::clock;
use crate::model::loss_guard::LossGuard;
use crate::model::time::Time;
use crate::net::allowance::Allowance;
use crate::net::bounds::Bounds;
use crate::net::scope::Scopes;
use crate::store::folder;
use crate::store::generation::Damage;
use crate::store::primary::{NotOpened, PrimaryStore};
use crate::wire::credentials::Gatekeeper;
use crate::wire::secret::Secret;

/// Good tokens of gitlab-shell that are remembered.
const TOKENS: usize = 4096;

/// A primary.
pub struct Authority {
    /// Written to through [`crate::authority::write`] only.
    pub(super) store: PrimaryStore,
    /// Whose turn it is to write.
    pub(super) turn: Mutex<()>,
    /// Where files that are being built lie; in the store's folder, so that they are as private.
    pub(super) workshop: PathBuf,
    pub(super) shell: Gatekeeper,
    pub(super) sync: Door,
    pub(super) kas: Renewable,
    pub(super) admin_token: Renewable,
    pub(super) error_tracking_token: Renewable,
    pub(super) accept_shared_secret: bool,
    pub(super) loss_guard: LossGuard,
    pub(super) own_uid: u32,
    pub(super) scopes: Scopes,
    pub(super) bounds: Bounds,
    /// For the bodies of callers who have not shown who they are.
    pub(super) unproven: Allowance,
    pub(super) lines: Arc<Lines>,
    pub(super) hosts: Arc<Hosts>,
    pub(super) snapshots: Snapshots,
    pub(super) usage: Arc<Usage>,
    pub(super) limits: Limits,
    pub(super) counters: Counters,
    pub(super) quiet: Quiet,
    pub(super) since: Time,
    ended: watch::Sender<bool>,
    _upkeep: Upkeep,
}

/// Why a primary did not open.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the source says it")]
pub enum NotReady {
    #[error(transparent)]
    Store(#[from] NotOpened),
    #[error(transparent)]
    Folder(#[from] folder::Refused),
    #[error(transparent)]
    Damage(#[from] Damage),
    #[error("the primary's threads could not be started: {0}")]
    Threads(#[from] std::io::Error),
}

impl Authority {
    /// Opens the store and starts what goes on beside requests. Blocks.
    pub fn open(setup: Setup) -> Result<Arc<Self>, NotReady> {
        let now = clock::wall();
        let store = PrimaryStore::open(&setup.store_path, setup.options)?;
        withheld::settle(store.ledger(), &store.head())?;
        let workshop = setup.store_path.join("tmp");
        folder::prepare(&workshop)?;
        let lines = Arc::new(Lines::starting(store.head()));
        let hosts = Arc::new(Hosts::remembered(store.ledger(), now)?);
        let usage = Arc::new(Usage::default());
        let upkeep = Upkeep::start(&store, &lines, &hosts, &usage)?;
        Ok(Arc::new(Self {
            snapshots: Snapshots::default(),
            workshop,
            store,
            turn: Mutex::default(),
            shell: Gatekeeper::new(setup.shell_secret, TOKENS),
            sync: Door::of(setup.sync_secret, now),
            kas: Renewable::of(setup.kas_secret),
            admin_token: Renewable::of(setup.admin_token),
            error_tracking_token: Renewable::of(setup.error_tracking_token),
            accept_shared_secret: setup.accept_shared_secret,
            loss_guard: setup.loss_guard,
            own_uid: setup.own_uid,
            scopes: Scopes::new(setup.own_uid, Vec::new()),
            unproven: Allowance::of(setup.bounds.unproven_body_bytes),
            bounds: setup.bounds,
            lines,
            hosts,
            usage,
            limits: Limits::default(),
            counters: Counters::new(setup.counted),
            quiet: Quiet::default(),
            since: now,
            ended: watch::Sender::new(false),
            _upkeep: upkeep,
        }))
    }

    /// Ends what would go on for as long as somebody listens: the followers' streams, and waiting for hosts.
    pub fn end(&self) {
        self.ended.send_replace(true);
    }

    /// Waits until the primary ends.
    pub(super) async fn ending(&self) {
        let mut ended = self.ended.subscribe();
        let _gone = ended.wait_for(|ended| *ended).await;
    }

    /// From now on this secret of gitlab-shell's; the one before counts for its grace.
    pub fn renew_shell_secret(&self, next: Secret) {
        self.shell.renew(next, clock::wall());
    }

    /// From now on this secret of the followers; streams opened with the one before end within its grace.
    pub fn renew_sync_secret(&self, next: Secret) {
        self.sync.renew(next, clock::wall());
    }

    /// From now on this secret of KAS, or none.
    pub fn renew_kas_secret(&self, next: Option<Secret>) {
        self.kas.renew(next, clock::wall());
    }

    /// From now on this token of the subscription endpoints, or none.
    pub fn renew_admin_token(&self, next: Option<Secret>) {
        self.admin_token.renew(next, clock::wall());
    }

    /// From now on this token of error tracking, or none.
    pub fn renew_error_tracking_token(&self, next: Option<Secret>) {
        self.error_tracking_token.renew(next, clock::wall());
    }
}
