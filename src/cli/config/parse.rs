//! How values are written: durations `"10s"`, sizes `"64MiB"`, modes `"0660"`, and files that may be left out with `""`. Strict: a
//! number without its unit, or with an unknown unit, is refused with the forms that are accepted.

use std::fmt;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

/// A value that is written as text in quotes.
trait ParseValue: Sized {
    /// Its form, for errors.
    const EXPECTED: &'static str;

    fn parse(text: &str) -> Option<Self>;
}

struct ValueVisitor<T>(PhantomData<T>);

impl<T: ParseValue> Visitor<'_> for ValueVisitor<T> {
    type Value = T;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(T::EXPECTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        T::parse(text).ok_or_else(|| E::custom(format_args!("{text:?} is not {}", T::EXPECTED)))
    }
}

/// Parses a duration of the command line.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    Duration::parse(text).ok_or_else(|| format!("{text:?} is not {}", Duration::EXPECTED))
}

fn deserialize_value<'de, T: ParseValue, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    from.deserialize_str(ValueVisitor(PhantomData))
}

/// Parses a whole number directly followed by a unit, and returns their product. No sign, no blank, no leading zero.
fn parse_quantity<'a>(text: &'a str, units: &[(&'a str, u64)]) -> Option<u64> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    let padded = number.len() > 1 && number.starts_with('0');
    if padded { None } else { number.parse::<u64>().ok()?.checked_mul(*factor) }
}

impl ParseValue for Duration {
    const EXPECTED: &'static str = "a duration: a whole number and ms, s, m, h or d, as \"500ms\" or \"10s\"";

    fn parse(text: &str) -> Option<Self> {
        const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
        parse_quantity(text, &UNITS).map(Self::from_millis)
    }
}

/// Deserializes a duration.
pub fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    deserialize_value(from)
}

/// Deserializes a duration into a field that is `None` if its key is absent.
pub fn optional_duration<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    deserialize_value(from).map(Some)
}

struct ByteSize(usize);

impl ParseValue for ByteSize {
    const EXPECTED: &'static str = "a size: a whole number and B, KiB, MiB or GiB, as \"64MiB\"";

    fn parse(text: &str) -> Option<Self> {
        const UNITS: [(&str, u64); 4] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
        parse_quantity(text, &UNITS).and_then(|bytes| usize::try_from(bytes).ok()).map(Self)
    }
}

/// Deserializes a number without a unit.
pub fn count<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    T::deserialize(from)
}

/// Deserializes a size, in bytes.
pub fn size<'de, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
    deserialize_value(from).map(|ByteSize(bytes)| bytes)
}

struct FileMode(u32);

impl ParseValue for FileMode {
    const EXPECTED: &'static str = "a mode of four octal digits with rw for its owner, as \"0660\"";

    fn parse(text: &str) -> Option<Self> {
        let four = text.len() == 4 && text.starts_with('0') && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
        let mode = four.then(|| u32::from_str_radix(text, 8).ok()).flatten()?;
        (mode & 0o600 == 0o600).then_some(Self(mode))
    }
}

/// Deserializes the mode of a file into a field that is `None` if its key is absent.
pub fn optional_mode<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u32>, D::Error> {
    deserialize_value(from).map(|FileMode(mode)| Some(mode))
}

struct OptionalText(Option<String>);

impl ParseValue for OptionalText {
    const EXPECTED: &'static str = "text without control characters, or \"\" for none";

    fn parse(text: &str) -> Option<Self> {
        (!text.chars().any(char::is_control)).then(|| Self((!text.is_empty()).then(|| text.to_owned())))
    }
}

/// Deserializes text; `""` is `None`.
pub fn optional_text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    deserialize_value(from).map(|OptionalText(text)| text)
}

/// Deserializes the path of a file; `""` is `None`.
pub fn optional_path<'de, D: Deserializer<'de>>(from: D) -> Result<Option<PathBuf>, D::Error> {
    optional_text(from).map(|path| path.map(PathBuf::from))
}

struct OptionalAddress(Option<SocketAddr>);

impl ParseValue for OptionalAddress {
    const EXPECTED: &'static str = "an address with its port, as \"127.0.0.1:9469\" or \"[::1]:9469\", or \"\" for none";

