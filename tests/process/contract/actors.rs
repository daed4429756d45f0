//! Group I: who is not let in at all, whatever the project is.
//!
//! Not made: I19 to I22 (switches of Git over HTTP and credentials with fewer abilities, which this API has not). Of I02, that no
//! activity is noted: no answer shows activity.

use serde_json::json;

use crate::support::contract_case::{ContractCase, PROJECT_NOT_FOUND, assert_cases, case, denied_body};
use crate::support::contract_directory::{self, EXPIRED_DEPLOY_KEY, EXPIRED_KEY, RSA_KEY, key_actor, pull, push};

const BLOCKED: &str = "Your account has been blocked.";
const PASSWORD: &str = "Your password expired. Please access GitLab from a web browser to update your password.";

/// A pull and a push, both refused with this.
fn denied_cases(id: &'static str, who: &str, project: &str, text: &str) -> [ContractCase; 2] {
    [
        case(id, format!("{who} pulls"), pull(who, project), 401).body_equals(denied_body(text)),
        case(id, format!("{who} pushes"), push(who, project), 401).body_equals(denied_body(text)),
    ]
}

/// A pull and a push, both let through.
fn admitted_cases(id: &'static str, who: &str, project: &str) -> [ContractCase; 2] {
    [
        case(id, format!("{who} pulls"), pull(who, project), 200).answered_from("local"),
        case(id, format!("{who} pushes"), push(who, project), 200).answered_from("local"),
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
        case("I01", "key 0", pull("key:0", "team/private"), 404).body_equals(denied_body(PROJECT_NOT_FOUND)),
        case("I01", "an unknown key with a known user", pull("key:9999", "team/private").with("user_id", 4), 404)
            .body_equals(denied_body(PROJECT_NOT_FOUND)),
        case("I03", "blocked, and no such project", pull("blocked", "team/none"), 401).body_equals(denied_body(BLOCKED)),
        case("I03", "blocked, a public project", pull("blocked", "team/public"), 401).body_equals(denied_body(BLOCKED)),
        case("I12", "no such command", pull("developer", "team/private").with("action", "git-lfs"), 401)
            .body_equals(denied_body("The command you're trying to execute is not allowed.")),
        case("I12", "no command", pull("developer", "team/private").without("action"), 401)
            .body_equals(denied_body("The command you're trying to execute is not allowed.")),
    ];
    rows.extend(denied_cases("I02", "blocked", "blocked/own", BLOCKED));
    rows.extend(denied_cases("I04", &key_actor(EXPIRED_KEY), "team/private", "Your SSH key has expired."));
    rows.extend(denied_cases("I04", &key_actor(EXPIRED_DEPLOY_KEY), "team/private", "Your SSH key has expired."));
    rows.extend(denied_cases("I11", "blocked", "team/private", BLOCKED));
    rows.extend(denied_cases("I13", "deactivated", "team/private", &deactivated));
    rows.extend(denied_cases("I14", "passworded", "team/private", PASSWORD));
    rows.extend(admitted_cases("I15", "ldap", "team/private"));
    rows.extend(denied_cases(
        "I16",
        "approval",
        "team/private",
        "Your account is pending approval from your administrator and hence blocked.",
    ));
    rows.extend(denied_cases("I16", "unconfirmed", "team/private", &unconfirmed));
    rows.extend(denied_cases("I16", "internal", "team/private", "This action cannot be performed by internal users"));
    rows.extend(denied_cases("I16", "banned", "team/private", BLOCKED));
    rows.extend(admitted_cases("I17", "unsigned", "team/private"));
    assert_cases(&contract_directory::shared_env(), rows);
}

#[test]
fn settings_of_the_instance_restrict_pulls_and_pushes() {
    let env = contract_directory::fresh_env();

    contract_directory::apply_settings(&env, &json!({"key_rules": {"rsa": "forbidden"}}));
    let forbidden = |row: ContractCase| row.message_contains("Your SSH key type is forbidden. Must be ");
    let mut rows = vec![
        forbidden(case("I06", "an RSA key pulls", pull(&key_actor(RSA_KEY), "team/private"), 401)),
        forbidden(case("I06", "an RSA key pushes", push(&key_actor(RSA_KEY), "team/private"), 401)),
    ];
    rows.extend(admitted_cases("I06", "maintainer", "team/private"));
    assert_cases(&env, rows);

    contract_directory::apply_settings(&env, &json!({"key_rules": {"rsa": 2048}}));
    assert_cases(&env, denied_cases("I05", &key_actor(RSA_KEY), "team/private", "Your SSH key must be at least 2048 bits.").into());

    contract_directory::apply_settings(&env, &json!({"ssh_enabled": false}));
    let mut rows = Vec::from(denied_cases("I07", "developer", "team/private", "Git access over SSH is not allowed"));
    rows.push(case("I08", "over HTTP", pull("developer", "team/private").with("protocol", "http"), 200));
    assert_cases(&env, rows);

    contract_directory::apply_settings(&env, &json!({"http_enabled": false}));
    assert_cases(
        &env,
        vec![
            case("I08", "over HTTP", pull("developer", "team/private").with("protocol", "http"), 401)
                .body_equals(denied_body("Git access over HTTP is not allowed")),
            case("I09", "a push in the browser", push("developer", "team/private").with("protocol", "web"), 200).answered_from("local"),
        ],
    );

    contract_directory::apply_settings(&env, &json!({"terms_required": true}));
    let terms = "You (@unsigned) must accept the Terms of Service in order to perform this action. To accept these terms, please access GitLab from a web browser at https://git.example.com.";
    let mut rows = Vec::from(denied_cases("I17", "unsigned", "team/private", terms));
    rows.extend(admitted_cases("I17", "developer", "team/private"));
    rows.extend(admitted_cases("I17", "owner", "team/private"));
    assert_cases(&env, rows);
    env.apply("{\"kind\":\"user\",\"id\":17,\"username\":\"unsigned\",\"name\":\"Unsigned\",\"terms_accepted\":true}\n");
    env.wait_until_fresh();
    assert_cases(&env, admitted_cases("I17", "unsigned", "team/private").into());

    contract_directory::apply_settings(&env, &json!({"read_only": true}));
    assert_cases(
        &env,
        vec![
            case("I23", "a push", push("developer", "team/private"), 401)
                .body_equals(denied_body("You can't push code to a read-only GitLab instance.")),
            case("I23", "a push of a wiki", push("developer", "team/private.wiki"), 401)
                .body_equals(denied_body("You can't push code to a read-only GitLab instance.")),
            case("I23", "a pull", pull("developer", "team/private"), 200).answered_from("local"),
        ],
    );

    contract_directory::apply_settings(&env, &json!({"two_factor_for_cli": true}));
    let otp = "OTP verification is required to access the repository.\n\n   Use: ssh git@git.example.com 2fa_verify";
    let mut rows = Vec::from(denied_cases("I18", "twofactor", "team/private", otp));
    rows.extend(admitted_cases("I18", "developer", "team/private"));
    assert_cases(&env, rows);
}
