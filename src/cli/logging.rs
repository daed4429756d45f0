//! Logging: a bounded queue, and one thread that writes its lines, so that no request ever waits for the log.
//!
//! journald's socket blocks when journald is slow, and so does a pipe; the threads that serve only put a line into the queue. Lines
//! that find it full are dropped and counted, and the count is logged as soon as there is room. Under systemd the thread hands lines to
//! `tracing-journald` with their fields; otherwise it writes to standard error: plain to a terminal, JSON to anything else. It also makes the
//! lines of decisions, which are written at every level, as are those of operators. The level can be changed while the process runs.

use std::fmt::{self, Write as _};
use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Dispatch, Event, Level, Subscriber};
use tracing_subscriber::filter::{FilterExt as _, LevelFilter, Targets};
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::{Layer, Registry};

use crate::api::decision_log::{self, LoggedDecision};
use crate::api::log_level::{self, LogControl};
use crate::api::operator_log;
use crate::cli::config::log::{LogConfig, LogLevel, LogTarget};
use crate::cli::exit_status::CommandError;
use crate::cli::output::field_text;
use crate::model::clock;

/// How many lines may wait to be written.
const QUEUE_CAPACITY: usize = 8192;
/// The fields of log lines that are fields of the journal too.
const JOURNAL_FIELDS: [&str; 15] = [
    "endpoint",
    "reason",
    "request_id",
    "fingerprint",
    "key_id",
    "host",
    "seq",
    "uid",
    "user",
    "verdict",
    "actor",
    "project",
    "action",
    "source",
    "age_seconds",
];

/// A handle of the writing thread.
pub struct LogHandle {
    queue: SyncSender<QueueItem>,
    done: Receiver<()>,
    dropped: Arc<AtomicU64>,
}

enum QueueItem {
    Line(LogLine),
    Decision(Box<LoggedDecision>),
    Shutdown,
}

/// One log line.
struct LogLine {
    level: Level,
    target: &'static str,
    time: String,
    message: String,
    fields: Vec<(&'static str, Value)>,
}

/// Starts logging for the whole process. Must be called once.
pub fn start(config: LogConfig) -> Result<LogHandle, CommandError> {
    let (filter, handle) = reload::Layer::new(level_filter(config.level));
    let journal = open_journal(config.target)?;
    let (queue, lines) = sync_channel(QUEUE_CAPACITY);
    let (finished, done) = sync_channel(1);
    let dropped = Arc::new(AtomicU64::new(0));
    let dropped_decisions = Arc::clone(&dropped);
    let layer = QueueLayer { queue: queue.clone(), dropped: Arc::clone(&dropped) };
    let counted = Arc::clone(&dropped);
    std::thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || {
            write_queued_lines(&lines, journal.as_ref(), &counted);
            let _ = finished.send(());
        })
        .map_err(CommandError::new)?;
    tracing::subscriber::set_global_default(Registry::default().with(layer.with_filter(filter.or(operator_lines()))))
        .map_err(CommandError::new)?;
    log_level::set_control(Box::new(LevelControl { handle, level: AtomicU8::new(index_of(config.level)) }));
    decision_log::set_sink(decision_sink(queue.clone(), dropped_decisions));
    decision_log::set_enabled(config.decisions);
    Ok(LogHandle { queue, done, dropped })
}

/// Returns what puts a decision into the queue. One that finds it full is counted like any other line.
fn decision_sink(queue: SyncSender<QueueItem>, dropped: Arc<AtomicU64>) -> decision_log::DecisionSink {
    Box::new(move |decision| {
        if queue.try_send(QueueItem::Decision(Box::new(decision))).is_err() {
            dropped.fetch_add(1, Ordering::Relaxed);
        }
    })
}

/// The level of the log while the process runs.
struct LevelControl {
    handle: Handle<LevelFilter, Registry>,
    level: AtomicU8,
}

impl LogControl for LevelControl {
    fn level(&self) -> &'static str {
        LogLevel::ALL.get(usize::from(self.level.load(Ordering::Relaxed))).copied().unwrap_or_default().as_str()
    }

    fn set_level(&self, level: &str) -> Result<(), String> {
        let known = LogLevel::ALL.into_iter().find(|known| known.as_str() == level);
        let known = known.ok_or_else(|| "`level` is `error`, `warn`, `info`, `debug` or `trace`".to_owned())?;
        self.handle.reload(level_filter(known)).map_err(|error| error.to_string())?;
        self.level.store(index_of(known), Ordering::Relaxed);
        Ok(())
    }
}

/// Lets through what operators have had done, whatever the level is: who lowers it must not be able to act unseen.
fn operator_lines() -> Targets {
    Targets::new().with_target(operator_log::LOG_TARGET, LevelFilter::INFO)
}

const fn level_filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

/// Returns the place of a level in [`LogLevel::ALL`].
const fn index_of(level: LogLevel) -> u8 {
    level as u8
}

impl LogHandle {
    /// Returns the count of lines that were dropped since the start.
    #[must_use]
    pub fn dropped_lines(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.dropped)
    }

    /// Waits up to two seconds until the queued lines are written.
    pub fn shutdown(self) {
        if self.queue.try_send(QueueItem::Shutdown).is_ok() {
            let _ = self.done.recv_timeout(Duration::from_secs(2));
        }
    }
}

