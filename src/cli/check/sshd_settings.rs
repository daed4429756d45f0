//! What `sshd -T` prints: the settings that are in force for one login, after all files, `Include` and `Match`.

use std::collections::BTreeMap;

/// The settings, by their keyword in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SshdSettings(BTreeMap<String, Vec<String>>);

impl SshdSettings {
    /// Reads the lines `keyword value`. A keyword that may be said several times has several lines.
    #[must_use]
    pub fn parse(printed: &str) -> Self {
        let mut settings: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for line in printed.lines() {
            let (keyword, value) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
            if !keyword.is_empty() {
                settings.entry(keyword.to_ascii_lowercase()).or_default().push(value.trim().to_owned());
            }
        }
        Self(settings)
    }

    /// Returns the first value of a keyword; `None` where it is not set, also by the word `none`.
    #[must_use]
    pub fn value(&self, keyword: &str) -> Option<&str> {
        self.values(keyword).next().filter(|value| !value.is_empty() && !value.eq_ignore_ascii_case("none"))
    }

    /// Returns all values of a keyword.
    pub fn values(&self, keyword: &str) -> impl Iterator<Item = &str> {
        self.0.get(keyword).into_iter().flatten().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::SshdSettings;

    #[test]
    fn settings_are_read_as_sshd_prints_them() {
        let settings = SshdSettings::parse(
            "port 22\npubkeyauthentication yes\nforcecommand none\nauthorizedkeyscommand /usr/lib/x git %u %k\nallowusers git\nallowusers zoe\nbanner\n",
        );
        assert_eq!(settings.value("authorizedkeyscommand"), Some("/usr/lib/x git %u %k"));
        assert_eq!([settings.value("forcecommand"), settings.value("banner"), settings.value("nothing")], [None; 3]);
        assert_eq!(settings.values("allowusers").collect::<Vec<_>>(), ["git", "zoe"]);
    }

    proptest! {
        #[test]
        fn every_line_comes_back_and_any_text_is_read(lines in proptest::collection::vec(("[a-z]{1,12}", "[!-~]{1,9}( [!-~]{1,9}){0,2}"), 0..12), noise in "\\PC{0,60}") {
            let printed: String = lines.iter().map(|(keyword, value)| format!("{keyword} {value}\n")).collect();
            let settings = SshdSettings::parse(&printed);
            for (keyword, value) in &lines {
                prop_assert!(settings.values(keyword).any(|found| found == value));
            }
            let _ = SshdSettings::parse(&noise).value("port");
        }
    }
}
