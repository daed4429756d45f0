//! Days as people and programs write them: `2021-06-13`, `13 Jun 2021`, `June 13th, 2021`, `13/06/2021`, `20210613`.
//!
//! GitLab takes nearly anything here. Ambiguous dates are refused: without a year, or with a year of two digits.

use jiff::civil::Date;

/// The longest text that is parsed, in bytes.
const MAX_DATE_BYTES: usize = 128;
const MONTHS: [&str; 12] =
    ["january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december"];
const WEEKDAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// Parses a date; a time of day after it is ignored.
#[must_use]
pub fn parse_date(text: &str) -> Option<Date> {
    if text.len() > MAX_DATE_BYTES || !text.is_ascii() {
        return None;
    }
    let lower = text.to_ascii_lowercase();
    let mut words = lower.split([' ', ',']).filter(|word| !word.is_empty()).peekable();
    words.next_if(|word| abbreviated_name_index(word, &WEEKDAYS).is_some());
    let mut parts = Vec::new();
    while let Some(word) = words.next_if(|_| parts.len() < 3) {
        let day = word.split_once('t').filter(|(day, time)| looks_like_date(day) && looks_like_time(time)).map_or(word, |(day, _)| day);
        parts.extend(day.split(['-', '/', '.']));
    }
    let time_follows = words.peek().is_none_or(|word| looks_like_time(word));
    match (parts.as_slice(), time_follows) {
        ([compact], true) if compact.len() == 8 => {
            date_from_ymd(parse_number(&compact[..4])?, parse_number(&compact[4..6])?, parse_number(&compact[6..])?)
        }
        ([first, second, third], true) => date_from_components(first, second, third),
        _ => None,
    }
}

fn date_from_components(first: &str, second: &str, third: &str) -> Option<Date> {
    match (abbreviated_name_index(first, &MONTHS), abbreviated_name_index(second, &MONTHS)) {
        (Some(month), _) => date_from_ymd(parse_year(third)?, month, parse_number(strip_ordinal_suffix(second))?),
        (_, Some(month)) if first.len() == 4 => date_from_ymd(parse_year(first)?, month, parse_number(strip_ordinal_suffix(third))?),
        (_, Some(month)) => date_from_ymd(parse_year(third)?, month, parse_number(strip_ordinal_suffix(first))?),
        _ if first.len() == 4 => date_from_ymd(parse_year(first)?, parse_number(second)?, parse_number(third)?),
        _ => date_from_ymd(parse_year(third)?, parse_number(second)?, parse_number(first)?),
    }
}

fn date_from_ymd(year: i16, month: i16, day: i16) -> Option<Date> {
    Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()
}

fn parse_year(text: &str) -> Option<i16> {
    parse_number(text).filter(|_| text.len() == 4)
}

fn parse_number(text: &str) -> Option<i16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// Strips `st`, `nd`, `rd` or `th` after the digits.
fn strip_ordinal_suffix(text: &str) -> &str {
    ["st", "nd", "rd", "th"].iter().find_map(|suffix| text.strip_suffix(suffix)).unwrap_or(text)
}

/// Returns which of the names this is, whole or abbreviated to three letters or more; counted from 1.
fn abbreviated_name_index(text: &str, words: &[&str]) -> Option<i16> {
    let found = (text.len() >= 3).then(|| words.iter().position(|word| word.starts_with(text)))??;
    i16::try_from(found + 1).ok()
}

fn looks_like_date(text: &str) -> bool {
    text.len() >= 8 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
}

fn looks_like_time(text: &str) -> bool {
    text.as_bytes().first().is_some_and(u8::is_ascii_digit) && text.contains(':')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::parse_date;

    #[test]
    fn one_day_in_many_forms() {
        for text in [
            "2021-06-13",
            "2021-6-13",
            "20210613",
            "2021/06/13",
            "13 Jun 2021",
            "13-Jun-2021",
            "13 june 2021",
            "June 13th, 2021",
            "Jun 13 2021",
            "2021 Jun 13",
            "Sun, 13 Jun 2021 10:00:00 +0200",
            "13/06/2021",
            "13.6.2021",
            "2021-06-13T00:00:00Z",
            "2021-06-13 00:00:00 UTC",
        ] {
            assert_eq!(parse_date(text).map(|date| date.to_string()).as_deref(), Some("2021-06-13"), "{text}");
        }
    }

    #[test]
    fn what_is_no_day_or_could_be_two_is_refused() {
        for text in [
            "",
            "soon",
            "2021-06-31",
            "2021-13-01",
            "13 Jun",
            "13/06/21",
            "06/13/2021",
            "2021-06",
            "-2021-06-13",
            "2021-06-13x",
            "2021-06-13 x",
            "13 Ju 2021",
            "0x13 Jun 2021",
            "९",
        ] {
            assert_eq!(parse_date(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_causes_a_panic(text in "\\PC{0,40}", year in 1..=9999_i16, month in 1..=12_i8, day in 1..=28_i8) {
            let _ = parse_date(&text);
            let date = jiff::civil::date(year, month, day);
            prop_assert_eq!(parse_date(&date.to_string()), Some(date));
        }
    }
}
