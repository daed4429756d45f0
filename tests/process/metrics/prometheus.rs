//! A real Prometheus reads real daemons by the shipped rules, and answers each query of the dashboard.

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::metrics::shipped::{dashboard_queries, read_shipped};
use crate::metrics::{LISTEN, metrics_address};
use crate::support::env::TestEnv;
use crate::support::generated_directory::{directory_of_keys, key_blob};
use crate::support::http::Request;
use crate::support::lookup::lookup_request;

/// A Prometheus, ended when dropped.
struct Prometheus {
    child: Child,
    address: SocketAddr,
}

impl Prometheus {
    /// Starts it in the folder of `env`; `None` where it is not installed.
    fn start(env: &TestEnv, targets: &[SocketAddr]) -> Option<Self> {
        let mut listed = String::new();
        targets.iter().for_each(|target| write!(listed, "\"{target}\",").unwrap());
        env.write("alerts.yaml", &read_shipped("packaging/prometheus/alerts.yaml"));
        let config = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [alerts.yaml]\n\
             scrape_configs: [{{job_name: sidegate, static_configs: [{{targets: [{listed}]}}]}}]\n"
        );
        let config = env.write("prometheus.yaml", &config);
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let log = std::fs::File::create(env.path().join("prometheus.log")).unwrap();
        let started = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", env.path().join("tsdb").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        started.ok().map(|child| Self { child, address })
    }

    /// The result of a query; null while it does not answer.
    fn query(&self, query: &str) -> Value {
        self.get(&format!("/api/v1/query?query={}", percent_encode(query)))["data"]["result"].clone()
    }

    fn get(&self, target: &str) -> Value {
        let Ok(_listening) = std::net::TcpStream::connect(self.address) else { return Value::Null };
        let response = Request::get(target).send_tcp(self.address);
        serde_json::from_slice(&response.body).unwrap_or_default()
    }
}

fn percent_encode(query: &str) -> String {
    query.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn prometheus_reads_both_daemons_and_answers_every_query_of_the_dashboard() {
    let mut env = TestEnv::with_config(LISTEN, LISTEN);
    env.start_primary();
    env.apply(&directory_of_keys(8));
    env.start_sidecar();
    env.wait_until_fresh();
    env.request_sidecar(lookup_request(&key_blob(2)));
    let targets = [metrics_address(env.primary.as_ref().unwrap()), metrics_address(env.sidecar.as_ref().unwrap())];
    let Some(prometheus) = Prometheus::start(&env, &targets) else {
        return eprintln!("prometheus is not installed: the queries of the dashboard are not tried by it");
    };
    let count = |query: &str| prometheus.query(query)[0]["value"][1].as_str().and_then(|value| value.parse::<f64>().ok());
    env.wait_for("Prometheus to have read both twice", || count("count(count_over_time(sidegate_build_info[1m]) >= 2)") == Some(2.0));
    let known = |word: &str| count(&format!("count({word})")).is_some();
    for (title, query) in dashboard_queries() {
        let query = query.replace("$__rate_interval", "1m").replace("$job", ".*").replace("$instance", ".*");
        let answer = prometheus.get(&format!("/api/v1/query?query={}", percent_encode(&query)));
        assert_eq!(answer["status"], "success", "{title}: {query}: {answer}");
    }
    for word in ["sidegate_age_seconds", "sidegate_answers_total", "sidegate_hosts", "process_start_time_seconds"] {
        assert!(known(word), "{word}");
    }
    env.wait_for("the rules to be evaluated", || {
        let answer = prometheus.get("/api/v1/rules");
        let rules = answer["data"]["groups"][0]["rules"].as_array().cloned().unwrap_or_default();
        assert!(rules.iter().all(|rule| rule["health"] != "err"), "{answer}");
        !rules.is_empty() && rules.iter().all(|rule| rule["health"] == "ok")
    });
}
