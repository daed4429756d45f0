//! Days as people and programs write them: `2021-06-13`, `13 Jun 2021`, `June 13th, 2021`, `13/06/2021`, `20210613`.
//!
//! GitLab takes nearly anything here. What could mean two days is refused: a day without its year, a year of two digits.

use jiff::civil::Date;

/// The longest text that is looked at.
const LONGEST: usize = 128;
const MONTHS: [&str; 12] =
    ["january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december"];
const WEEKDAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// Reads a day; a time of day after it is passed over.
#[must_use]
pub fn read(text: &str) -> Option<Date> {
    if text.len() > LONGEST || !text.is_ascii() {
        return None;
    }
    let lower = text.to_ascii_lowercase();
    let mut words = lower.split([' ', ',']).filter(|word| !word.is_empty()).peekable();
    words.next_if(|word| abbreviates(word, &WEEKDAYS).is_some());
    let mut parts = Vec::new();
    while let Some(word) = words.next_if(|_| parts.len() < 3) {
        let day = word.split_once('t').filter(|(day, time)| is_day(day) && is_time(time)).map_or(word, |(day, _)| day);
        parts.extend(day.split(['-', '/', '.']));
    }
    let time_follows = words.peek().is_none_or(|word| is_time(word));
    match (parts.as_slice(), time_follows) {
        ([compact], true) if compact.len() == 8 => day(number(&compact[..4])?, number(&compact[4..6])?, number(&compact[6..])?),
        ([first, second, third], true) => in_some_order(first, second, third),
        _ => None,
    }
}

fn in_some_order(first: &str, second: &str, third: &str) -> Option<Date> {
    match (abbreviates(first, &MONTHS), abbreviates(second, &MONTHS)) {
        (Some(month), _) => day(year(third)?, month, number(ordinal(second))?),
        (_, Some(month)) if first.len() == 4 => day(year(first)?, month, number(ordinal(third))?),
        (_, Some(month)) => day(year(third)?, month, number(ordinal(first))?),
        _ if first.len() == 4 => day(year(first)?, number(second)?, number(third)?),
        _ => day(year(third)?, number(second)?, number(first)?),
    }
}

fn day(year: i16, month: i16, day: i16) -> Option<Date> {
    Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()
}

fn year(text: &str) -> Option<i16> {
    number(text).filter(|_| text.len() == 4)
}

fn number(text: &str) -> Option<i16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// Without `st`, `nd`, `rd` or `th` after its digits.
fn ordinal(text: &str) -> &str {
    ["st", "nd", "rd", "th"].iter().find_map(|suffix| text.strip_suffix(suffix)).unwrap_or(text)
}

/// Which word this is, whole or its first three letters or more; counts from 1.
fn abbreviates(text: &str, words: &[&str]) -> Option<i16> {
    let found = (text.len() >= 3).then(|| words.iter().position(|word| word.starts_with(text)))??;
    i16::try_from(found + 1).ok()
}

fn is_day(text: &str) -> bool {
    text.len() >= 8 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
}

fn is_time(text: &str) -> bool {
    text.as_bytes().first().is_some_and(u8::is_ascii_digit) && text.contains(':')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::read;

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
            assert_eq!(read(text).map(|date| date.to_string()).as_deref(), Some("2021-06-13"), "{text}");
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
            assert_eq!(read(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_brings_it_down(text in "\\PC{0,40}", year in 1..=9999_i16, month in 1..=12_i8, day in 1..=28_i8) {
            let _ = read(&text);
            let date = jiff::civil::date(year, month, day);
            prop_assert_eq!(read(&date.to_string()), Some(date));
        }
    }
}
