//! `sidegate check --mirror`: is the configuration of a mirror right, and do this host and its GitLab let it work?

use std::path::Path;
use std::time::Duration;

use crate::cli::check::addresses;
use crate::cli::check::as_daemon::DaemonUser;
use crate::cli::check::clock;
use crate::cli::check::configuration;
use crate::cli::check::depth::Depth;
use crate::cli::check::findings::Findings;
use crate::cli::check::readiness::{self, Ready};
use crate::cli::check::secrets::SecretReader;
use crate::cli::check::socket;
use crate::cli::check::store;
use crate::cli::check::tls;
use crate::cli::config::mirror::{HooksConfig, MirrorConfig};
use crate::cli::mirror_options::{GitlabCredentials, gitlab_client};
use crate::cli::units::{duration_text, interval_text};
use crate::mirror::gitlab::answer::{Answer, Asked};
use crate::mirror::gitlab::client::GitlabClient;
use crate::mirror::gitlab::page::PageCursor;
use crate::mirror::gitlab::turns::Priority;
use crate::model::clock as system_clock;

const SERVICE: &str = "sidegate-mirror.service";
/// For how long one question to GitLab is waited for.
const QUESTION_TIME_LIMIT: Duration = Duration::from_secs(20);

/// Checks the configuration of a mirror and the host that it is for, and asks GitLab whether it takes both credentials.
pub fn check(file: &Path, depth: Depth) -> Findings {
    let mut found = Findings::default();
    let config = configuration::load::<MirrorConfig>(file, &mut found);
    if depth != Depth::Start {
        clock::check_year(system_clock::wall_time(), &mut found);
    }
    let Some(config) = config else { return found };
    let daemon = DaemonUser::at(depth, SERVICE, file, &config.store.path, &mut found);
    let credentials = read_credentials(&config, &daemon, &mut found);
    check_tls(&config, depth, &daemon, &mut found);
    let client = credentials.and_then(|credentials| open_gitlab(&config, &credentials, &daemon, &mut found));
    if depth == Depth::Start {
        store::check_owner(&config.store.path, &daemon, &mut found);
        return found;
    }
    configuration::check_start(file, &daemon, &mut found);
    socket::check(&config.socket, None, SERVICE, &daemon, &mut found);
    store::check(&config.store.path, &daemon, &mut found);
    addresses::check_metrics(&config.metrics, &daemon, &mut found);
    if depth == Depth::Full {
        let _ = readiness::check(&config.socket.path, SERVICE, Ready::Later, &daemon, &mut found);
        if let Some(client) = client {
            daemon.act(|| ask_gitlab(&client, &mut found));
        }
        if let Some(hooks) = &config.hooks {
            daemon.act(|| addresses::check_free("hooks", "hooks.listen", hooks.listen, &mut found));
        }
    }
    check_hooks(&config, &mut found);
    found.ok(removal_bounds(&config));
    found.ok(cost_text(&config));
    found
}

/// Reads all secrets; those that GitLab is asked with are returned, if both can be read.
fn read_credentials(config: &MirrorConfig, daemon: &DaemonUser, found: &mut Findings) -> Option<GitlabCredentials> {
    let mut reader = SecretReader::new(daemon, found);
    let token = reader.load("gitlab.token_file", &config.gitlab.token_file);
    let shell = match &config.gitlab.shell_secret_file {
        Some(file) => reader.load("gitlab.shell_secret_file", file),
        None => reader.load("auth.shell_secret_file", &config.auth.shell_secret_file),
    };
    reader.load("auth.sync_secret_file", &config.auth.sync_secret_file);
    reader.load_optional("auth.fleet_token_file", config.auth.fleet_token_file.as_deref());
    reader.load_optional("hooks.token_file", config.hooks.as_ref().map(|hooks| hooks.token_file.as_path()));
    reader.finish();
    let credentials = GitlabCredentials::new(&token?, shell?);
    credentials.map_err(|error| found.refuse(error, "write an administrator's personal access token into that file")).ok()
}

fn check_tls(config: &MirrorConfig, depth: Depth, daemon: &DaemonUser, found: &mut Findings) {
    let listen = config.listen.as_ref().and_then(|listen| listen.tls()).map(|files| ("listen", files));
    let hooks = config.hooks.as_ref().and_then(HooksConfig::tls).map(|files| ("hooks", files));
    for (section, (chain, key)) in listen.into_iter().chain(hooks) {
        tls::check_files(section, chain, key, daemon, found);
        if depth != Depth::Start {
            tls::check_validity(section, chain, system_clock::wall_time(), daemon, found);
        }
    }
}

fn open_gitlab(config: &MirrorConfig, credentials: &GitlabCredentials, daemon: &DaemonUser, found: &mut Findings) -> Option<GitlabClient> {
    let client = daemon.act(|| gitlab_client(config, credentials));
    client.map_err(|error| found.refuse(error, "name a file of certificates in PEM that the daemon's user may read")).ok()
}

/// Asks both APIs of GitLab what a mirror will ask.
fn ask_gitlab(client: &GitlabClient, found: &mut Findings) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return found.warn(format!("GitLab was not asked: {error}"), "run it again"),
    };
    let (users, keys, known) = runtime.block_on(async {
        (
            within_limit(client.users(Priority::Walk, &PageCursor::users_by_id())).await,
            within_limit(client.deploy_keys(Priority::Walk, &PageCursor::deploy_keys())).await,
            within_limit(client.probe_internal(Priority::Walk)).await,
        )
    });
    judge("public API: users", "is reached, and takes the token as an administrator's", users, found);
    judge("public API: deploy keys", "are shown to the token", keys, found);
    judge("internal API", "is reached, and takes the shell secret", known, found);
}

