//! `sidegate check --mirror`: is the configuration of a mirror right, and do this host and its GitLab let it work? Changes nothing.

use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use nix::unistd::Uid;

use crate::cli::check::{check_clock, check_socket_dir};
use crate::cli::config::file;
use crate::cli::config::mirror::{HooksConfig, MirrorConfig};
use crate::cli::exit_status::{CommandError, CommandResult, Completion};
use crate::cli::ids;
use crate::cli::mirror::{GitlabCredentials, gitlab_client, load_hook_token};
use crate::cli::output::{print_line, print_warning};
use crate::cli::secrets;
use crate::cli::units::{duration_text, interval_text};
use crate::mirror::gitlab::answer::{Answer, Asked};
use crate::mirror::gitlab::client::GitlabClient;
use crate::mirror::gitlab::page::PageCursor;
use crate::mirror::gitlab::turns::Priority;
use crate::net::server::listen;

/// For how long one question to GitLab is waited for.
const QUESTION_TIME_LIMIT: Duration = Duration::from_secs(20);

/// Checks the configuration of a mirror. Asks GitLab whether it takes both credentials, unless `offline`.
pub fn run(path: &Path, offline: bool) -> CommandResult {
    let config: MirrorConfig = file::load(path).map_err(CommandError::new)?;
    print_line(&format!("{}: understood", path.display()));
    let credentials = GitlabCredentials::load(&config)?;
    secrets::load_secret("auth.sync_secret_file", &config.auth.sync_secret_file)?;
    load_hook_token(&config)?;
    print_line("secrets: readable by us alone");
    check_tls(&config)?;
    config.socket.group.as_deref().map(ids::group_id).transpose()?;
    check_socket_dir("socket.path", &config.socket.path)?;
    check_store(&config.store.path)?;
    check_clock()?;
    let client = gitlab_client(&config, &credentials)?;
    if !offline {
        warn_gitlab(&client)?;
        check_hook_address(config.hooks.as_ref())?;
    }
    warn_hooks(&config);
    print_line(&removal_bounds(&config));
    print_line(&cost_text(&config));
    Ok(Completion::Complete)
}

fn check_tls(config: &MirrorConfig) -> Result<(), CommandError> {
    let listens = config.listen.as_ref().and_then(|listen| listen.tls());
    let hooks = config.hooks.as_ref().and_then(HooksConfig::tls);
    for (chain, key) in listens.into_iter().chain(hooks) {
        listen::load_tls_config(chain, key).map_err(CommandError::new)?;
    }
    Ok(())
}

/// Refuses a store that others own or may read.
fn check_store(folder: &Path) -> Result<(), CommandError> {
    let metadata = match fs::symlink_metadata(folder) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            print_warning(&format!("store.path: {} is not there yet; systemd makes it with StateDirectory=", folder.display()));
            return Ok(());
        }
        Err(error) => return Err(CommandError(format!("store.path: {}: {error}; run this as the mirror's user", folder.display()))),
    };
    let (own, owner) = (Uid::effective().as_raw(), metadata.uid());
    if !metadata.is_dir() || metadata.mode() & 0o077 != 0 {
        return Err(CommandError(format!("store.path: {} must be a folder that only its owner may read; chmod 0700 it", folder.display())));
    }
    if owner != own && own != 0 {
        let text = format!("store.path: {} belongs to the user with the id {owner} and we are {own}; chown it", folder.display());
        return Err(CommandError(text));
    }
    print_line(&format!("store: {} is the mirror's alone", folder.display()));
    Ok(())
}

/// Asks both APIs of GitLab what a mirror will ask.
fn warn_gitlab(client: &GitlabClient) -> Result<(), CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CommandError::new)?;
    let (users, keys, known) = runtime.block_on(async {
        (
            within_limit(client.users(Priority::Walk, &PageCursor::users_by_id())).await,
            within_limit(client.deploy_keys(Priority::Walk, &PageCursor::deploy_keys())).await,
            within_limit(client.probe_internal(Priority::Walk)).await,
        )
    });
    report("public API: users", "is reached, and takes the token as an administrator's", users);
    report("public API: deploy keys", "are shown to the token", keys);
    report("internal API", "is reached, and takes the shell secret", known);
    Ok(())
}

