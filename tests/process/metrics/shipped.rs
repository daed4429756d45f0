//! What is shipped for those who watch: alerts, each with a text, a place in the documentation and a unit test, and a dashboard. Both name
//! only metrics that are described.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use yaml_rust2::{Yaml, YamlLoader};

/// An alert as it is shipped.
struct Alert {
    name: String,
    expr: String,
    severity: String,
    summary: String,
    description: String,
    runbook: String,
}

/// A file of the repository.
pub fn read_shipped(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

fn read_yaml(path: &str) -> Yaml {
    YamlLoader::load_from_str(&read_shipped(path)).unwrap().remove(0)
}

fn alerts() -> Vec<Alert> {
    let file = read_yaml("packaging/prometheus/alerts.yaml");
    let rules = file["groups"].as_vec().unwrap().iter().flat_map(|group| group["rules"].as_vec().unwrap().clone());
    let text = |yaml: &Yaml| yaml.as_str().unwrap_or_default().to_owned();
    let alert = |rule: Yaml| Alert {
        name: text(&rule["alert"]),
        expr: text(&rule["expr"]),
        severity: text(&rule["labels"]["severity"]),
        summary: text(&rule["annotations"]["summary"]),
        description: text(&rule["annotations"]["description"]),
        runbook: text(&rule["annotations"]["runbook"]),
    };
    rules.map(alert).collect()
}

/// The queries of every panel of the dashboard, with its title; `$…` stands for what a person chooses.
pub fn dashboard_queries() -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(&read_shipped("packaging/grafana/sidegate.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter().chain(dashboard["annotations"]["list"].as_array().unwrap());
    let queries = |panel: &Value| {
        let title = panel["title"].as_str().or_else(|| panel["name"].as_str()).unwrap().to_owned();
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        let queries = targets.into_iter().chain([panel.clone()]);
        queries.filter_map(|target| target["expr"].as_str().map(str::to_owned)).map(move |expr| (title.clone(), expr)).collect::<Vec<_>>()
    };
    panels.flat_map(queries).collect()
}

/// The names of metrics in a query, without what a histogram's samples end with.
fn metrics_in(query: &str) -> BTreeSet<String> {
    let words = query.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let metrics = words.filter(|word| word.starts_with("sidegate_") || word.starts_with("process_"));
    metrics.map(|word| ["_bucket", "_sum", "_count"].iter().find_map(|end| word.strip_suffix(end)).unwrap_or(word).to_owned()).collect()
}

/// The rows of docs/metrics.md: a metric and its alerts.
fn documented_alerts() -> Vec<(String, BTreeSet<String>)> {
    let text = read_shipped("docs/metrics.md");
    let rows = text.lines().filter_map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let name = cells[0].strip_prefix('`')?.strip_suffix('`').filter(|_| cells.len() == 6)?;
        let alerts = cells[5].split(", ").filter(|alert| *alert != "–").map(str::to_owned).collect();
        Some((name.to_owned(), alerts))
    });
    rows.collect()
}

#[test]
fn each_alert_says_what_to_do_and_where_to_read_on() {
    let troubleshooting = read_shipped("docs/troubleshooting.md");
    let headings: BTreeSet<String> =
        troubleshooting.lines().filter_map(|line| line.strip_prefix("### ")).map(|heading| heading.to_ascii_lowercase()).collect();
    let alerts = alerts();
    assert!(alerts.len() >= 25, "{}", alerts.len());
    let names: BTreeSet<&str> = alerts.iter().map(|alert| alert.name.as_str()).collect();
    assert_eq!(names.len(), alerts.len(), "each name once");
    for alert in &alerts {
        let name = &alert.name;
        assert!(["warning", "critical"].contains(&alert.severity.as_str()), "{name}");
        assert!(alert.summary.contains("$labels.") && alert.description.len() > 60, "{name} says where it is, and what to do");
        let heading = alert.runbook.strip_prefix("docs/troubleshooting.md#").unwrap_or_else(|| panic!("{name}: {}", alert.runbook));
        assert!(headings.contains(heading) && heading == name.to_ascii_lowercase(), "{name}: no heading for {}", alert.runbook);
    }
    let described: BTreeSet<String> = alerts.iter().map(|alert| alert.name.to_ascii_lowercase()).collect();
    let of_alerts: BTreeSet<String> = headings.into_iter().filter(|heading| heading.starts_with("sidegate")).collect();
    assert_eq!(of_alerts, described, "a heading without its alert");
}

#[test]
fn alerts_and_dashboard_name_described_metrics_only_and_the_table_names_the_alerts() {
    let documented = documented_alerts();
    let known: BTreeSet<&str> = documented.iter().map(|(name, _)| name.as_str()).collect();
    for (title, query) in dashboard_queries() {
        let unknown: Vec<String> = metrics_in(&query).into_iter().filter(|name| !known.contains(name.as_str())).collect();
        assert!(unknown.is_empty(), "{title}: {unknown:?}");
    }
    let mut uses: BTreeSet<(String, String)> = BTreeSet::new();
    for alert in alerts() {
        let metrics = metrics_in(&alert.expr);
        assert!(metrics.iter().all(|name| known.contains(name.as_str())), "{}: {metrics:?}", alert.name);
        uses.extend(metrics.into_iter().map(|metric| (metric, alert.name.clone())));
    }
    let names: BTreeSet<String> = alerts().into_iter().map(|alert| alert.name).collect();
    for (metric, alerts) in &documented {
        assert!(alerts.is_subset(&names), "{metric}: {alerts:?}");
    }
    // One alert stands for many causes, and the row of a cause may name it.
    let indirect = ["SidegateAlarm", "SidegateDown"];
    let said: BTreeSet<(String, String)> =
        documented.iter().flat_map(|(metric, alerts)| alerts.iter().map(|alert| (metric.clone(), alert.clone()))).collect();
    let unsaid: Vec<_> = uses.difference(&said).filter(|(metric, _)| metric != "sidegate_build_info").collect();
    let untrue: Vec<_> = said.difference(&uses).filter(|(_, alert)| !indirect.contains(&alert.as_str())).collect();
    assert!(unsaid.is_empty() && untrue.is_empty(), "used and not said: {unsaid:?}; said and not used: {untrue:?}");
}

#[test]
fn each_alert_has_a_unit_test_that_prometheus_s_own_tool_passes() {
    let tests = read_yaml("packaging/prometheus/alerts_test.yaml");
    let tested: BTreeSet<String> = tests["tests"].as_vec().unwrap().iter().map(|test| test["name"].as_str().unwrap().to_owned()).collect();
    for alert in alerts() {
        assert!(tested.contains(&alert.name), "{} has no test", alert.name);
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/prometheus");
    for words in [&["check", "rules", "alerts.yaml"][..], &["test", "rules", "alerts_test.yaml"]] {
        match Command::new("promtool").args(words).current_dir(&folder).output() {
            Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout)),
            Err(_missing) => eprintln!("promtool is not installed: alerts.yaml is not tried by it"),
        }
    }
}
