//! Who may answer what, row by row: while the primary lives, when it is dead, when what is held is stale, when it has expired, and when the
//! primary is back. Then writes: a failed one is told as what it is, and sent once.

use std::cell::RefCell;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::Value;

use crate::cases::table::Ask;
use crate::cases::world::{self, blob, discover, lfs, pull, push};
use crate::house::House;
use crate::http::{Answer, Request};

/// What a question gets.
#[derive(Clone, Copy, Debug)]
enum Gets {
    /// This status, said from here: `local`, `cached` or `forwarded`.
    Said(&'static str, u16),
    /// The same, marked as said while the primary cannot be asked.
    Degraded(&'static str, u16),
    /// No answer: 424 with a sentence for a person.
    Outage,
}

/// A question, and what it gets while all is well, and of a dead primary: from fresh data, stale data, and expired data.
struct Line(&'static str, Ask, [Gets; 4]);

impl Line {
    fn asked(&self, house: &House) -> Answer {
        house.ask(self.1.as_json())
    }
}

const WELL: usize = 0;
const FRESH: usize = 1;
const STALE: usize = 2;
const EXPIRED: usize = 3;

#[rustfmt::skip]
fn lines() -> Vec<Line> {
    use Gets::{Degraded, Outage, Said};
    let lookup = |key: u64| Ask::get("/api/v4/internal/authorized_keys").with("key", blob(key));
    let held = |status| [Said("local", status), Said("local", status), Degraded("local", status), Outage];
    let refused = |status| [Said("forwarded", status), Degraded("local", status), Degraded("local", status), Outage];
    let asked = |status| [Said("forwarded", status), Outage, Outage, Outage];
    let change = "1111111111111111111111111111111111111111 2222222222222222222222222222222222222222 refs/heads/x\n";
    vec![
        Line("a known key", lookup(104), held(200)),
        Line("an unknown key", lookup(9999), held(404)),
        Line("a known person", discover("developer"), held(200)),
        Line("nobody", discover("key:9999"), held(200)),
        Line("a pull that is allowed", pull("developer", "team/private"), held(200)),
        Line("a push that is allowed", push("developer", "team/private"), held(200)),
        Line("an anonymous pull that is allowed", pull("nobody", "team/public"), held(200)),
        Line("a pull that is refused", pull("guest", "team/private"), refused(401)),
        Line("a push that is refused", push("reporter", "team/private"), refused(401)),
        Line("an account that is refused", pull("blocked", "team/none"), refused(401)),
        Line("an unknown key, a public project", pull("key:9999", "team/public"), refused(200)),
        Line("a former path", pull("developer", "former/place"), refused(200)),
        Line("a hidden project", pull("outsider", "team/private"), asked(404)),
        Line("a missing project", pull("outsider", "team/none"), asked(404)),
        Line("a project to be made", push("reporter", "team/none"), asked(404)),
        Line("real changes", push("developer", "team/private").with("changes", change), asked(200)),
        Line("a quarantine", push("developer", "team/private").with("env", "{}"), asked(200)),
        Line("a push without changes", push("developer", "team/private").without("changes"), asked(200)),
        Line("a field that no rule reads", pull("developer", "team/private").with("krb5principal", "x@Y"), asked(400)),
        Line("a token for large files", lfs("reporter", "team/none"), asked(404)),
        Line("an agent", Ask::get("/api/v4/internal/kubernetes/agent_info"), asked(401)),
        Line("error tracking", Ask::post("/api/v4/internal/error_tracking/allowed").with("project_id", 1), asked(401)),
    ]
}

#[test]
fn each_question_gets_what_it_may_get_while_the_primary_is_dead_and_after() {
    let mut house = House::new();
    freshness(&house, "1m", "1h");
    house.start_primary();
    house.apply(&world::directory(&serde_json::json!({})));
    house.start_sidecar();
    house.wait_until_fresh();
    let lines = lines();
    let kept = lfs("owner", "team/private").as_json();
    let check = Request::get("/api/v4/internal/check");
    try_all(&house, &lines, WELL);
    assert_eq!(house.ask(kept.clone()).status, 200);
    assert_eq!(house.ask(check.clone()).header("x-sidegate-answer"), Some("forwarded"));

    house.primary.as_mut().unwrap().kill();
    try_all(&house, &lines, FRESH);
    assert_promises(&house, "Logins with known keys and reads still work");
    assert_gets("a kept token", &house.ask(kept.clone()), Gets::Said("cached", 200));
    assert_gets("the versions", &house.ask(check.clone()), Gets::Degraded("cached", 200));
    assert_tells_nothing(&house);

    house.wait_for("two seconds of age", || age(&house) > 2.0);
    let before = age(&house);
    restart(&mut house, "1s", "1h");
    assert!(age(&house) >= before, "a restart made it younger: {before} and {}", age(&house));
    assert_eq!(state(&house, "reads"), "stale");
    try_all(&house, &lines, STALE);
    assert_promises(&house, "Logins with known keys and reads still work");
    assert_gets("a token that was kept in memory", &house.ask(kept), Gets::Outage);
    assert_gets("versions that were kept in memory", &house.ask(check), Gets::Outage);
    assert_tells_nothing(&house);

    restart(&mut house, "1s", "2s");
    assert_eq!(state(&house, "keys"), "expired");
    try_all(&house, &lines, EXPIRED);
    assert_promises(&house, "neither logins nor reads work on this host");
    assert_tells_nothing(&house);

    house.start_primary();
    house.wait_for("the primary to be asked again", || house.ask(pull("guest", "team/private").as_json()).status == 401);
    restart(&mut house, "1m", "1h");
    house.wait_until_fresh();
    house.wait_for("the primary to be asked again", || house.ask(pull("guest", "team/private").as_json()).status == 401);
    try_all(&house, &lines, WELL);
}

/// The same in one life: what is held goes from fresh to stale to expired, each class by its own bounds, and never back before the primary
/// is heard again.
#[test]
fn what_is_held_ages_by_the_bounds_of_its_class() {
    let mut house = House::with(
        "",
        "[freshness]\nkeys = { ttl = \"1s\", max_stale = \"1h\" }\nreads = { ttl = \"1s\", max_stale = \"3s\" }\n\
         push_precheck = { ttl = \"500ms\", max_stale = \"2s\" }\n",
    );
    house.start_primary();
    house.apply(&world::directory(&serde_json::json!({})));
    house.start_sidecar();
    house.wait_for("the directory to be there", || house.status()["follower"]["whole"] == true && state(&house, "keys") == "fresh");
    house.primary.as_mut().unwrap().kill();

    let questions = [
        ("keys", discover("developer")),
        ("reads", pull("developer", "team/private")),
        ("push_precheck", push("developer", "team/private")),
    ];
    let seen: RefCell<[Vec<String>; 3]> = RefCell::default();
    house.wait_for("reads to expire", || {
        for ((class, ask), seen) in questions.iter().zip(seen.borrow_mut().iter_mut()) {
            let before = state(&house, class);
            let answer = house.ask(ask.as_json());
            if before != state(&house, class) {
                continue;
            }
            let gets = match before.as_str() {
                "fresh" => Gets::Said("local", 200),
                "stale" => Gets::Degraded("local", 200),
                _ => Gets::Outage,
            };
            assert_gets(&format!("{class} while {before}"), &answer, gets);
            if seen.last() != Some(&before) {
                seen.push(before);
            }
        }
        state(&house, "reads") == "expired"
    });
    for (seen, whole) in seen.borrow().iter().zip([&["fresh", "stale"][..], &["fresh", "stale", "expired"], &["fresh", "stale", "expired"]])
    {
        let mut whole = whole.iter();
        assert!(!seen.is_empty() && seen.iter().all(|state| whole.any(|next| next == state)), "{seen:?}");
    }
    assert_gets("logins", &house.ask(discover("developer").as_json()), Gets::Degraded("local", 200));
    assert_gets("pulls", &house.ask(pull("developer", "team/private").as_json()), Gets::Outage);
    assert_promises(&house, "Logins with known keys still work, but neither reads nor writes do");

    house.start_primary();
    house.wait_for("pulls to be answered again", || house.ask(pull("developer", "team/private").as_json()).status == 200);
    house.wait_for("reads to be fresh again", || state(&house, "reads") == "fresh");
}

/// In front of a GitLab nothing is kept, and nothing else is said.
#[test]
fn in_front_of_a_gitlab_an_outage_promises_nothing() {
    let mut house = House::new();
    house.edit("sidegate.toml", "feed = \"sidegate\"", "feed = \"none\"");
    house.start_primary();
    house.apply(&world::directory(&serde_json::json!({})));
    house.start_sidecar();
    assert_gets("a login", &house.ask(discover("developer").as_json()), Gets::Said("forwarded", 200));
    house.primary.as_mut().unwrap().kill();
    assert_gets("the same login", &house.ask(discover("developer").as_json()), Gets::Outage);
    assert_promises(&house, "neither logins nor reads work on this host");
}

/// A primary that reads what it is sent, and then says this, or nothing.
struct Mute {
    said: &'static str,
    asked: AtomicUsize,
    ended: AtomicBool,
}

impl Mute {
    fn serve(&self, listener: &UnixListener, path: &str) {
        for stream in listener.incoming() {
            if self.ended.load(Ordering::SeqCst) {
                return;
            }
            let mut stream = stream.unwrap();
            let mut bytes = Vec::new();
            let mut buffer = [0; 4096];
            while !whole(&bytes) {
                match stream.read(&mut buffer) {
                    Ok(length) if length > 0 => bytes.extend_from_slice(&buffer[..length]),
                    _ => break,
                }
            }
            if String::from_utf8_lossy(&bytes).starts_with(&format!("POST {path} ")) {
                self.asked.fetch_add(1, Ordering::SeqCst);
                let _ = stream.write_all(self.said.as_bytes());
            }
        }
    }
}

/// Whether a request has come to its end; those of this test have a length, or no body.
fn whole(bytes: &[u8]) -> bool {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok()).unwrap_or(0);
    bytes.len() >= end + 4 + length
}

#[test]
fn a_write_whose_fate_is_unknown_says_so_and_is_sent_once() {
    const PATH: &str = "/api/v4/internal/two_factor_recovery_codes";
    let mut house = House::new();
    house.start_sidecar();
    let write = Ask::post(PATH).with("key_id", 1).as_json();
    let answer = house.ask(write.clone());
    assert_gets("a write that surely did nothing", &answer, Gets::Outage);
    assert!(answer.message().contains("did not take effect"), "{}", answer.text());

    for said in
        ["", "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 2\r\n\r\n{}", "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{\"succ"]
    {
        let listener = UnixListener::bind(house.primary_socket()).unwrap();
        let mute = Mute { said, asked: AtomicUsize::new(0), ended: AtomicBool::new(false) };
        std::thread::scope(|scope| {
            scope.spawn(|| mute.serve(&listener, PATH));
            let sent = write.clone().header("Gitlab-Shell-Api-Request", &house.shell_token()).try_to(&house.sidecar_socket());
            mute.ended.store(true, Ordering::SeqCst);
            drop(std::os::unix::net::UnixStream::connect(house.primary_socket()));
            if said.contains("200") {
                assert!(sent.is_err() || sent.is_ok_and(|answer| answer.body.len() < 20), "an answer that was cut short is not made whole");
            } else {
                let answer = sent.unwrap();
                assert_eq!(answer.status, 501, "{}", answer.text());
                assert!(answer.message().contains("unknown"), "{}", answer.text());
                assert_eq!(answer.header("x-sidegate-degraded"), Some("primary-unreachable"));
            }
        });
        assert_eq!(mute.asked.load(Ordering::SeqCst), 1, "sent once, after {said:?}");
        std::fs::remove_file(house.primary_socket()).unwrap();
    }
}

fn try_all(house: &House, lines: &[Line], column: usize) {
    for line in lines {
        assert_gets(line.0, &line.asked(house), line.2[column]);
    }
}

fn assert_gets(what: &str, answer: &Answer, gets: Gets) {
    let header = |name| answer.header(name);
    let shown = format!("{what}: {gets:?}, not {} {:?} {}", answer.status, answer.headers, answer.text());
    let degraded = matches!(gets, Gets::Degraded(..) | Gets::Outage);
    assert_eq!(header("x-sidegate-degraded"), degraded.then_some("primary-unreachable"), "{shown}");
    match gets {
        Gets::Said(place, status) | Gets::Degraded(place, status) => {
            assert_eq!((answer.status, header("x-sidegate-answer")), (status, Some(place)), "{shown}");
            assert_eq!(header("x-sidegate-age").is_some_and(|age| age.parse::<u64>().is_ok()), place != "forwarded", "{shown}");
        }
        Gets::Outage => {
            assert_eq!((answer.status, header("x-sidegate-answer")), (424, None), "{shown}");
            assert!(answer.message().starts_with("The Git server's application "), "{shown}");
            assert!(answer.json().get("status").is_none_or(|status| status == &Value::Bool(false)), "{shown}");
        }
    }
}

/// What a person is told still works.
fn assert_promises(house: &House, what: &str) {
    let answer = house.ask(pull("outsider", "team/none").as_json());
    assert!(answer.status == 424 && answer.message().contains(what), "{}", answer.text());
}

/// An outage shows nobody which private projects exist.
fn assert_tells_nothing(house: &House) {
    let asked = |project: &str| {
        let answer = house.ask(pull("outsider", project).as_json());
        let names: Vec<_> = answer.headers.iter().map(|(name, _)| name.clone()).filter(|name| name != "date").collect();
        (answer.status, names, answer.text())
    };
    assert_eq!(asked("team/private"), asked("team/none"));
}

fn state(house: &House, class: &str) -> String {
    house.status()["freshness"][class]["state"].as_str().unwrap().to_owned()
}

fn age(house: &House) -> f64 {
    house.status()["freshness"]["keys"]["age_seconds"].as_f64().unwrap_or(0.0)
}

/// Writes these bounds for every class into the sidecar's configuration.
fn freshness(house: &House, ttl: &str, max_stale: &str) {
    let text = std::fs::read_to_string(house.path().join("sidegate.toml")).unwrap();
    let without = text.split("[freshness]").next().unwrap();
    let bounds = format!("{{ ttl = \"{ttl}\", max_stale = \"{max_stale}\" }}\n");
    house.write("sidegate.toml", &format!("{without}[freshness]\nkeys = {bounds}reads = {bounds}push_precheck = {bounds}"));
}

fn restart(house: &mut House, ttl: &str, max_stale: &str) {
    freshness(house, ttl, max_stale);
    assert!(house.sidecar.as_mut().unwrap().stop().success(), "{}", house.logs());
    house.start_sidecar();
    house.wait_for("the store to be found whole", || house.status()["follower"]["whole"] == true);
}
