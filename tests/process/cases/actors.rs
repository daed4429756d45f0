//! Group I: who is not let in at all, whatever the project is.
//!
//! Not made: I19 to I22 (switches of Git over HTTP and credentials with fewer abilities, which this API has not). Of I02, that no
//! activity is noted: no answer shows activity.

use serde_json::json;

use super::table::{Row, check, no, row};
use super::world::{self, EXPIRED, EXPIRED_DEPLOY, RSA, key, pull, push};

const UNKNOWN: &str = "The project you were looking for could not be found or you don't have permission to view it.";
const BLOCKED: &str = "Your account has been blocked.";
const PASSWORD: &str = "Your password expired. Please access GitLab from a web browser to update your password.";

/// A pull and a push, both refused with this.
fn refused(id: &'static str, who: &str, project: &str, text: &str) -> [Row; 2] {
    [
        row(id, format!("{who} pulls"), pull(who, project), 401).is(no(text)),
        row(id, format!("{who} pushes"), push(who, project), 401).is(no(text)),
    ]
}

/// A pull and a push, both let through.
fn let_in(id: &'static str, who: &str, project: &str) -> [Row; 2] {
    [
        row(id, format!("{who} pulls"), pull(who, project), 200).from("local"),
        row(id, format!("{who} pushes"), push(who, project), 200).from("local"),
    ]
}

#[test]
fn an_account_or_key_that_is_refused_is_told_why_before_any_project_is_looked_at() {
    let url = "https://git.example.com";
    let deactivated = format!(
        "Your account has been deactivated by your administrator. Please log back in from a web browser to reactivate your account at {url}"
    );
    let unconfirmed = format!(
        "Your primary email address is not confirmed. Please check your inbox for the confirmation instructions. In case the link is expired, you can request a new confirmation email at {url}"
    );
    let mut rows = vec![
        row("I01", "key 0", pull("key:0", "team/private"), 404).is(no(UNKNOWN)),
        row("I01", "an unknown key with a known user", pull("key:9999", "team/private").with("user_id", 4), 404).is(no(UNKNOWN)),
        row("I03", "blocked, and no such project", pull("blocked", "team/none"), 401).is(no(BLOCKED)),
        row("I03", "blocked, a public project", pull("blocked", "team/public"), 401).is(no(BLOCKED)),
        row("I12", "no such command", pull("developer", "team/private").with("action", "git-lfs"), 401)
            .is(no("The command you're trying to execute is not allowed.")),
        row("I12", "no command", pull("developer", "team/private").without("action"), 401)
            .is(no("The command you're trying to execute is not allowed.")),
    ];
    rows.extend(refused("I02", "blocked", "blocked/own", BLOCKED));
    rows.extend(refused("I04", &key(EXPIRED), "team/private", "Your SSH key has expired."));
    rows.extend(refused("I04", &key(EXPIRED_DEPLOY), "team/private", "Your SSH key has expired."));
    rows.extend(refused("I11", "blocked", "team/private", BLOCKED));
    rows.extend(refused("I13", "deactivated", "team/private", &deactivated));
    rows.extend(refused("I14", "passworded", "team/private", PASSWORD));
    rows.extend(let_in("I15", "ldap", "team/private"));
    rows.extend(refused("I16", "approval", "team/private", "Your account is pending approval from your administrator and hence blocked."));
    rows.extend(refused("I16", "unconfirmed", "team/private", &unconfirmed));
    rows.extend(refused("I16", "internal", "team/private", "This action cannot be performed by internal users"));
    rows.extend(refused("I16", "banned", "team/private", BLOCKED));
    rows.extend(let_in("I17", "unsigned", "team/private"));
    check(&world::plain(), rows);
}

#[test]
fn an_instance_that_is_set_otherwise_refuses_otherwise() {
    let house = world::own();

    world::set(&house, &json!({"key_rules": {"rsa": "forbidden"}}));
    let forbidden = |row: Row| row.says_something_with("Your SSH key type is forbidden. Must be ");
    let mut rows = vec![
        forbidden(row("I06", "an RSA key pulls", pull(&key(RSA), "team/private"), 401)),
        forbidden(row("I06", "an RSA key pushes", push(&key(RSA), "team/private"), 401)),
    ];
    rows.extend(let_in("I06", "maintainer", "team/private"));
    check(&house, rows);

    world::set(&house, &json!({"key_rules": {"rsa": 2048}}));
    check(&house, refused("I05", &key(RSA), "team/private", "Your SSH key must be at least 2048 bits.").into());

    world::set(&house, &json!({"ssh_enabled": false}));
    let mut rows = Vec::from(refused("I07", "developer", "team/private", "Git access over SSH is not allowed"));
    rows.push(row("I08", "over HTTP", pull("developer", "team/private").with("protocol", "http"), 200));
    check(&house, rows);

    world::set(&house, &json!({"http_enabled": false}));
    check(
        &house,
        vec![
            row("I08", "over HTTP", pull("developer", "team/private").with("protocol", "http"), 401)
                .is(no("Git access over HTTP is not allowed")),
            row("I09", "a push in the browser", push("developer", "team/private").with("protocol", "web"), 200).from("local"),
        ],
    );

    world::set(&house, &json!({"terms_required": true}));
    let terms = "You (@unsigned) must accept the Terms of Service in order to perform this action. To accept these terms, please access GitLab from a web browser at https://git.example.com.";
    let mut rows = Vec::from(refused("I17", "unsigned", "team/private", terms));
    rows.extend(let_in("I17", "developer", "team/private"));
    rows.extend(let_in("I17", "owner", "team/private"));
    check(&house, rows);
    house.apply("{\"kind\":\"user\",\"id\":17,\"username\":\"unsigned\",\"name\":\"Unsigned\",\"terms_accepted\":true}\n");
    house.wait_until_fresh();
    check(&house, let_in("I17", "unsigned", "team/private").into());

    world::set(&house, &json!({"read_only": true}));
    check(
        &house,
        vec![
            row("I23", "a push", push("developer", "team/private"), 401).is(no("You can't push code to a read-only GitLab instance.")),
            row("I23", "a push of a wiki", push("developer", "team/private.wiki"), 401)
                .is(no("You can't push code to a read-only GitLab instance.")),
            row("I23", "a pull", pull("developer", "team/private"), 200).from("local"),
        ],
    );

    world::set(&house, &json!({"two_factor_for_cli": true}));
    let otp = "OTP verification is required to access the repository.\n\n   Use: ssh git@git.example.com 2fa_verify";
    let mut rows = Vec::from(refused("I18", "twofactor", "team/private", otp));
    rows.extend(let_in("I18", "developer", "team/private"));
    check(&house, rows);
}
