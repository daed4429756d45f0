//! Cases I and O of the instance and its groups: protocols, maintenance, second factors, addresses, certificates.

use crate::model::question::{Action, Changes, Protocol, Question};
use crate::rules::cases::{MISSING, by_id, by_key, by_user, house, no, pull, push, settings, user, yes};

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
