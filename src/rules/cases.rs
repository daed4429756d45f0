//! The contract's cases of `allowed`, groups H to O, as far as they are decided here. Each test names its rows.

use crate::model::question::{Action, Changes, Claimant, Protocol, Question};
use crate::model::table::{Table, ed25519};
use crate::model::time::Time;
use crate::model::verdict::{FoundBy, Grant, Judgement, Verdict};
use crate::rules::allowed::decide;

const DOWNLOAD: &str = "You are not allowed to download code from this project.";
const PUSH: &str = "You are not allowed to push code to this project.";
const UPLOAD: &str = "You are not allowed to upload code for this project.";
const MISSING: &str = "The project you were looking for could not be found or you don't have permission to view it.";
const DEPLOY: &str = "This deploy key does not have write access to this project.";
const ARCHIVED: &str = "You can't push code to an archived project.";
const READ_ONLY: &str = "The repository is temporarily read-only. Please try again later.";

/// Group `g` (1) with `g/sub` (2); in `g` a private (10), an internal (11) and a public (12) project. Users by role: owner 1,
/// maintainer 2, developer 3, reporter 4, planner 5, guest 6; outsider 7, external 8, admin 9; 20 to 26 as their external twins.
/// Keys 101 to 109 are theirs; deploy keys: 120 writes, 121 reads, 122 is attached to nothing.
fn house() -> Table {
    let mut lines = vec![
        r#"{"kind":"storage","name":"default","address":"unix:/gitaly.sock","token":"t","features":{"gitaly-feature-x":true,"y_z":false}}"#
            .to_owned(),
        r#"{"kind":"namespace","id":1,"type":"group","path":"g","name":"g"}"#.to_owned(),
        r#"{"kind":"namespace","id":2,"type":"group","path":"g/sub","name":"sub","parent_id":1}"#.to_owned(),
        r#"{"kind":"namespace","id":3,"type":"user","path":"outsider","name":"o","owner_id":7}"#.to_owned(),
        r#"{"kind":"project","id":14,"namespace_id":3,"path":"outsider/own","name":"own","relative_path":"o.git"}"#.to_owned(),
        r#"{"kind":"project","id":13,"namespace_id":2,"path":"g/sub/deep","name":"deep","relative_path":"d.git"}"#.to_owned(),
        r#"{"kind":"redirect","from":"old/private","project_id":10}"#.to_owned(),
    ];
    for (id, visibility) in [(10, "private"), (11, "internal"), (12, "public")] {
        lines.push(format!(r#"{{"kind":"project","id":{id},"namespace_id":1,"path":"g/{visibility}","name":"p","visibility":"{visibility}","relative_path":"@hashed/{id}.git"}}"#));
    }
    let people = ["owner", "maintainer", "developer", "reporter", "planner", "guest", "outsider", "external", "admin"];
    for (id, name) in (1..).zip(people) {
        let more = match name {
            "external" => r#","external":true"#,
            "admin" => r#","admin":true"#,
            _ => "",
        };
        lines.push(format!(r#"{{"kind":"user","id":{id},"username":"{name}","name":"{name}"{more}}}"#));
        lines.push(key(100 + id, Some(id), ""));
    }
    for (id, level) in (1..).zip([50, 40, 30, 20, 15, 10]) {
        lines.push(format!(r#"{{"kind":"member","namespace_id":1,"user_id":{id},"access_level":{level}}}"#));
        let twin = 20 + id;
        lines.push(format!(r#"{{"kind":"user","id":{twin},"username":"external{id}","name":"x","external":true}}"#));
        lines.push(format!(r#"{{"kind":"member","namespace_id":1,"user_id":{twin},"access_level":{level}}}"#));
    }
    for (id, can_push) in [(120, true), (121, false)] {
        lines.push(key(id, None, r#","deploy":true"#));
        for project in [10, 11, 12] {
            lines.push(format!(r#"{{"kind":"deploy_grant","key_id":{id},"project_id":{project},"can_push":{can_push}}}"#));
        }
    }
    lines.push(key(122, Some(1), r#","deploy":true"#));
    lines.push(key(123, None, ""));
    Table::of(lines.iter().map(String::as_str))
}

fn key(id: u64, user: Option<u64>, more: &str) -> String {
    let user = user.map(|user| format!(r#","user_id":{user}"#)).unwrap_or_default();
    format!(r#"{{"kind":"key","id":{id}{user},"title":"t","key":"{}","created_at":"2026-01-01T00:00:00Z"{more}}}"#, ed25519(id))
}

fn user(id: u64, more: &str) -> String {
    format!(r#"{{"kind":"user","id":{id},"username":"user{id}","name":"U"{more}}}"#)
}

/// The project of that visibility, changed.
fn project(visibility: &str, more: &str) -> String {
    let id = match visibility {
        "private" => 10,
        "internal" => 11,
        _ => 12,
    };
    format!(
        r#"{{"kind":"project","id":{id},"namespace_id":1,"path":"g/{visibility}","name":"p","visibility":"{visibility}","relative_path":"@hashed/{id}.git"{more}}}"#
    )
}

fn settings(fields: &str) -> String {
    format!(r#"{{"kind":"settings",{fields}}}"#)
}

fn by_user(id: u64) -> Claimant {
    Claimant::User(id.try_into().ok())
}

fn by_key(id: u64) -> Claimant {
    Claimant::Key(id.try_into().ok())
}

fn pull(claimant: Claimant, path: &str) -> Question {
    Question {
        claimant,
        gl_repository: None,
        project: Some(path.to_owned()),
        action: Action::UploadPack,
        protocol: Protocol::Ssh,
        changes: Changes::Any,
        env: None,
        check_ip: None,
        namespace_path: None,
        relative_path: None,
        push_options: Vec::new(),
        unread: None,
    }
}

fn push(claimant: Claimant, path: &str) -> Question {
    Question { action: Action::ReceivePack, ..pull(claimant, path) }
}

fn by_id(question: Question, word: &str) -> Question {
    Question { gl_repository: Some(word.to_owned()), project: None, ..question }
}

fn now() -> Time {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

fn judged(table: &Table, question: &Question) -> Judgement {
    decide(table, question, now()).unwrap()
}

/// 200, or the refusal's status and sentence.
fn said(table: &Table, question: &Question) -> (u16, String) {
    match judged(table, question).verdict {
        Verdict::Granted(_) => (200, String::new()),
        Verdict::Creates(creation) => (201, creation.path),
        Verdict::Refused(refusal) => (refusal.status, refusal.text),
    }
}

#[track_caller]
fn yes(table: &Table, question: &Question) -> Grant {
    match judged(table, question).verdict {
        Verdict::Granted(grant) => *grant,
        other => panic!("{question:?}: {other:?}"),
    }
}

#[track_caller]
fn no(table: &Table, question: &Question, status: u16, text: &str) {
    assert_eq!(said(table, question), (status, text.to_owned()), "{question:?}");
}

/// H01 to H11: what a yes names.
#[test]
fn a_yes_names_actor_repository_storage_and_root() {
    let house = house();
    let grant = yes(&house, &pull(by_key(103), "/g/sub/deep.git"));
    assert_eq!(grant.repository.word(), "project-13");
    assert_eq!(grant.actor.user().map(|user| user.id.number()), Some(3));
    assert_eq!(grant.actor.key().map(|key| key.id.number()), Some(103));
    assert_eq!(grant.root_namespace.map(u64::from), Some(1));
    assert_eq!(grant.storage.map(|storage| storage.address.to_string()).as_deref(), Some("unix:/gitaly.sock"));
    let wiki = yes(&house, &push(by_user(3), "g/private.wiki"));
    assert_eq!((wiki.repository.word(), wiki.repository.path()), ("wiki-10".to_owned(), "g/private.wiki".to_owned()));
    assert_eq!(wiki.repository.relative_path(), "@hashed/10.wiki.git");
    let _archive = yes(&house, &Question { action: Action::UploadArchive, ..pull(by_key(121), "g/private") });
}

/// H14: a key is spoken of in its last seven days, and not before.
#[test]
fn a_key_that_ends_soon_is_spoken_of() {
    for (end, expected) in [
        ("2026-06-03T00:00:00Z", vec!["INFO: Your SSH key expires soon. Please generate a new key."]),
        ("2026-06-08T00:00:00Z", vec!["INFO: Your SSH key expires soon. Please generate a new key."]),
        ("2026-06-08T00:00:00.001Z", vec![]),
    ] {
        let table = house().with([key(103, Some(3), &format!(r#","expires_at":"{end}""#)).as_str()]);
        assert_eq!(yes(&table, &pull(by_key(103), "g/private")).console, expected, "{end}");
    }
}

/// I01 and server.md 8.5: an unknown actor is nobody; nobody may pull what is public.
#[test]
fn nobody_pulls_what_is_public_and_pushes_nothing() {
    for claimant in [Claimant::Key(None), by_key(999), by_user(999), Claimant::Username("none".to_owned()), Claimant::Nobody, by_key(123)] {
        no(&house(), &pull(claimant.clone(), "g/private"), 404, MISSING);
        no(&house(), &pull(claimant.clone(), "g/internal"), 404, MISSING);
        assert_eq!(yes(&house(), &pull(claimant.clone(), "g/public")).actor.user(), None);
        no(&house(), &push(claimant, "g/public"), 401, UPLOAD);
    }
}

/// server.md 1.3: every way to say who one is.
#[test]
fn an_actor_is_found_by_each_identity_and_a_signing_key_by_none() {
    let house = house().with([key(130, Some(3), r#","usage":"signing""#).as_str(), key(131, Some(3), r#","usage":"auth""#).as_str()]);
    for claimant in [by_user(3), Claimant::Username("DEVELOPER".to_owned()), Claimant::KeysUser(103.try_into().ok()), by_key(131)] {
        let _ = yes(&house, &push(claimant, "g/private"));
    }
    no(&house, &pull(by_key(130), "g/private"), 404, MISSING);
    no(&house, &pull(Claimant::KeysUser(130.try_into().ok()), "g/private"), 404, MISSING);
    no(&house, &pull(Claimant::KeysUser(122.try_into().ok()), "g/private"), 404, MISSING);
}

/// I02, I11 to I17 and server.md 3.2: each state, before any project is looked at.
#[test]
fn an_account_is_refused_by_the_first_thing_that_is_wrong_with_it() {
    let blocked = "Your account has been blocked.";
    let deactivated = "Your account has been deactivated by your administrator. Please log back in from a web browser to reactivate your account at http://localhost";
    let unconfirmed = "Your primary email address is not confirmed. Please check your inbox for the confirmation instructions. In case the link is expired, you can request a new confirmation email at http://localhost";
    let password = "Your password expired. Please access GitLab from a web browser to update your password.";
    let terms = "You (@user2) must accept the Terms of Service in order to perform this action. To accept these terms, please access GitLab from a web browser at http://localhost.";
    let pending = "Your account is pending approval from your administrator and hence blocked.";
    let internal = "This action cannot be performed by internal users";
    for (fields, expected) in [
        (r#","state":"blocked""#, Some(blocked)),
        (r#","state":"blocked","admin":true"#, Some(blocked)),
        (r#","state":"banned""#, Some(blocked)),
        (r#","state":"deactivated""#, Some(deactivated)),
        (r#","state":"unconfirmed""#, Some(unconfirmed)),
        (r#","state":"pending_approval","terms_accepted":false"#, Some(pending)),
        (r#","state":"internal","terms_accepted":false"#, Some(internal)),
        (r#","state":"internal","bot":true"#, None),
        (r#","state":"blocked","terms_accepted":false"#, Some(terms)),
        (r#","terms_accepted":false"#, Some(terms)),
        (r#","terms_accepted":false,"bot":true"#, None),
        (r#","password_expires_at":"2026-06-01T00:00:00Z""#, Some(password)),
        (r#","password_expires_at":"2026-06-01T00:00:00.001Z""#, None),
        (r#","password_expires_at":"2020-01-01T00:00:00Z","ldap":true"#, None),
        (r#","password_expires_at":"2020-01-01T00:00:00Z","bot":true"#, None),
        (r#","password_expires_at":"2020-01-01T00:00:00Z","state":"blocked""#, Some(blocked)),
        ("", None),
    ] {
        let table = house().with([user(2, fields).as_str(), settings(r#""terms_required":true"#).as_str()]);
        for question in
            [pull(by_user(2), "g/private"), push(by_key(102), "g/private"), pull(by_user(2), "g/none"), pull(by_user(2), "g/public")]
        {
            match expected {
                Some(text) => no(&table, &question, 401, text),
                None => assert_ne!(said(&table, &question).0, 401, "{fields}"),
            }
        }
    }
}

/// server.md 8.9: a deploy key's creator enters no decision.
#[test]
fn a_deploy_key_outlives_its_creator() {
    let table = house().with([key(120, Some(2), r#","deploy":true"#).as_str(), user(2, r#","state":"blocked""#).as_str()]);
    let _ = yes(&table, &push(by_key(120), "g/private"));
}

/// I04, and the order of the contract: the key before the account.
#[test]
fn an_expired_key_is_refused_whosever_it_is() {
    let text = "Your SSH key has expired.";
    for (id, owner, deploy) in [(102, Some(2), ""), (120, None, r#","deploy":true"#), (123, None, "")] {
        let expired = key(id, owner, &format!(r#"{deploy},"expires_at":"2026-06-01T00:00:00Z""#));
        let table = house().with([expired.as_str(), user(2, r#","state":"blocked""#).as_str()]);
        for question in [pull(by_key(id), "g/public"), push(by_key(id), "g/private"), pull(by_key(id), "g/none")] {
            no(&table, &question, 401, text);
        }
    }
}

/// I05, I06: types and lengths.
#[test]
fn a_key_keeps_to_the_rules_of_its_type() {
    let ruled = |rules: &str| house().with([settings(&format!(r#""key_rules":{{{rules}}}"#)).as_str()]);
    let others = "Your SSH key type is forbidden. Must be RSA, DSA, ECDSA, ECDSA_SK, or ED25519_SK.";
    no(&ruled(r#""ed25519":"forbidden""#), &pull(by_key(102), "g/private"), 401, others);
    no(&ruled(r#""ed25519":"forbidden""#), &pull(by_key(120), "g/private"), 401, others);
    no(
        &ruled(r#""dsa":"forbidden","ecdsa":"forbidden","ecdsa_sk":"forbidden","ed25519":"forbidden","ed25519_sk":"forbidden""#),
        &push(by_key(102), "g/private"),
        401,
        "Your SSH key type is forbidden. Must be RSA.",
    );
    no(&ruled(r#""ed25519":4096"#), &pull(by_key(102), "g/private"), 401, "Your SSH key must be at least 4096 bits.");
    for passes in [r#""ed25519":256"#, r#""ed25519":0"#, r#""rsa":"forbidden""#] {
        let _ = yes(&ruled(passes), &pull(by_key(102), "g/private"));
        let _ = yes(&ruled(r#""ed25519":"forbidden""#), &pull(by_user(2), "g/private"));
    }
}

/// I07 to I09.
#[test]
fn a_protocol_may_be_switched_off_and_the_web_never_is() {
    let no_ssh = house().with([settings(r#""ssh_enabled":false"#).as_str()]);
    let no_http = house().with([settings(r#""http_enabled":false"#).as_str()]);
    let over = |protocol: &Protocol| Question { protocol: protocol.clone(), ..push(by_user(3), "g/private") };
    let certificates = Protocol::Other("ssh_certificates".to_owned());
    no(&no_ssh, &over(&Protocol::Ssh), 401, "Git access over SSH is not allowed");
    no(&no_ssh, &over(&certificates), 401, "Git access over SSH_CERTIFICATES is not allowed");
    no(&no_http, &over(&Protocol::Http), 401, "Git access over HTTP is not allowed");
    no(&no_http, &over(&Protocol::Other("ftp\n".to_owned())), 401, "Git access over FTP is not allowed");
    for (table, protocol) in [
        (&no_ssh, Protocol::Web),
        (&no_http, Protocol::Web),
        (&no_ssh, Protocol::Http),
        (&no_http, Protocol::Ssh),
        (&no_http, certificates),
    ] {
        let _ = yes(table, &over(&protocol));
    }
}

/// I23, O01, and what neither of them stops.
#[test]
fn maintenance_and_a_read_only_instance_stop_pushes_only() {
    let maintained = house().with([settings(r#""maintenance":true,"read_only":true"#).as_str()]);
    let read_only = house().with([settings(r#""read_only":true"#).as_str()]);
    let text = "Git push is not allowed because this GitLab instance is currently in (read-only) maintenance mode.";
    no(&maintained, &push(by_user(3), "g/private"), 401, text);
    no(&maintained, &push(by_user(3), "g/private.wiki"), 401, text);
    no(&read_only, &push(by_user(3), "g/private"), 401, "You can't push code to a read-only GitLab instance.");
    for table in [&maintained, &read_only] {
        let _ = yes(table, &pull(by_user(3), "g/private"));
    }
}

/// E4: a plain key over SSH, and nothing else.
#[test]
fn a_second_factor_is_asked_of_a_plain_key_over_ssh() {
    let second = user(3, r#","two_factor":true"#);
    let table = house().with([settings(r#""two_factor_for_cli":true,"host":"git.example.com""#).as_str(), second.as_str()]);
    let text = "OTP verification is required to access the repository.\n\n   Use: ssh git@git.example.com 2fa_verify";
    no(&table, &pull(by_key(103), "g/private"), 401, text);
    let _ = yes(&table, &pull(by_user(3), "g/private"));
    let _ = yes(&table, &pull(by_key(104), "g/private"));
    let _ = yes(&table, &Question { protocol: Protocol::Http, ..pull(by_key(103), "g/private") });
    let _ = yes(&house().with([second.as_str()]), &pull(by_key(103), "g/private"));
}

#[test]
fn a_command_that_is_not_known_is_refused_before_any_project_is_looked_at() {
    let text = "The command you're trying to execute is not allowed.";
    for path in ["g/private", "g/none", ""] {
        no(&house(), &Question { action: Action::Unknown, ..pull(by_user(7), path) }, 401, text);
    }
}

/// J04 to J14 and the whole table of server.md 3.4. Columns: nobody, external, outsider, guest, planner, reporter, developer, owner,
/// attached deploy key, foreign deploy key; `+` a yes, `d` no download, `.` missing.
#[test]
fn code_is_downloaded_by_visibility_feature_and_role() {
    let actors =
        [Claimant::Nobody, by_user(8), by_user(7), by_user(6), by_user(5), by_user(4), by_user(3), by_user(1), by_key(121), by_key(122)];
    for (visibility, feature, expected) in [
        ("public", "enabled", "++++++++++"),
        ("public", "private", "ddd++++++d"),
        ("public", "disabled", "dddddddddd"),
        ("internal", "enabled", "..+++++++."),
        ("internal", "private", "..d++++++."),
        ("internal", "disabled", "..ddddddd."),
        ("private", "enabled", "...dd++++."),
        ("private", "private", "...dd++++."),
        ("private", "disabled", "...dddddd."),
    ] {
        let table = house().with([project(visibility, &format!(r#","repository_access":"{feature}""#)).as_str()]);
        for (column, (claimant, expected)) in actors.iter().zip(expected.chars()).enumerate() {
            for action in [Action::UploadPack, Action::UploadArchive] {
                let question = Question { action, ..pull(claimant.clone(), &format!("g/{visibility}")) };
                let wanted = match expected {
                    '+' => (200, String::new()),
                    'd' => (401, DOWNLOAD.to_owned()),
                    _ => (404, MISSING.to_owned()),
                };
                assert_eq!(said(&table, &question), wanted, "{visibility} {feature} column {column}");
            }
        }
    }
}

/// server.md 3.4: guests from outside.
#[test]
fn an_external_guest_sees_an_internal_project_without_its_code() {
    no(&house(), &pull(by_user(26), "g/internal"), 401, DOWNLOAD);
    no(&house(), &pull(by_user(25), "g/internal"), 401, DOWNLOAD);
    let _ = yes(&house(), &pull(by_user(24), "g/internal"));
    let _ = yes(&house(), &pull(by_user(26), "g/public"));
}

/// J09, J10, J13, K01 to K05 and server.md 3.5.
#[test]
fn code_is_pushed_from_developer_on() {
    for visibility in ["private", "internal", "public"] {
        let path = format!("g/{visibility}");
        for id in [1, 2, 3, 9, 23] {
            let _ = yes(&house(), &push(by_user(id), &path));
            let disabled = house().with([project(visibility, r#","repository_access":"disabled""#).as_str()]);
            no(&disabled, &push(by_user(id), &path), 401, PUSH);
        }
        for id in [4, 5, 6] {
            no(&house(), &push(by_user(id), &path), 401, PUSH);
        }
        let _ = yes(&house(), &push(by_key(120), &path));
        no(&house(), &push(by_key(121), &path), 401, DEPLOY);
    }
    no(&house(), &push(by_user(7), "g/private"), 404, MISSING);
    no(&house(), &Question { protocol: Protocol::Http, ..push(by_user(7), "g/private") }, 404, MISSING);
    no(&house(), &push(by_user(8), "g/internal"), 404, MISSING);
    no(&house(), &push(by_user(7), "g/internal"), 401, PUSH);
    no(&house(), &push(by_user(8), "g/public"), 401, PUSH);
    no(&house(), &push(by_key(122), "g/public"), 401, DEPLOY);
    no(&house(), &push(by_key(122), "g/internal"), 404, MISSING);
    no(&house(), &push(by_key(122), "g/private"), 404, MISSING);
}

/// J03: who is not yet a member is none.
#[test]
fn a_membership_that_waits_or_has_ended_is_none() {
    for end in [r#""pending":true"#, r#""expires_at":"2026-05-31T00:00:00Z""#] {
        let table = house().with([format!(r#"{{"kind":"member","project_id":10,"user_id":7,"access_level":40,{end}}}"#).as_str()]);
        no(&table, &pull(by_user(7), "g/private"), 404, MISSING);
        no(&table, &push(by_user(7), "g/private"), 404, MISSING);
    }
}

/// J14: that there is no repository comes before whether it may be downloaded.
#[test]
fn a_project_without_a_repository_says_so_to_who_may_see_it() {
    let table = house().with([project("private", r#","repository_exists":false"#).as_str()]);
    no(&table, &pull(by_user(6), "g/private"), 404, "A repository for this project does not exist yet.");
    no(&table, &pull(by_user(7), "g/private"), 404, MISSING);
}

/// J15 to J17, N of archives: pulls stay.
#[test]
fn read_only_and_archived_repositories_are_only_pulled() {
    let above = r#"{"kind":"namespace","id":1,"type":"group","path":"g","name":"g","archived":true}"#;
    for (line, text) in [
        (project("private", r#","repository_read_only":true"#), READ_ONLY),
        (project("private", r#","archived":true"#), ARCHIVED),
        (above.to_owned(), ARCHIVED),
    ] {
        let table = house().with([line.as_str()]);
        for claimant in [by_user(2), by_user(3), by_user(9), by_key(120)] {
            no(&table, &push(claimant.clone(), "g/private"), 401, text);
            let _ = yes(&table, &pull(claimant, "g/private"));
        }
    }
    no(&house().with([above]), &push(by_user(3), "g/sub/deep"), 401, ARCHIVED);
}

/// J18, J19 and server.md 3.1: 9b.
#[test]
fn what_is_not_there_is_said_by_the_form_of_its_path() {
    let namespace = "The namespace you were looking for could not be found.";
    for (path, text) in [
        ("", namespace),
        ("/", namespace),
        ("single", namespace),
        ("single.git", namespace),
        ("a//b", namespace),
        ("//a/b", namespace),
        ("a/b/", namespace),
        ("project/does-not-exist.git", MISSING),
        ("g/none.wiki", MISSING),
        ("snippets/77", MISSING),
    ] {
        no(&house(), &pull(by_user(7), path), 404, text);
    }
    no(&house(), &Question { project: None, ..pull(by_user(7), "") }, 404, namespace);
    no(&house(), &by_id(pull(by_user(7), ""), "project-999"), 404, MISSING);
    no(&house(), &by_id(pull(by_user(7), ""), "project-foo"), 404, MISSING);
    assert_eq!(said(&house(), &by_id(pull(by_user(7), ""), "house-1")).0, 400);
}

#[test]
fn a_former_path_leads_to_its_project_and_is_told_apart() {
    assert_eq!(judged(&house(), &pull(by_user(3), "old/PRIVATE")).found, FoundBy::Redirect);
    assert_eq!(judged(&house(), &pull(by_user(3), "G/private")).found, FoundBy::Itself);
    assert_eq!(judged(&house(), &pull(by_user(3), "g/none")).found, FoundBy::Nothing);
    no(&house(), &pull(by_user(7), "old/private"), 404, MISSING);
}

/// L02 to L10.
#[test]
fn a_push_makes_a_project_only_where_its_user_may() {
    let table = house().with([
        r#"{"kind":"namespace","id":4,"type":"user","path":"guest","name":"g","owner_id":6}"#,
        r#"{"kind":"namespace","id":5,"type":"group","path":"strict","name":"s","project_creation":"maintainer"}"#,
        r#"{"kind":"namespace","id":6,"type":"group","path":"shut","name":"s","project_creation":"noone"}"#,
        r#"{"kind":"namespace","id":7,"type":"group","path":"gone","name":"s","archived":true}"#,
        r#"{"kind":"member","namespace_id":5,"user_id":3,"access_level":30}"#,
        r#"{"kind":"member","namespace_id":5,"user_id":2,"access_level":40}"#,
        r#"{"kind":"member","namespace_id":6,"user_id":1,"access_level":50}"#,
        r#"{"kind":"member","namespace_id":7,"user_id":1,"access_level":50}"#,
    ]);
    let made = |claimant, path: &str| said(&table, &push(claimant, path));
    assert_eq!(made(by_user(7), "/Outsider/fresh.git"), (201, "outsider/fresh".to_owned()));
    assert_eq!(made(by_user(3), "g/sub/fresh"), (201, "g/sub/fresh".to_owned()));
    assert_eq!(made(by_user(2), "strict/fresh"), (201, "strict/fresh".to_owned()));
    assert_eq!(made(by_user(9), "strict/fresh"), (201, "strict/fresh".to_owned()));
    for (claimant, path) in [
        (by_user(7), "guest/fresh"),
        (by_user(9), "guest/fresh"),
        (by_user(4), "g/fresh"),
        (by_user(3), "strict/fresh"),
        (by_user(1), "shut/fresh"),
        (by_user(9), "shut/fresh"),
        (by_user(1), "gone/fresh"),
        (by_user(7), "nowhere/fresh"),
        (by_key(120), "g/fresh"),
        (Claimant::Nobody, "g/fresh"),
        (by_user(7), "outsider/snippets/fresh"),
        (by_user(7), "snippets/notexist.git"),
        (by_user(3), "g/notexist/snippets/notexist.git"),
        (by_user(3), "g/private/snippets/notexist.git"),
        (by_user(3), "g/none.wiki"),
        (by_user(7), "guest/-bad"),
    ] {
        assert_eq!(made(claimant.clone(), path), (404, MISSING.to_owned()), "{claimant:?} {path}");
    }
    no(&table, &pull(by_user(7), "outsider/fresh"), 404, MISSING);
    no(&table, &Question { changes: Changes::Absent, ..push(by_user(7), "outsider/fresh") }, 404, MISSING);
    for (path, why) in [
        ("outsider/-bad", "Path can contain only letters"),
        ("outsider/b ad", "Path can contain only letters"),
        ("outsider/bad.atom", "Path can contain only letters"),
        ("outsider/wikis", "Path wikis is a reserved name"),
        (&format!("outsider/{}", "x".repeat(256)), "Path is too long"),
    ] {
        let (status, text) = made(by_user(7), path);
        assert_eq!(status, 422, "{path}");
        assert!(text.starts_with(&format!("Could not create project: {why}")), "{text}");
    }
    assert_eq!(made(by_user(3), "g/sub").0, 422);
}

/// server.md 3.6: room in one's own namespace.
#[test]
fn a_project_is_made_only_while_there_is_room() {
    for (more, status) in
        [(r#","projects_limit":2"#, 201), (r#","projects_limit":1"#, 404), (r#","bot":true"#, 404), (r#","external":true"#, 404)]
    {
        let table = house().with([user(7, more).as_str()]);
        assert_eq!(said(&table, &push(by_user(7), "outsider/fresh")).0, status, "{more}");
    }
}

/// H08 and server.md 3.7: wikis. Columns: nobody, outsider, guest, reporter, developer.
#[test]
fn a_wiki_is_pulled_as_code_is_and_pushed_from_developer_on() {
    let text = "You are not allowed to download files from this wiki.";
    for (visibility, feature, expected) in [
        ("private", "enabled", "..d++"),
        ("internal", "enabled", ".++++"),
        ("internal", "private", ".d+++"),
        ("public", "enabled", "+++++"),
        ("public", "disabled", "ddddd"),
    ] {
        let table = house().with([project(visibility, &format!(r#","repository_access":"disabled","wiki_access":"{feature}""#)).as_str()]);
        let actors = [Claimant::Nobody, by_user(7), by_user(6), by_user(4), by_user(3)];
        for (claimant, expected) in actors.into_iter().zip(expected.chars()) {
            let wanted = match expected {
                '+' => (200, String::new()),
                'd' => (401, text.to_owned()),
                _ => (404, MISSING.to_owned()),
            };
            assert_eq!(
                said(&table, &pull(claimant.clone(), &format!("g/{visibility}.wiki"))),
                wanted,
                "{visibility} {feature} {claimant:?}"
            );
        }
    }
    let write = "You are not allowed to write to this project's wiki.";
    let _ = yes(&house(), &push(by_user(3), "g/public.wiki"));
    no(&house(), &push(by_user(4), "g/public.wiki"), 401, write);
    no(&house(), &push(by_key(120), "g/public.wiki"), 401, write);
    no(&house(), &push(by_key(121), "g/public.wiki"), 401, DEPLOY);
    no(&house(), &push(Claimant::Nobody, "g/public.wiki"), 401, UPLOAD);
    no(&house().with([project("public", r#","archived":true"#).as_str()]), &push(by_user(3), "g/public.wiki"), 401, write);
    no(&house().with([project("public", r#","wiki_access":"disabled""#).as_str()]), &push(by_user(9), "g/public.wiki"), 401, write);
    let missing = house().with([project("public", r#","wiki_repository_exists":false"#).as_str()]);
    no(&missing, &pull(Claimant::Nobody, "g/public.wiki"), 404, "A repository for this wiki does not exist yet.");
    for word in ["wiki-10", "wiki-999", "group-1-wiki"] {
        no(&house(), &by_id(pull(by_user(7), ""), word), 404, "The wiki you were looking for could not be found.");
    }
}

/// J20.
#[test]
fn designs_are_for_the_web() {
    let web = "Designs are only accessible using the web interface";
    let manage = "You are not allowed to manage designs of this project";
    let over_web = |question| Question { protocol: Protocol::Web, ..question };
    for word in ["design-10", "design-999"] {
        no(&house(), &by_id(Question { action: Action::Unknown, ..pull(by_user(7), "") }, word), 401, web);
        no(&house(), &by_id(over_web(pull(by_user(7), "")), word), 401, manage);
    }
    let _ = yes(&house(), &by_id(over_web(push(by_user(3), "")), "design-10"));
    no(&house(), &over_web(push(by_user(4), "g/private.design")), 401, manage);
    no(&house(), &push(by_user(3), "g/private.design"), 401, web);
    no(&house(), &push(by_user(7), "g/private.design"), 404, MISSING);
}

fn snippets(visibility: &str, more: &str) -> Table {
    house().with([
        format!(r#"{{"kind":"snippet","id":50,"author_id":7,"visibility":"{visibility}","storage":"default","relative_path":"s.git"{more}}}"#).as_str(),
        format!(r#"{{"kind":"snippet","id":51,"project_id":10,"author_id":3,"visibility":"{visibility}","storage":"default","relative_path":"t.git"{more}}}"#).as_str(),
        format!(r#"{{"kind":"snippet","id":52,"project_id":12,"author_id":4,"visibility":"{visibility}","storage":"default","relative_path":"u.git"{more}}}"#).as_str(),
    ])
}

/// H09, H10, N01 to N04.
#[test]
fn a_snippet_is_its_authors() {
    let (read, update) = ("You are not allowed to read this snippet.", "You are not allowed to update this snippet.");
    let private = snippets("private", "");
    for (author, path, word) in [(7, "snippets/50", "snippet-50"), (3, "g/private/snippets/51", "snippet-51")] {
        for question in [pull(by_user(author), path), push(by_key(100 + author), path), by_id(push(by_user(author), ""), word)] {
            assert_eq!(yes(&private, &question).repository.word(), word);
        }
    }
    assert_eq!(yes(&private, &pull(by_user(7), "snippets/50")).root_namespace, None);
    no(&private, &pull(by_user(3), "snippets/50"), 401, read);
    no(&private, &pull(Claimant::Nobody, "snippets/50"), 401, read);
    no(&private, &push(by_user(3), "snippets/50"), 401, update);
    no(&private, &pull(by_user(7), "g/private/snippets/51"), 404, MISSING);
    no(&private, &pull(by_user(6), "g/private/snippets/51"), 401, read);
    no(&private, &push(by_user(4), "g/private/snippets/51"), 401, update);
    let _ = yes(&private, &push(by_user(2), "g/private/snippets/51"));
    let _ = yes(&private, &pull(by_user(9), "snippets/50"));
    let _ = yes(&snippets("public", ""), &pull(Claimant::Nobody, "snippets/50"));
    no(&snippets("internal", ""), &pull(by_user(8), "snippets/50"), 401, read);
    let _ = yes(&snippets("internal", ""), &pull(by_user(3), "snippets/50"));
    for question in [pull(by_key(120), "snippets/50"), push(by_key(120), "snippets/50")] {
        no(&private, &question, 401, "The authentication mechanism is not supported.");
    }
    let blocked = private.with([user(3, r#","state":"blocked""#).as_str()]);
    no(&blocked, &by_id(pull(by_user(3), ""), "snippet-99"), 404, "The snippet you were looking for could not be found.");
    let gone = snippets("private", r#","repository_exists":false"#);
    no(&gone, &pull(by_user(7), "snippets/50"), 404, "The snippet repository you were looking for could not be found.");
    let still = snippets("private", r#","repository_read_only":true"#);
    no(&still, &push(by_user(7), "snippets/50"), 401, READ_ONLY);
    let _ = yes(&still, &pull(by_user(7), "snippets/50"));
}

/// N06.
#[test]
fn a_snippet_of_an_archived_project_is_only_pulled() {
    let table = snippets("private", "").with([project("public", r#","archived":true"#).as_str()]);
    for id in [3, 4] {
        no(&table, &push(by_user(id), "g/public/snippets/52"), 401, "You are not allowed to update this snippet.");
        let _ = yes(&table, &pull(by_user(id), "g/public/snippets/52"));
    }
}

/// O05.
#[test]
fn a_group_may_be_closed_to_other_addresses() {
    let group = r#"{"kind":"namespace","id":1,"type":"group","path":"g","name":"g","allowed_ips":["150.168.0.1"]}"#;
    let table = house().with([group]);
    let from = |claimant, address: Option<&str>| Question { check_ip: address.map(str::to_owned), ..pull(claimant, "g/sub/deep") };
    let _ = yes(&table, &from(by_user(3), None));
    let _ = yes(&table, &from(by_user(3), Some("150.168.0.1")));
    let _ = yes(&table, &from(by_user(9), Some("150.168.0.2")));
    for address in ["150.168.0.2", "", "x"] {
        no(&table, &from(by_user(3), Some(address)), 404, MISSING);
    }
}

/// O11.
#[test]
fn a_groups_certificate_reaches_its_root_group_and_nothing_else() {
    let text = "You are not allowed to access projects in this namespace.";
    let within = |namespace: &str, path: &str, id| Question { namespace_path: Some(namespace.to_owned()), ..pull(by_user(id), path) };
    for path in ["g/private", "g/sub/deep", "G/private", "old/private"] {
        let _ = yes(&house(), &within("g", path, 3));
    }
    for (namespace, path, id) in [
        ("g/sub", "g/sub/deep", 3),
        ("outsider", "outsider/own", 7),
        ("g", "outsider/own", 7),
        ("", "g/private", 3),
        ("g", "elsewhere/none", 3),
        ("g", "outsider/none", 3),
        ("g", "single", 3),
    ] {
        no(&house(), &within(namespace, path, id), 401, text);
    }
    no(&house(), &within("g", "g/none", 7), 404, MISSING);
    no(&house(), &within("g", "g/private", 7), 404, MISSING);
    no(&house(), &by_id(within("g", "", 7), "project-10"), 401, text);
    no(&house(), &by_id(within("g", "", 7), "project-999"), 401, text);
    let hook = Question { changes: Changes::Real(String::new()), action: Action::ReceivePack, ..within("x", "g/private", 3) };
    let _ = yes(&house(), &hook);
}
