//! The table of docs/metrics.md against what real daemons show, in both directions.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::metrics::exposition::Exposition;
use crate::metrics::{LISTEN, metrics_address, reference, scrape};
use crate::mirror::{MirrorEnv, WALKS_ONCE};
use crate::support::env::{Daemon, SHELL_SECRET, TestEnv};
use crate::support::generated_directory::{directory_of_keys, key_blob};
use crate::support::gitlab_api::GitlabApi;
use crate::support::gitlab_api::instance::records::Instance;
use crate::support::gitlab_api::instance::rest::ApiVersion;
use crate::support::http::Request;
use crate::support::lookup::lookup_request;

/// What is said of a metric: its type, its labels, and the daemons that have it.
type Described = BTreeMap<String, (String, BTreeSet<String>, BTreeSet<String>)>;

/// What daemons show.
#[derive(Default)]
struct Shown {
    metrics: Described,
    /// What each metric says of itself.
    helps: BTreeMap<String, String>,
    /// The kinds of alarms of each daemon.
    alarms: BTreeMap<String, BTreeSet<String>>,
}

/// The rows of docs/metrics.md: `| name | type | labels | daemons | …`.
fn documented() -> Described {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md")).unwrap();
    let rows = text.lines().filter_map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let name = cells[0].strip_prefix('`')?.strip_suffix('`').filter(|name| name.contains('_'))?;
        assert_eq!(cells.len(), 6, "{line}");
        let words = |cell: &str| cell.split([',', '`', ' ']).filter(|word| !word.is_empty()).map(str::to_owned).collect::<BTreeSet<_>>();
        let daemons = if cells[3] == "all" { words("sidecar, primary, mirror") } else { words(cells[3]) };
        Some((name.to_owned(), (cells[1].to_owned(), words(cells[2].trim_matches('–')), daemons)))
    });
    let (count, described) = (rows.clone().count(), rows.collect::<Described>());
    assert_eq!(count, described.len(), "a metric is described twice");
    described
}

fn note(found: &mut Shown, daemon: &str, shown: &Exposition) {
    for (name, metric) in shown {
        let entry = found.metrics.entry(name.clone()).or_insert_with(|| (metric.kind.clone(), BTreeSet::new(), BTreeSet::new()));
        assert_eq!(entry.0, metric.kind, "{name} of the {daemon}");
        entry.1.extend(metric.labels.clone());
        entry.2.insert(daemon.to_owned());
        // The library puts a full stop behind what it registers, and not behind what is collected.
        let said = metric.help.trim_end_matches('.').to_owned();
        let help = found.helps.entry(name.clone()).or_insert_with(|| said.clone());
        assert_eq!(*help, said, "{name} of the {daemon} says something else than that of another daemon");
    }
    let alarms = [&shown["sidegate_alarms"], &shown["sidegate_alarms_raised_total"]].into_iter().flat_map(|metric| &metric.samples);
    let kinds = alarms.filter_map(|(series, _)| Some(series.split('"').nth(1)?.to_owned()));
    found.alarms.entry(daemon.to_owned()).or_default().extend(kinds);
}

/// A primary with a certificate, and a sidecar that follows it.
fn followed_primary(found: &mut Shown) {
    let mut env = TestEnv::with_config("", LISTEN);
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (chain, key) = (env.write("chain.pem", &made.cert.pem()), env.write("key.pem", &made.signing_key.serialize_pem()));
    let listen = format!(
        "{LISTEN}[listen]\naddress = \"127.0.0.1:0\"\ntls_cert_file = \"{}\"\ntls_key_file = \"{}\"\n",
        chain.display(),
        key.display()
    );
    env.replace_in_file("primary.toml", "[log]\n", &format!("{listen}[log]\n"));
    env.start_primary();
    env.apply(&directory_of_keys(8));
    env.start_sidecar();
    env.wait_until_fresh();
    env.request_sidecar(lookup_request(&key_blob(2)));
    env.request_primary(lookup_request(&key_blob(2)));
    for (name, daemon) in [("primary", env.primary.as_ref().unwrap()), ("sidecar", env.sidecar.as_ref().unwrap())] {
        let shown = scrape(daemon);
        assert_starts_with_counters_and_well_named(&shown);
        assert_promtool_agrees(daemon);
        note(found, name, &shown);
    }
}

/// Sidecars in front of a GitLab that does not answer: one in shadow mode, one that follows a mirror.
fn sidecars_of_a_gitlab(found: &mut Shown) {
    for (primary, feed) in [("shadow = true\n", ""), ("", "[feed]\nurl = \"http+unix://AT/mirror.sock\"\n")] {
        let mut env = TestEnv::with_config("", LISTEN);
        let trusted = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap().cert.pem();
        let ca_file = env.write("ca.pem", &trusted);
        let url = format!("url = \"http+unix://{}\"\n", env.primary_socket().display());
        env.replace_in_file("sidegate.toml", &url, &format!("url = \"https://127.0.0.1:9\"\nca_file = \"{}\"\n", ca_file.display()));
        env.replace_in_file("sidegate.toml", "feed = \"sidegate\"\n", &format!("feed = \"none\"\n{primary}"));
        let feed = feed.replace("AT", &env.path().display().to_string());
        env.replace_in_file("sidegate.toml", "[store]\n", &format!("{feed}[store]\n"));
        env.start_sidecar();
        env.request_sidecar(lookup_request(&key_blob(2)));
        note(found, "sidecar", &scrape(env.sidecar.as_ref().unwrap()));
    }
}