    fn parse(text: &str) -> Option<Self> {
        if text.is_empty() { Some(Self(None)) } else { text.parse().ok().map(|address| Self(Some(address))) }
    }
}

/// Deserializes an IP address with its port; `""` is `None`.
pub fn optional_address<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SocketAddr>, D::Error> {
    deserialize_value(from).map(|OptionalAddress(address)| address)
}

struct FilePath(PathBuf);

impl ParseValue for FilePath {
    const EXPECTED: &'static str = "the path of a file";

    fn parse(text: &str) -> Option<Self> {
        OptionalText::parse(text).and_then(|OptionalText(path)| path).map(|path| Self(path.into()))
    }
}

/// Deserializes the path of a file, which must not be empty.
pub fn path<'de, D: Deserializer<'de>>(from: D) -> Result<PathBuf, D::Error> {
    deserialize_value(from).map(|FilePath(path)| path)
}

struct AbsolutePath(PathBuf);

impl ParseValue for AbsolutePath {
    const EXPECTED: &'static str = "an absolute path";

    fn parse(text: &str) -> Option<Self> {
        FilePath::parse(text).filter(|FilePath(path)| path.is_absolute()).map(|FilePath(path)| Self(path))
    }
}

/// Deserializes an absolute path into a field that is `None` if its key is absent.
pub fn optional_absolute_path<'de, D: Deserializer<'de>>(from: D) -> Result<Option<PathBuf>, D::Error> {
    deserialize_value(from).map(|AbsolutePath(path)| Some(path))
}

struct TextOrListVisitor;

impl<'de> Visitor<'de> for TextOrListVisitor {
    type Value = Vec<String>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("text, or a list of texts")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Vec<String>, E> {
        Ok(vec![text.to_owned()])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Vec<String>, A::Error> {
        let mut texts = Vec::new();
        while let Some(text) = elements.next_element()? {
            texts.push(text);
        }
        Ok(texts)
    }
}

/// Deserializes a text, or a list of texts in brackets.
pub fn text_or_list<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    from.deserialize_any(TextOrListVisitor)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::{AbsolutePath, ByteSize, FileMode, OptionalText, ParseValue};

    #[test]
    fn a_duration_is_a_whole_number_with_its_unit() {
        for (text, milliseconds) in [("0s", 0), ("500ms", 500), ("10s", 10_000), ("5m", 300_000), ("24h", 86_400_000), ("7d", 604_800_000)]
        {
            assert_eq!(Duration::parse(text), Some(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in [
            "",
            "10",
            "s",
            "10 s",
            " 10s",
            "10s ",
            "+10s",
            "-1s",
            "1.5s",
            "010s",
            "10S",
            "10sec",
            "1h30m",
            "1w",
            "18446744073709551615d",
            "９s",
        ] {
            assert_eq!(Duration::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_size_is_a_whole_number_with_its_unit() {
        let bytes = |text| ByteSize::parse(text).map(|ByteSize(bytes)| bytes);
        assert_eq!((bytes("0B"), bytes("4KiB"), bytes("64MiB"), bytes("2GiB")), (Some(0), Some(4096), Some(64 << 20), Some(2 << 30)));
        for text in ["", "64", "64MB", "64M", "64 MiB", "64mib", "1.5GiB", "-1B", "99999999999GiB"] {
            assert_eq!(bytes(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_mode_lets_its_owner_read_and_write() {
        let mode = |text| FileMode::parse(text).map(|FileMode(mode)| mode);
        assert_eq!((mode("0660"), mode("0600"), mode("0666")), (Some(0o660), Some(0o600), Some(0o666)));
        for text in ["", "660", "0o660", "0060", "0400", "0680", "1660", "00660"] {
            assert_eq!(mode(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_path_is_text_and_where_it_must_be_absolute() {
        assert!(AbsolutePath::parse("/var/lib/sidegate").is_some());
        for text in ["", "var/lib", "/a\nb", "~/x"] {
            assert!(AbsolutePath::parse(text).is_none(), "{text:?}");
        }
        assert!(matches!(OptionalText::parse(""), Some(OptionalText(None))));
    }

    proptest! {
        #[test]
        fn no_text_panics_the_parser(text in "\\PC{0,12}") {
            let _ = (Duration::parse(&text), ByteSize::parse(&text), FileMode::parse(&text));
        }
    }
}
