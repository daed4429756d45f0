//! Cases H and I of actors: who somebody is, and whether the account and its key may be used.

use crate::model::access_request::ClaimedActor;
use crate::rules::tests::{
    MISSING, UPLOAD, assert_granted, assert_refused, key, key_claimant, pull, push, sample_directory, settings, status_and_message, user,
    user_claimant,
};

/// H14: a key is spoken of in its last seven days, and not before.
#[test]
fn a_key_that_expires_soon_has_a_console_notice() {
    for (end, expected) in [
        ("2026-06-03T00:00:00Z", vec!["INFO: Your SSH key expires soon. Please generate a new key."]),
        ("2026-06-08T00:00:00Z", vec!["INFO: Your SSH key expires soon. Please generate a new key."]),
        ("2026-06-08T00:00:00.001Z", vec![]),
    ] {
        let directory = sample_directory().with_lines([key(103, Some(3), &format!(r#","expires_at":"{end}""#)).as_str()]);
        assert_eq!(assert_granted(&directory, &pull(key_claimant(103), "g/private")).console_messages, expected, "{end}");
    }
}

/// I01 and server.md 8.5: an unknown actor is nobody; nobody may pull what is public.
#[test]
fn an_unknown_actor_pulls_what_is_public_and_pushes_nothing() {
    for claimed_actor in [
        ClaimedActor::Key(None),
        key_claimant(999),
        user_claimant(999),
        ClaimedActor::Username("none".to_owned()),
        ClaimedActor::Unspecified,
        key_claimant(123),
    ] {
        assert_refused(&sample_directory(), &pull(claimed_actor.clone(), "g/private"), 404, MISSING);
        assert_refused(&sample_directory(), &pull(claimed_actor.clone(), "g/internal"), 404, MISSING);
        assert_eq!(assert_granted(&sample_directory(), &pull(claimed_actor.clone(), "g/public")).actor.user(), None);
        assert_refused(&sample_directory(), &push(claimed_actor, "g/public"), 401, UPLOAD);
    }
}

/// server.md 1.3: every way to say who one is.
#[test]
fn an_actor_is_found_by_each_identity_and_a_signing_key_by_none() {
    let directory = sample_directory()
        .with_lines([key(130, Some(3), r#","usage":"signing""#).as_str(), key(131, Some(3), r#","usage":"auth""#).as_str()]);
    for claimed_actor in
        [user_claimant(3), ClaimedActor::Username("DEVELOPER".to_owned()), ClaimedActor::KeyOwner(103.try_into().ok()), key_claimant(131)]
    {
        let _ = assert_granted(&directory, &push(claimed_actor, "g/private"));
    }
    assert_refused(&directory, &pull(key_claimant(130), "g/private"), 404, MISSING);
    assert_refused(&directory, &pull(ClaimedActor::KeyOwner(130.try_into().ok()), "g/private"), 404, MISSING);
    assert_refused(&directory, &pull(ClaimedActor::KeyOwner(122.try_into().ok()), "g/private"), 404, MISSING);
}

/// I02, I11 to I17 and server.md 3.2: each state, before any project is looked at.
#[test]
fn an_account_is_refused_for_the_first_reason_that_applies() {
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
        let directory = sample_directory().with_lines([user(2, fields).as_str(), settings(r#""terms_required":true"#).as_str()]);
        for request in [
            pull(user_claimant(2), "g/private"),
            push(key_claimant(102), "g/private"),
            pull(user_claimant(2), "g/none"),
            pull(user_claimant(2), "g/public"),
        ] {
            match expected {
                Some(text) => assert_refused(&directory, &request, 401, text),
                None => assert_ne!(status_and_message(&directory, &request).0, 401, "{fields}"),
            }
        }
    }
}

/// server.md 8.9: a deploy key's creator enters no decision.
#[test]
fn a_deploy_key_outlives_its_creator() {
    let directory =
        sample_directory().with_lines([key(120, Some(2), r#","deploy":true"#).as_str(), user(2, r#","state":"blocked""#).as_str()]);
    let _ = assert_granted(&directory, &push(key_claimant(120), "g/private"));
}

/// I04, and the order of the contract: the key before the account.
#[test]
fn an_expired_key_is_refused_for_every_owner() {
    let text = "Your SSH key has expired.";
    for (id, owner, deploy) in [(102, Some(2), ""), (120, None, r#","deploy":true"#)] {
        let expired = key(id, owner, &format!(r#"{deploy},"expires_at":"2026-06-01T00:00:00Z""#));
        let directory = sample_directory().with_lines([expired.as_str(), user(2, r#","state":"blocked""#).as_str()]);
        for request in [pull(key_claimant(id), "g/public"), push(key_claimant(id), "g/private"), pull(key_claimant(id), "g/none")] {
            assert_refused(&directory, &request, 401, text);
        }
    }
}

/// I05, I06: types and lengths.
#[test]
fn a_key_keeps_to_the_rules_of_its_type() {
    let ruled = |rules: &str| sample_directory().with_lines([settings(&format!(r#""key_rules":{{{rules}}}"#)).as_str()]);
    let others = "Your SSH key type is forbidden. Must be RSA, DSA, ECDSA, ECDSA_SK, or ED25519_SK.";
    assert_refused(&ruled(r#""ed25519":"forbidden""#), &pull(key_claimant(102), "g/private"), 401, others);
    assert_refused(&ruled(r#""ed25519":"forbidden""#), &pull(key_claimant(120), "g/private"), 401, others);
    assert_refused(
        &ruled(r#""dsa":"forbidden","ecdsa":"forbidden","ecdsa_sk":"forbidden","ed25519":"forbidden","ed25519_sk":"forbidden""#),
        &push(key_claimant(102), "g/private"),
        401,
        "Your SSH key type is forbidden. Must be RSA.",
    );
    assert_refused(&ruled(r#""ed25519":4096"#), &pull(key_claimant(102), "g/private"), 401, "Your SSH key must be at least 4096 bits.");
    for passes in [r#""ed25519":256"#, r#""ed25519":0"#, r#""rsa":"forbidden""#] {
        let _ = assert_granted(&ruled(passes), &pull(key_claimant(102), "g/private"));
        let _ = assert_granted(&ruled(r#""ed25519":"forbidden""#), &pull(user_claimant(2), "g/private"));
    }
}