async fn within_limit<T>(question: impl Future<Output = Asked<T>>) -> Answer<T> {
    match tokio::time::timeout(QUESTION_TIME_LIMIT, question).await {
        Ok(asked) => asked.answer,
        Err(_) => Answer::Failed(format!("no answer within {}", duration_text(QUESTION_TIME_LIMIT.as_secs()))),
    }
}

/// Prints what an answer shows, or what to do about it.
fn report<T>(what: &str, good: &str, answer: Answer<T>) {
    match finding(answer) {
        None => print_line(&format!("{what} {good}")),
        Some(problem) => print_warning(&format!("{what}: {problem}")),
    }
}

/// Returns what is wrong and what to do; `None`: the question was answered, and a no is an answer.
fn finding<T>(answer: Answer<T>) -> Option<String> {
    match answer {
        Answer::Found(_) | Answer::NotFound => None,
        Answer::Unauthorized(reason) => Some(reason),
        Answer::Limited(_) => {
            Some("GitLab was asked too often (429); lower gitlab.requests_per_second, or lift its limit for this host".to_owned())
        }
        Answer::Failed(reason) => {
            Some(format!("{reason}; is gitlab.url right, and does GitLab run? Hosts are served what is held, and nothing is removed"))
        }
    }
}

/// Refuses an address for hooks that this host does not have. One that is taken is the mirror's own if it runs.
fn check_hook_address(hooks: Option<&HooksConfig>) -> Result<(), CommandError> {
    let Some(HooksConfig { listen, .. }) = hooks else { return Ok(()) };
    match TcpListener::bind(listen) {
        Ok(_) => print_line(&format!("hooks: {listen} is free; the mirror will listen there")),
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            print_line(&format!("hooks: {listen} is taken, by the mirror if it runs; if it does not, `ss -ltnp` says by whom"));
        }
        Err(error) => {
            return Err(CommandError(format!("hooks.listen: {listen}: {error}; give an address of this host, and a port that we may use")));
        }
    }
    Ok(())
}

/// Says where GitLab has to send its hooks.
fn warn_hooks(config: &MirrorConfig) {
    let Some(hooks) = &config.hooks else {
        return print_warning("hooks: without a [hooks] none are taken, and a removed key is found by verification or the full walk only");
    };
    let scheme = if hooks.tls().is_some() { "https" } else { "http" };
    let (port, ip) = (hooks.listen.port(), hooks.listen.ip());
    if ip.is_loopback() {
        print_line(&format!("hooks: {scheme}://{}/hooks/gitlab, for a GitLab or a proxy on this host only", hooks.listen));
    } else {
        print_line(&format!("hooks: GitLab's system hook has the URL {scheme}://THIS-HOST:{port}/hooks/gitlab"));
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
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use super::{check_store, cost_text, finding, removal_bounds};
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
    fn a_store_that_others_may_read_is_refused_and_one_that_is_not_there_is_not() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o750)).unwrap();
        assert!(check_store(folder.path()).unwrap_err().to_string().contains("chmod 0700"));
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        assert!(check_store(folder.path()).is_ok() && check_store(&folder.path().join("none")).is_ok());
    }

    #[test]
    fn a_no_is_an_answer_and_anything_else_comes_with_what_to_do() {
        assert_eq!((finding(Answer::Found(())), finding(Answer::<()>::NotFound)), (None, None));
        assert_eq!(finding(Answer::<()>::Unauthorized("make it an administrator's".into())).unwrap(), "make it an administrator's");
        assert!(finding(Answer::<()>::Limited(None)).unwrap().contains("requests_per_second"));
        assert!(finding(Answer::<()>::Failed("status 502".into())).unwrap().starts_with("status 502; is gitlab.url right"));
    }
}