fn mirror(found: &mut Shown) {
    let mut instance = Instance::new();
    instance.add_user("person-1");
    let gitlab = GitlabApi::on_tcp("/gitlab", ApiVersion::V17, SHELL_SECRET, instance);
    let mut site = MirrorEnv::prepare(gitlab, WALKS_ONCE, LISTEN);
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (chain, key) = (site.env.write("chain.pem", &made.cert.pem()), site.env.write("key.pem", &made.signing_key.serialize_pem()));
    let tls = format!("[hooks]\ntls_cert_file = \"{}\"\ntls_key_file = \"{}\"\n", chain.display(), key.display());
    site.env.replace_in_file("mirror.toml", "[hooks]\n", &tls);
    site.start_mirror();
    site.wait_for_first_walk();
    Request::get("/-/liveness").send(&site.socket());
    let shown = scrape(site.mirror.as_ref().unwrap());
    assert_starts_with_counters_and_well_named(&shown);
    assert_promtool_agrees(site.mirror.as_ref().unwrap());
    note(found, "mirror", &shown);
}

/// Counters end in `_total`, and nothing else does; what an alert is about has a value before anything has happened.
fn assert_starts_with_counters_and_well_named(shown: &Exposition) {
    for (name, metric) in shown {
        assert_eq!(name.ends_with("_total"), metric.kind == "counter", "{name}");
        assert!(name.starts_with("sidegate_") || name.starts_with("process_"), "{name}");
        assert!(!name.contains("milli") && !name.contains("kib"), "{name}: seconds and bytes");
    }
    let has = |series: &str| shown.values().flat_map(|metric| &metric.samples).any(|(name, value)| name == series && value == "0");
    for series in [
        r#"sidegate_answers_total{endpoint="authorized_keys",source="none",outcome="outage"}"#,
        r#"sidegate_refusals_total{kind="token",reason="wrong signature"}"#,
        r#"sidegate_early_refusals_total{reason="too_many_connections"}"#,
        "sidegate_log_lines_dropped_total",
        "sidegate_connections_refused_total",
        r#"sidegate_alarms{kind="socket_lost"}"#,
    ] {
        let is_asked = shown["sidegate_build_info"].samples[0].0.contains("mirror") && series.contains("authorized_keys");
        assert!(is_asked || has(series), "{series} in {shown:?}");
    }
}

/// Has Prometheus's own tool read both formats and judge the names, where it is installed.
fn assert_promtool_agrees(daemon: &Daemon) {
    let text = Request::get("/metrics").send_tcp(metrics_address(daemon)).text();
    let spawned = Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let Ok(mut promtool) = spawned else { return eprintln!("promtool is not installed: the format is not judged by it") };
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Compares the tables of docs/reference.md: every metric in the words of the program, and every kind of alarm.
fn assert_in_reference(found: &Shown) {
    let words = |words: &BTreeSet<String>| words.iter().map(|word| reference::code(word)).collect::<Vec<_>>().join(", ");
    let rows: Vec<reference::Row> = found
        .metrics
        .iter()
        .map(|(name, (kind, labels, daemons))| {
            let labels = if labels.is_empty() { "–".to_owned() } else { words(labels) };
            let daemons = daemons.iter().cloned().collect::<Vec<_>>().join(", ");
            vec![reference::code(name), kind.clone(), labels, daemons, found.helps[name].clone()]
        })
        .collect();
    reference::assert_table("Metrics", &["metric", "type", "labels", "daemons", "what it says"], &rows);
    for (daemon, kinds) in &found.alarms {
        let is_of = |row: &&reference::Row| row[1].split(", ").any(|of| of == daemon);
        let listed: BTreeSet<String> =
            reference::rows("Alarms").iter().filter(is_of).map(|row| row[0].trim_matches('`').to_owned()).collect();
        assert_eq!(*kinds, listed, "the alarms of the {daemon}, and docs/reference.md");
    }
}

#[test]
fn every_metric_is_described_with_its_type_labels_and_daemons_and_no_other_is() {
    let mut found = Shown::default();
    followed_primary(&mut found);
    sidecars_of_a_gitlab(&mut found);
    mirror(&mut found);
    let described = documented();
    let shown = &found.metrics;
    let wrong: Vec<String> = shown
        .iter()
        .filter(|(name, shown)| described.get(*name) != Some(shown))
        .map(|(name, shown)| format!("{name} is {shown:?}, and described as {:?}", described.get(name)))
        .chain(described.keys().filter(|name| !shown.contains_key(*name)).map(|name| format!("{name} is described, and no daemon has it")))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_in_reference(&found);
}
