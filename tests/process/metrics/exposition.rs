//! A reader of the classic text format, as strict as the format is.

use std::collections::{BTreeMap, BTreeSet};

/// What was read: metrics by name.
pub type Exposition = BTreeMap<String, Metric>;

/// One metric.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metric {
    pub kind: String,
    /// What it says of itself.
    pub help: String,
    /// The names of its labels, without that of buckets.
    pub labels: BTreeSet<String>,
    /// Its samples: name and labels as they stand, and the value.
    pub samples: Vec<(String, String)>,
}

/// Reads a text; fails with the line that breaks the format: a sample without help and type before it, a metric that comes twice, a label
/// that is not closed, a value that is no number.
pub fn parse_classic(text: &str) -> Exposition {
    let mut found = Exposition::new();
    let (mut help, mut current) = (None, None);
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, said) = rest.split_once(' ').unwrap_or_else(|| panic!("{line}"));
            assert!(!said.trim().is_empty(), "{line}");
            help = Some((name, said));
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap_or_else(|| panic!("{line}"));
            let (described, said) = help.take().unwrap_or_else(|| panic!("{line}"));
            assert_eq!(described, name, "{line}");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            let metric = Metric { kind: kind.to_owned(), help: said.to_owned(), ..Metric::default() };
            assert!(found.insert(name.to_owned(), metric).is_none(), "twice: {line}");
            current = Some(name.to_owned());
        } else {
            assert!(!line.starts_with('#'), "{line}");
            let name = current.as_ref().unwrap_or_else(|| panic!("{line}"));
            add_sample(found.get_mut(name).unwrap(), name, line);
        }
    }
    assert!(found.values().all(|metric| !metric.samples.is_empty()), "{found:?}");
    found
}

fn add_sample(metric: &mut Metric, name: &str, line: &str) {
    let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
    assert!(value.parse::<f64>().is_ok(), "{line}");
    let (sample, labels) = series.split_once('{').map_or((series, ""), |(sample, labels)| (sample, labels.strip_suffix('}').unwrap()));
    let suffix = sample.strip_prefix(name).unwrap_or_else(|| panic!("{line} below {name}"));
    let suffixes: &[&str] = if metric.kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
    assert!(suffixes.contains(&suffix), "{line}");
    metric.labels.extend(label_names(labels).into_iter().filter(|label| label != "le"));
    metric.samples.push((series.to_owned(), value.to_owned()));
}

fn label_names(labels: &str) -> Vec<String> {
    let (mut names, mut rest) = (Vec::new(), labels);
    while !rest.is_empty() {
        let (name, after) = rest.split_once("=\"").unwrap_or_else(|| panic!("{labels}"));
        names.push(name.trim_start_matches(',').to_owned());
        let mut escaped = false;
        let end = after.char_indices().find(|(_, letter)| {
            let ends = *letter == '"' && !escaped;
            escaped = *letter == '\\' && !escaped;
            ends
        });
        rest = &after[end.unwrap_or_else(|| panic!("{labels}")).0 + 1..];
    }
    names
}
