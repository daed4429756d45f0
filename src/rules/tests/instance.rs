//! Cases I and O of the instance and its groups: protocols, maintenance, second factors, addresses, certificates.

use crate::model::access_request::{Action, AllowedRequest, Protocol, RefChanges};
use crate::rules::tests::{
    MISSING, assert_granted, assert_refused, key_claimant, pull, push, sample_directory, settings, user, user_claimant, with_gl_repository,
};

/// I07 to I09.
#[test]
fn a_protocol_may_be_disabled_but_never_the_web() {
    let no_ssh = sample_directory().with_lines([settings(r#""ssh_enabled":false"#).as_str()]);
    let no_http = sample_directory().with_lines([settings(r#""http_enabled":false"#).as_str()]);
    let over = |protocol: &Protocol| AllowedRequest { protocol: protocol.clone(), ..push(user_claimant(3), "g/private") };
    let certificates = Protocol::Other("ssh_certificates".to_owned());
    assert_refused(&no_ssh, &over(&Protocol::Ssh), 401, "Git access over SSH is not allowed");
    assert_refused(&no_ssh, &over(&certificates), 401, "Git access over SSH_CERTIFICATES is not allowed");
    assert_refused(&no_http, &over(&Protocol::Http), 401, "Git access over HTTP is not allowed");
    assert_refused(&no_http, &over(&Protocol::Other("ftp\n".to_owned())), 401, "Git access over FTP is not allowed");
    for (directory, protocol) in [
        (&no_ssh, Protocol::Web),
        (&no_http, Protocol::Web),
        (&no_ssh, Protocol::Http),
        (&no_http, Protocol::Ssh),
        (&no_http, certificates),
    ] {
        let _ = assert_granted(directory, &over(&protocol));
    }
}

/// I23, O01, and what neither of them stops.
#[test]
fn maintenance_and_a_read_only_instance_stop_pushes_only() {
    let maintained = sample_directory().with_lines([settings(r#""maintenance":true,"read_only":true"#).as_str()]);
    let read_only = sample_directory().with_lines([settings(r#""read_only":true"#).as_str()]);
    let text = "Git push is not allowed because this GitLab instance is currently in (read-only) maintenance mode.";
    assert_refused(&maintained, &push(user_claimant(3), "g/private"), 401, text);
    assert_refused(&maintained, &push(user_claimant(3), "g/private.wiki"), 401, text);
    assert_refused(&read_only, &push(user_claimant(3), "g/private"), 401, "You can't push code to a read-only GitLab instance.");
    for directory in [&maintained, &read_only] {
        let _ = assert_granted(directory, &pull(user_claimant(3), "g/private"));
    }
}

/// E4: a plain key over SSH, and nothing else.
#[test]
fn a_second_factor_is_required_for_a_plain_key_over_ssh() {
    let second = user(3, r#","two_factor":true"#);
    let directory =
        sample_directory().with_lines([settings(r#""two_factor_for_cli":true,"host":"git.example.com""#).as_str(), second.as_str()]);
    let text = "OTP verification is required to access the repository.\n\n   Use: ssh git@git.example.com 2fa_verify";
    assert_refused(&directory, &pull(key_claimant(103), "g/private"), 401, text);
    let _ = assert_granted(&directory, &pull(user_claimant(3), "g/private"));
    let _ = assert_granted(&directory, &pull(key_claimant(104), "g/private"));
    let _ = assert_granted(&directory, &AllowedRequest { protocol: Protocol::Http, ..pull(key_claimant(103), "g/private") });
    let _ = assert_granted(&sample_directory().with_lines([second.as_str()]), &pull(key_claimant(103), "g/private"));
}

#[test]
fn an_unknown_command_is_refused_before_any_project_is_looked_up() {
    let text = "The command you're trying to execute is not allowed.";
    for path in ["g/private", "g/none", ""] {
        assert_refused(&sample_directory(), &AllowedRequest { action: Action::Unknown, ..pull(user_claimant(7), path) }, 401, text);
    }
}

/// O05.
#[test]
fn a_group_may_be_closed_to_other_addresses() {
    let group = r#"{"kind":"namespace","id":1,"type":"group","path":"g","name":"g","allowed_ips":["150.168.0.1"]}"#;
    let directory = sample_directory().with_lines([group]);
    let from =
        |claimed_actor, address: Option<&str>| AllowedRequest { check_ip: address.map(str::to_owned), ..pull(claimed_actor, "g/sub/deep") };
    let _ = assert_granted(&directory, &from(user_claimant(3), None));
    let _ = assert_granted(&directory, &from(user_claimant(3), Some("150.168.0.1")));
    let _ = assert_granted(&directory, &from(user_claimant(9), Some("150.168.0.2")));
    for address in ["150.168.0.2", "", "x"] {
        assert_refused(&directory, &from(user_claimant(3), Some(address)), 404, MISSING);
    }
}

/// O11.
#[test]
fn a_groups_certificate_is_good_for_its_root_group_only() {
    let text = "You are not allowed to access projects in this namespace.";
    let within =
        |namespace: &str, path: &str, id| AllowedRequest { namespace_path: Some(namespace.to_owned()), ..pull(user_claimant(id), path) };
    for path in ["g/private", "g/sub/deep", "G/private", "old/private"] {
        let _ = assert_granted(&sample_directory(), &within("g", path, 3));
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
        assert_refused(&sample_directory(), &within(namespace, path, id), 401, text);
    }
    assert_refused(&sample_directory(), &within("g", "g/none", 7), 404, MISSING);
    assert_refused(&sample_directory(), &within("g", "g/private", 7), 404, MISSING);
    assert_refused(&sample_directory(), &with_gl_repository(within("g", "", 7), "project-10"), 401, text);
    assert_refused(&sample_directory(), &with_gl_repository(within("g", "", 7), "project-999"), 401, text);
    let hook = AllowedRequest { changes: RefChanges::Listed(String::new()), action: Action::ReceivePack, ..within("x", "g/private", 3) };
    let _ = assert_granted(&sample_directory(), &hook);
}
