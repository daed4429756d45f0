//! The secrets that systemd hands to a service, read from the text of its unit and drop-ins, since `systemctl show` does not print them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where a credential comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialSource {
    /// A file that systemd reads as root.
    File(PathBuf),
    /// An encrypted file, a store of systemd's, or the unit itself: only a service that runs has it in the clear, in this file.
    Opaque(PathBuf),
}

/// The credentials of one service, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials(BTreeMap<String, CredentialSource>);

impl Credentials {
    /// Reads what `systemctl cat` prints of a unit: its file and all drop-ins, in the order in which they count. An empty value forgets what
    /// came before.
    #[must_use]
    pub fn parse(unit: &str, text: &str) -> Self {
        let mut found = BTreeMap::new();
        for (key, value) in text.lines().filter_map(|line| line.trim().split_once('=')) {
            let (key, value) = (key.trim(), value.trim());
            if !matches!(key, "LoadCredential" | "LoadCredentialEncrypted" | "SetCredential" | "SetCredentialEncrypted") {
                continue;
            }
            if value.is_empty() {
                found.retain(|_, (of, _)| *of != key);
                continue;
            }
            let (name, from) = value.split_once(':').unwrap_or((value, ""));
            let is_file = key == "LoadCredential" && from.starts_with('/') && !from.contains('%');
            let given = Path::new("/run/credentials").join(unit).join(name);
            let source = if is_file { CredentialSource::File(from.into()) } else { CredentialSource::Opaque(given) };
            found.insert(name.to_owned(), (key, source));
        }
        Self(found.into_iter().map(|(name, (_, source))| (name, source)).collect())
    }

    /// Returns where the credential of this name comes from.
    #[must_use]
    pub fn source(&self, name: &Path) -> Option<&CredentialSource> {
        name.to_str().and_then(|name| self.0.get(name))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::{CredentialSource, Credentials};

    fn source(text: &str, name: &str) -> Option<CredentialSource> {
        Credentials::parse("x.service", text).source(Path::new(name)).cloned()
    }

    #[test]
    fn a_credential_is_a_file_or_only_a_service_that_runs_has_it() {
        let text = "# /etc/x\n[Service]\n#LoadCredential=off:/off\nLoadCredential=a:/etc/a\n LoadCredential = store\nSetCredential=c:text\n\
                    LoadCredentialEncrypted=d:/etc/d\nLoadCredential=e:%E/e\n";
        assert_eq!(source(text, "a"), Some(CredentialSource::File("/etc/a".into())));
        for name in ["store", "c", "d", "e"] {
            assert_eq!(source(text, name), Some(CredentialSource::Opaque(format!("/run/credentials/x.service/{name}").into())), "{name}");
        }
        assert_eq!(source(text, "off"), None);
    }

    #[test]
    fn a_drop_in_takes_away_and_replaces() {
        let text = "LoadCredential=a:/1\nLoadCredential=b:/2\nSetCredential=c:x\n# drop-in\nLoadCredential=\nLoadCredential=b:/3\n";
        assert_eq!(source(text, "a"), None);
        assert_eq!(source(text, "b"), Some(CredentialSource::File("/3".into())));
        assert!(source(text, "c").is_some());
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_fault_and_each_line_comes_back(name in "[a-z_]{1,9}", path in "/[a-z/]{0,12}", noise in "([ -~]{0,30}\n){0,5}") {
            let noise: String = noise.lines().filter(|line| !line.contains("Credential")).map(|line| format!("{line}\n")).collect();
            let text = format!("{noise}LoadCredential={name}:{path}\n{noise}");
            prop_assert_eq!(source(&text, &name), Some(CredentialSource::File(path.into())));
        }
    }
}