async fn within_limit<T>(question: impl Future<Output = Asked<T>>) -> Answer<T> {
    match tokio::time::timeout(QUESTION_TIME_LIMIT, question).await {
        Ok(asked) => asked.answer,
        Err(_) => Answer::Failed(format!("no answer within {}", duration_text(QUESTION_TIME_LIMIT.as_secs()))),
    }
}

/// Adds what an answer shows. A no is an answer; what GitLab refuses because of us is an error, and an outage a warning.
fn judge<T>(what: &str, good: &str, answer: Answer<T>, found: &mut Findings) {
    match answer {
        Answer::Found(_) | Answer::NotFound => found.ok(format!("{what} {good}")),
        Answer::Unauthorized(reason) => found.refuse(format!("{what}: {reason}"), "compare the token and the shell secret with GitLab's"),
        Answer::Limited(_) => {
            let remedy = "lower gitlab.requests_per_second, or lift its limit for this host";
            found.warn(format!("{what}: GitLab was asked too often (429)"), remedy);
        }
        Answer::Failed(reason) => {
            let text = format!("{what}: {reason}; hosts are served what is held, and nothing is removed");
            found.warn(text, "is gitlab.url right, and does GitLab run?");
        }
    }
}

/// Says where GitLab has to send its hooks.
fn check_hooks(config: &MirrorConfig, found: &mut Findings) {
    let Some(hooks) = &config.hooks else {
        let what = "hooks: without a [hooks] none are taken, and a removed key is found by verification or the full walk only";
        return found.warn(what, "say [hooks] in the configuration, and give GitLab a system hook with its URL");
    };
    let scheme = if hooks.tls().is_some() { "https" } else { "http" };
    let (port, ip) = (hooks.listen.port(), hooks.listen.ip());
    if ip.is_loopback() {
        found.ok(format!("hooks: {scheme}://{}/hooks/gitlab, for a GitLab or a proxy on this host only", hooks.listen));
    } else {
        found.ok(format!("hooks: GitLab's system hook has the URL {scheme}://THIS-HOST:{port}/hooks/gitlab"));
    }
}

/// Returns after how long a removal at GitLab is published.
fn removal_bounds(config: &MirrorConfig) -> String {
    let walk = config.walk;
    let [full, recent, verify] = [walk.full, walk.recent, walk.verify_every].map(|every| interval_text(every.as_secs_f64()));
    let hook = if config.hooks.is_some() { "as its hook comes; if the hook is lost, " } else { "" };
    format!(
        "a key that is removed at GitLab is removed {hook}within {verify} where it is used, and by the full walk every {full} elsewhere; a blocked user is within {recent}"
    )
}

/// Returns what a mirror asks of GitLab while nothing changes.
fn cost_text(config: &MirrorConfig) -> String {
    let short_walks = 3600.0 / config.walk.recent.as_secs_f64();
    format!(
        "GitLab is asked {} times a second at most; in an hour {short_walks:.0} times by short walks at least, and by each full walk once for each user",
        config.gitlab.requests_per_second
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{cost_text, judge, removal_bounds};
    use crate::cli::check::findings::{Finding, Findings, Level};
    use crate::cli::config::file;
    use crate::cli::config::mirror::MirrorConfig;
    use crate::mirror::gitlab::answer::Answer;

    fn config(text: &str) -> MirrorConfig {
        file::parse(Path::new("mirror.toml"), text).unwrap()
    }

    #[test]
    fn the_bounds_are_those_of_the_intervals_and_of_hooks_only_with_hooks() {
        let with =
            removal_bounds(&config("[hooks]\nlisten = \"127.0.0.1:1\"\n[walk]\nfull = \"2h\"\nrecent = \"10s\"\nverify_every = \"90s\""));
        assert!(with.contains("as its hook comes; if the hook is lost, within 1 min 30 s") && with.contains("every 2 h"), "{with}");
        assert!(with.ends_with("a blocked user is within 10 s"), "{with}");
        let without = removal_bounds(&config(""));
        assert!(without.starts_with("a key that is removed at GitLab is removed within 10 min where it is used"), "{without}");
        assert!(cost_text(&config("")).starts_with("GitLab is asked 20 times a second at most; in an hour 120 times"));
    }

    #[test]
    fn a_no_is_an_answer_and_anything_else_comes_with_what_to_do() {
        let judged = |answer: Answer<()>| -> Finding {
            let mut found = Findings::default();
            judge("it", "is well", answer, &mut found);
            found.as_slice()[0].clone()
        };
        assert_eq!([judged(Answer::Found(())).level, judged(Answer::NotFound).level], [Level::Ok; 2]);
        let refused = judged(Answer::Unauthorized("the token is refused; make it an administrator's".into()));
        assert_eq!((refused.level, refused.remedy.as_deref()), (Level::Error, Some("make it an administrator's")));
        assert!(judged(Answer::Limited(None)).remedy.unwrap().contains("requests_per_second"));
        let failed = judged(Answer::Failed("status 502".into()));
        assert!(failed.level == Level::Warning && failed.what.starts_with("it: status 502; "), "{failed:?}");
    }
}
