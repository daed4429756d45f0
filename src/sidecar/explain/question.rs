//! What an operator asks to be explained: who, and if they like, what they want to do with which project.

use crate::api::error::ApiError;
use crate::model::access_request::{Action, AllowedRequest, ClaimedActor, Protocol, RefChanges};
use crate::model::key::{Fingerprint, PublicKey, decode_blob};
use crate::rules::explain::Asker;
use crate::wire;
use crate::wire::http::params::Params;

/// The parameters that say who asks; one of them is given.
const ASKER_PARAMETERS: [&str; 5] = ["key", "fingerprint", "key_id", "user_id", "username"];

/// A question to be explained.
#[derive(Clone, Debug)]
pub struct ExplainQuestion {
    /// Who asks.
    pub asker: Asker,
    /// The key as sshd would offer it, where it is known: in Base64, and decoded.
    pub offered: Option<OfferedKey>,
    /// What they want to do, without who they are; `None` where no project is named.
    pub access: Option<AllowedRequest>,
}

/// A key as sshd offers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferedKey {
    /// In Base64.
    pub text: String,
    /// Decoded.
    pub blob: Vec<u8>,
}

impl ExplainQuestion {
    /// Reads a question. Fails where it does not name exactly one who asks, or in a form that is none.
    pub fn parse(params: &Params) -> Result<Self, ApiError> {
        let given: Vec<&str> = ASKER_PARAMETERS.into_iter().filter(|name| params.contains(name)).collect();
        let [name] = given[..] else {
            return Err(ApiError::bad_request("say who asks by one of `key`, `fingerprint`, `key_id`, `user_id` and `username`"));
        };
        let offered = params.text("key")?.map(|key| parse_key(&key)).transpose()?;
        let asker = match (name, &offered) {
            ("key", Some(offered)) => Asker::Fingerprint(Fingerprint::of(&offered.blob)),
            ("fingerprint", _) => Asker::Fingerprint(parse_fingerprint(&params.text("fingerprint")?.unwrap_or_default())?),
            _ => match wire::claimant::parse_claimant(params)? {
                ClaimedActor::Key(Some(id)) => Asker::KeyId(id),
                ClaimedActor::Key(None) => return Err(ApiError::bad_request("`key_id` is a whole number from 1")),
                claimed => Asker::User(claimed),
            },
        };
        Ok(Self { asker, offered, access: parse_access(params)? })
    }
}

fn parse_access(params: &Params) -> Result<Option<AllowedRequest>, ApiError> {
    let action = match params.text("action")?.as_deref() {
        Some("push" | "git-receive-pack") => Action::ReceivePack,
        Some("archive" | "git-upload-archive") => Action::UploadArchive,
        None | Some("pull" | "git-upload-pack") => Action::UploadPack,
        Some(_) => {
            let expected = "`action` is pull, push, archive, git-upload-pack, git-receive-pack or git-upload-archive";
            return Err(ApiError::bad_request(expected));
        }
    };
    let protocol = match params.text("protocol")?.as_deref() {
        None | Some("ssh") => Protocol::Ssh,
        Some("http") => Protocol::Http,
        Some("web") => Protocol::Web,
        Some(_) => return Err(ApiError::bad_request("`protocol` is ssh, http or web")),
    };
    let (project, gl_repository) = (params.text("project")?, params.text("gl_repository")?);
    if project.is_none() && gl_repository.is_none() {
        return Ok(None);
    }
    let question = AllowedRequest::new(ClaimedActor::Unspecified, action, protocol, RefChanges::Any);
    Ok(Some(AllowedRequest { project, gl_repository, check_ip: params.text("check_ip")?, ..question }))
}

/// Reads a key: a public line with or without its comment, or the Base64 of a blob.
fn parse_key(key: &str) -> Result<OfferedKey, ApiError> {
    let key = key.trim();
    let offered = |text: &str| decode_blob(text).map(|blob| OfferedKey { text: text.to_owned(), blob });
    let line = || key.parse::<PublicKey>().ok().and_then(|key| offered(&key.base64()));
    let offered = offered(key).or_else(line);
    offered.ok_or_else(|| ApiError::bad_request("`key` is a public key: `<type> <Base64> [comment]`, or its Base64 alone"))
}

/// Reads a fingerprint as OpenSSH and the logs write it; its name may be missing.
fn parse_fingerprint(text: &str) -> Result<Fingerprint, ApiError> {
    let expected = "`fingerprint` is `SHA256:` and 43 letters of Base64, as the logs and `ssh-keygen -l` show it";
    let named = || Fingerprint::parse(&format!("SHA256:{text}"));
    Fingerprint::parse(text).or_else(named).ok_or_else(|| ApiError::bad_request(expected))
}

#[cfg(test)]
mod tests {
    use super::{ExplainQuestion, OfferedKey};
    use crate::model::access_request::{Action, ClaimedActor};
    use crate::model::key::{Fingerprint, decode_blob};
    use crate::rules::explain::Asker;
    use crate::wire::http::params::{Params, encode_form};

    const BASE64: &str = "AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

    fn parse(pairs: &[(&str, &str)]) -> Result<ExplainQuestion, String> {
        let params = Params::parse(Some(&encode_form(pairs.iter().copied())), None, b"").unwrap();
        ExplainQuestion::parse(&params).map_err(|error| error.message)
    }

    #[test]
    fn a_key_is_taken_as_a_line_as_base64_and_as_the_fingerprint_of_the_logs() {
        let blob = decode_blob(BASE64).unwrap();
        let fingerprint = Fingerprint::of(&blob);
        for key in [BASE64.to_owned(), format!("ssh-ed25519 {BASE64}"), format!("ssh-ed25519 {BASE64} zoe@laptop\n")] {
            let question = parse(&[("key", &key)]).unwrap();
            assert_eq!(question.asker, Asker::Fingerprint(fingerprint), "{key}");
            assert_eq!(question.offered, Some(OfferedKey { text: BASE64.to_owned(), blob: blob.clone() }));
        }
        let text = fingerprint.to_string();
        for printed in [text.as_str(), text.strip_prefix("SHA256:").unwrap(), &format!("{text}=")] {
            assert_eq!(parse(&[("fingerprint", printed)]).unwrap().asker, Asker::Fingerprint(fingerprint));
        }
    }

    #[test]
    fn who_asks_is_named_once_and_what_they_do_by_either_name() {
        assert_eq!(parse(&[("key_id", "11")]).unwrap().asker, Asker::KeyId("11".parse().unwrap()));
        assert_eq!(parse(&[("username", "zoe")]).unwrap().asker, Asker::User(ClaimedActor::Username("zoe".to_owned())));
        for wrong in [
            &[][..],
            &[("key_id", "11"), ("username", "zoe")],
            &[("key_id", "x")],
            &[("key", "ssh-ed25519")],
            &[("fingerprint", "SHA256:abc")],
            &[("fingerprint", "MD5:00:11")],
            &[("username", "zoe"), ("project", "p"), ("action", "clone")],
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
        for (action, expected) in [
            ("pull", Action::UploadPack),
            ("git-upload-pack", Action::UploadPack),
            ("push", Action::ReceivePack),
            ("git-receive-pack", Action::ReceivePack),
            ("archive", Action::UploadArchive),
            ("git-upload-archive", Action::UploadArchive),
        ] {
            let question = parse(&[("username", "zoe"), ("project", "g/p"), ("action", action)]).unwrap();
            assert_eq!(question.access.unwrap().action, expected);
        }
        assert!(parse(&[("username", "zoe")]).unwrap().access.is_none());
    }
}