fn open_journal(target: LogTarget) -> Result<Option<Dispatch>, CommandError> {
    let wanted = match target {
        LogTarget::Stderr => false,
        LogTarget::Journald => true,
        LogTarget::Auto => std::env::var_os("JOURNAL_STREAM").is_some() && !std::io::stderr().is_terminal(),
    };
    if !wanted {
        return Ok(None);
    }
    match tracing_journald::layer() {
        Ok(layer) => {
            let layer = layer.with_field_prefix(Some("SIDEGATE".to_owned())).with_syslog_identifier("sidegate".to_owned());
            Ok(Some(Dispatch::new(Registry::default().with(layer))))
        }
        Err(error) if target == LogTarget::Journald => Err(CommandError::with_context("log.target", error)),
        Err(_) => Ok(None),
    }
}

struct QueueLayer {
    queue: SyncSender<QueueItem>,
    dropped: Arc<AtomicU64>,
}

impl<S: Subscriber> Layer<S> for QueueLayer {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let metadata = event.metadata();
        let mut line = LogLine {
            level: *metadata.level(),
            target: metadata.target(),
            time: clock::wall_time().to_string(),
            message: String::new(),
            fields: Vec::new(),
        };
        event.record(&mut line);
        if self.queue.try_send(QueueItem::Line(line)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Visit for LogLine {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        let _ = write!(text, "{value:?}");
        if field.name() == "message" {
            self.message = text;
        } else {
            self.fields.push((field.name(), Value::String(text)));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.fields.push((field.name(), value.into()));
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.fields.push((field.name(), value.into()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.fields.push((field.name(), value.into()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.fields.push((field.name(), value.into()));
    }
}

fn write_queued_lines(lines: &Receiver<QueueItem>, journal: Option<&Dispatch>, dropped: &AtomicU64) {
    let plain = std::io::stderr().is_terminal();
    let mut reported = 0;
    loop {
        let line = match lines.recv() {
            Ok(QueueItem::Line(line)) => line,
            Ok(QueueItem::Decision(decision)) => decision_line(&decision),
            Ok(QueueItem::Shutdown) | Err(_) => return,
        };
        write_line(&line, journal, plain);
        let total = dropped.load(Ordering::Relaxed);
        let dropped_lines = total - reported;
        reported = total;
        if dropped_lines > 0 {
            let message = format!("dropped {dropped_lines} log lines: the log is written too slowly");
            let time = clock::wall_time().to_string();
            write_line(
                &LogLine { level: Level::WARN, target: "sidegate::cli::logging", time, message, fields: Vec::new() },
                journal,
                plain,
            );
        }
    }
}

/// Returns the line of a decision, dated when it is written: moments after it was answered.
fn decision_line(decision: &LoggedDecision) -> LogLine {
    let (message, fields) = decision.line();
    LogLine { level: Level::INFO, target: "sidegate::decisions", time: clock::wall_time().to_string(), message, fields }
}

fn write_line(line: &LogLine, journal: Option<&Dispatch>, plain: bool) {
    match journal {
        Some(journal) => tracing::dispatcher::with_default(journal, || emit_to_journal(line)),
        None if plain => drop(writeln!(std::io::stderr(), "{}", line.format_plain())),
        None => drop(writeln!(std::io::stderr(), "{}", line.format_json())),
    }
}

/// Emits a line to journald. The fields that operators search by become fields of the journal; all others become one field, `details`.
fn emit_to_journal(line: &LogLine) {
    let text = |name: &str| line.fields.iter().find(|(field, _)| *field == name).map(|(_, value)| field_text(value));
    let rest: Map<String, Value> = line
        .fields
        .iter()
        .filter(|(name, _)| !JOURNAL_FIELDS.contains(name))
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect();
    let rest = (!rest.is_empty()).then(|| Value::Object(rest).to_string());
    macro_rules! emit {
        ($level:expr) => {
            tracing::event!(
                target: "sidegate",
                $level,
                module = line.target,
                endpoint = text("endpoint"),
                reason = text("reason"),
                request_id = text("request_id"),
                fingerprint = text("fingerprint"),
                key_id = text("key_id"),
                host = text("host"),
                seq = text("seq"),
                uid = text("uid"),
                user = text("user"),
                verdict = text("verdict"),
                actor = text("actor"),
                project = text("project"),
                action = text("action"),
                source = text("source"),
                age_seconds = text("age_seconds"),
                details = rest,
                "{}",
                line.message
            )
        };
    }
    match line.level {
        Level::ERROR => emit!(Level::ERROR),
        Level::WARN => emit!(Level::WARN),
        Level::INFO => emit!(Level::INFO),
        Level::DEBUG => emit!(Level::DEBUG),
        Level::TRACE => emit!(Level::TRACE),
    }
}

impl LogLine {
    fn format_plain(&self) -> String {
        let mut text = format!("{} {:5} {}", self.time, self.level, self.message);
        for (name, value) in &self.fields {
            let _ = write!(text, " {name}={value}");
        }
        text
    }

    fn format_json(&self) -> String {
        let mut object = Map::new();
        object.insert("time".to_owned(), self.time.clone().into());
        object.insert("level".to_owned(), self.level.as_str().to_ascii_lowercase().into());
        object.insert("message".to_owned(), self.message.clone().into());
        object.insert("module".to_owned(), self.target.into());
        for (name, value) in &self.fields {
            object.insert((*name).to_owned(), value.clone());
        }
        Value::Object(object).to_string()
    }
}
