//! The two text formats of metrics: the classic one of Prometheus, and OpenMetrics for who asks for it. The library writes the latter; the
//! former is made of it, so that both always say the same.

use http::{HeaderMap, HeaderValue, header};

/// A text format of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricsFormat {
    /// Prometheus's own, which every reader takes.
    Classic,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl MetricsFormat {
    /// Returns the format that a reader wants: OpenMetrics if its `Accept` names `application/openmetrics-text` in version 1.0.0, or without a
    /// version, and `text/plain` with no greater weight.
    #[must_use]
    pub fn accepted(headers: &HeaderMap) -> Self {
        let (mut open_metrics, mut classic) = (0, 0);
        let accepted = headers.get_all(header::ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
        for range in accepted.flat_map(|value| value.split(',')) {
            let mut parts = range.split(';').map(str::trim);
            let media_type = parts.next().unwrap_or_default();
            let parameters: Vec<(&str, &str)> = parts.filter_map(|part| part.split_once('=')).collect();
            let value = |name: &str| parameters.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim());
            let weight = value("q").map_or(1000, parse_weight);
            if media_type.eq_ignore_ascii_case("application/openmetrics-text") && matches!(value("version"), None | Some("1.0.0")) {
                open_metrics = open_metrics.max(weight);
            } else if media_type.eq_ignore_ascii_case("text/plain") {
                classic = classic.max(weight);
            }
        }
        if open_metrics > 0 && open_metrics >= classic { Self::OpenMetrics } else { Self::Classic }
    }

    /// Returns its `Content-Type`.
    #[must_use]
    pub const fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        })
    }

    /// Converts a text of OpenMetrics into this format.
    #[must_use]
    pub fn convert(self, text: String) -> String {
        match self {
            Self::Classic => classic_text(&text),
            Self::OpenMetrics => text,
        }
    }
}

/// Parses a weight as `0.75`, in thousandths; what is none counts as nothing.
fn parse_weight(text: &str) -> u32 {
    let Ok(weight) = text.parse::<f64>() else { return 0 };
    (0..=1000).rev().find(|thousandths| f64::from(*thousandths) <= weight * 1000.0).unwrap_or(0)
}

/// Rewrites a text of OpenMetrics: there a counter and an info are named without the suffix that their samples have.
fn classic_text(text: &str) -> String {
    let mut classic = String::with_capacity(text.len());
    let mut help = None;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ');
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            let (suffix, kind) = match kind {
                "counter" => ("_total", kind),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                _ => ("", kind),
            };
            if let Some((_, help)) = help.take().filter(|(of, _)| *of == name) {
                classic.extend(["# HELP ", name, suffix, " ", help, "\n"]);
            }
            classic.extend(["# TYPE ", name, suffix, " ", kind, "\n"]);
        } else if !line.starts_with('#') {
            classic.extend([line, "\n"]);
        }
    }
    classic
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, header};
    use prometheus_client::encoding::text;
    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::metrics::family::Family;
    use prometheus_client::metrics::gauge::Gauge;
    use prometheus_client::metrics::histogram::Histogram;
    use prometheus_client::metrics::info::Info;
    use prometheus_client::registry::Registry;
    use proptest::prelude::*;

    use super::{MetricsFormat, classic_text};

    fn accepted(values: &[&str]) -> MetricsFormat {
        let headers = values.iter().map(|value| (header::ACCEPT, HeaderValue::from_str(value).unwrap()));
        MetricsFormat::accepted(&HeaderMap::from_iter(headers))
    }

    #[test]
    fn openmetrics_is_given_to_who_asks_for_it_and_the_classic_format_to_everybody_else() {
        let prometheus_2 = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                            text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let prometheus_3 = "application/vnd.google.protobuf;q=0.7,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                            text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for values in [
            &[prometheus_2][..],
            &[prometheus_3],
            &["application/openmetrics-text"],
            &["Application/OpenMetrics-Text; Q=0.2"],
            &["text/html", "application/openmetrics-text;version=1.0.0"],
        ] {
            assert_eq!(accepted(values), MetricsFormat::OpenMetrics, "{values:?}");
        }
        for values in [
            &[][..],
            &["*/*"],
            &["text/plain"],
            &["application/openmetrics-text;q=0"],
            &["application/openmetrics-text;q=0.1, text/plain"],
            &["application/openmetrics-text;version=0.0.1"],
            &["application/openmetrics-text;q=much"],
            &["text/html,application/json"],
        ] {
            assert_eq!(accepted(values), MetricsFormat::Classic, "{values:?}");
        }
    }

    #[test]
    fn the_classic_text_names_counters_and_infos_as_their_samples_are_named() {
        let mut registry = Registry::default();
        let (counter, gauge, buckets) = (Counter::<u64>::default(), Gauge::<i64>::default(), Histogram::new([0.5]));
        counter.inc();
        buckets.observe(0.1);
        let refused = Family::<[(&str, &str); 1], Counter>::default();
        refused.get_or_create(&[("reason", "a \"b\"\n\\c # TYPE x y")]).inc();
        registry.register("x_asked", "How often", counter);
        registry.register("x_refused", "How often not", refused);
        registry.register("x_open", "How many", gauge);
        registry.register("x_seconds", "How long", buckets);
        registry.register("x_build", "What", Info::new([("version", "1")]));
        let mut text = String::new();
        text::encode(&mut text, &registry).unwrap();
        let expected = "# HELP x_asked_total How often.\n# TYPE x_asked_total counter\nx_asked_total 1\n\
                        # HELP x_refused_total How often not.\n# TYPE x_refused_total counter\n\
                        x_refused_total{reason=\"a \\\"b\\\"\\n\\\\c # TYPE x y\"} 1\n\
                        # HELP x_open How many.\n# TYPE x_open gauge\nx_open 0\n\
                        # HELP x_seconds How long.\n# TYPE x_seconds histogram\nx_seconds_sum 0.1\nx_seconds_count 1\n\
                        x_seconds_bucket{le=\"0.5\"} 1\nx_seconds_bucket{le=\"+Inf\"} 1\n\
                        # HELP x_build_info What.\n# TYPE x_build_info gauge\nx_build_info{version=\"1\"} 1\n";
        assert_eq!(classic_text(&text), expected);
        assert_eq!(MetricsFormat::OpenMetrics.convert(text.clone()), text);
    }

    proptest! {
        #[test]
        fn no_accept_and_no_text_panics(accept in "[ -~]{0,40}", text in "\\PC{0,40}") {
            let _ = (accepted(&[&accept]), classic_text(&text));
        }
    }
}
