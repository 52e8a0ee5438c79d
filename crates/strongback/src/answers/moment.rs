//! A point in time as people write it.
//!
//! What is left out makes it a span: a date is all of that day, `09:30` all of that minute, `09:30:05` all of that second.
//! Until a time, or at it, means its end; since a time means its beginning. So whoever copies a time that a table shows, to
//! the second, finds what the table shows with it.

use chrono::{NaiveDate, NaiveTime};

use crate::error::{Error, Result};

const DAY_MS: i64 = 86_400_000;

/// The span that was written, in milliseconds since the epoch; both ends belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Its beginning.
    pub first: i64,
    /// Its end.
    pub last: i64,
}

/// Reads `2026-11-24`, `2026-11-24 09:30[:05[.123]]` (UTC, or with a zone as RFC 3339 writes it), or a number of
/// milliseconds since the epoch, as the value of a parameter.
pub(crate) fn parse(text: &str, parameter: &str) -> Result<Moment> {
    let wrong = || {
        Error::invalid(format!(
            "Invalid value '{text}' for parameter '{parameter}' supplied: write a date (2026-11-24), a time in UTC (2026-11-24 \
             09:30), one with a zone (2026-11-24T09:30:00+01:00) or milliseconds since 1970."
        ))
    };
    if let Ok(ms) = text.parse::<i64>() {
        return Ok(Moment { first: ms, last: ms });
    }
    if !text.is_ascii() {
        return Err(wrong());
    }
    let midnight = text.get(..10).and_then(date).ok_or_else(wrong)?;
    let (first, length) = match text.get(10..).unwrap_or_default() {
        "" => (midnight, DAY_MS),
        rest => time(rest).map(|(of_day, length)| (midnight + of_day, length)).ok_or_else(wrong)?,
    };
    Ok(Moment { first, last: first + length - 1 })
}

/// `YYYY-MM-DD` to the milliseconds of its midnight.
fn date(text: &str) -> Option<i64> {
    let mut parts = text.splitn(3, '-').map(digits);
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let date = NaiveDate::from_ymd_opt(year as i32, month as u32, day as u32)?;
    Some(date.and_time(NaiveTime::MIN).and_utc().timestamp_millis())
}

/// `THH:MM[:SS[.fff]][Z|±HH:MM]` to milliseconds after midnight in UTC, which may be negative, and how many it means.
fn time(text: &str) -> Option<(i64, i64)> {
    let text = text.strip_prefix(['T', 't', ' '])?;
    let (clock, offset_minutes) = match (text.strip_suffix(['Z', 'z']), text.rfind(['+', '-'])) {
        (Some(clock), _) => (clock, 0),
        (None, None) => (text, 0),
        (None, Some(at)) => {
            let (hours, minutes) = text[at + 1..].split_once(':')?;
            let size = digits(hours).filter(|h| *h < 24)? * 60 + digits(minutes).filter(|m| *m < 60)?;
            (&text[..at], if text[at..].starts_with('-') { -size } else { size })
        }
    };
    let (clock, fraction) = clock.split_once('.').map_or((clock, None), |(clock, f)| (clock, Some(f)));
    let mut parts = clock.splitn(3, ':').map(digits);
    let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next());
    let (ms, length) = match (seconds, fraction) {
        (None, None) => (0, 60_000),
        (Some(seconds), None) => (seconds? * 1000, 1000),
        (Some(seconds), Some(fraction)) => {
            digits(fraction)?;
            (seconds? * 1000 + digits(&format!("{fraction:0<3}")[..3])?, 1)
        }
        (None, Some(_)) => return None,
    };
    if hours > 23 || minutes > 59 || ms > 60_999 {
        return None;
    }
    Some(((hours * 60 + minutes - offset_minutes) * 60_000 + ms, length))
}

fn digits(text: &str) -> Option<i64> {
    (!text.is_empty() && text.len() <= 9 && text.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| text.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::{Moment, parse};

    #[test]
    fn what_is_left_out_makes_it_a_span() {
        let check = |text: &str, first: i64, last: i64| {
            assert_eq!(parse(text, "at").unwrap(), Moment { first, last }, "{text}");
        };
        check("1970-01-01", 0, 86_399_999);
        check("2000-02-29T00:00:00.000Z", 951_782_400_000, 951_782_400_000);
        check("2000-02-29T00:00:00Z", 951_782_400_000, 951_782_400_999);
        check("2000-02-29 00:00:00", 951_782_400_000, 951_782_400_999);
        check("2000-02-29 00:00", 951_782_400_000, 951_782_459_999);
        check("2000-02-29T01:00+01:00", 951_782_400_000, 951_782_459_999);
        check("2000-02-29 00:00:00.5", 951_782_400_500, 951_782_400_500);
        check("2026-11-24T04:20:00.095Z", 1_795_494_000_095, 1_795_494_000_095);
        check("2026-11-24T05:20:00.095+01:00", 1_795_494_000_095, 1_795_494_000_095);
        check("2026-11-23 23:20:00.095-05:00", 1_795_494_000_095, 1_795_494_000_095);
        check("1795494000095", 1_795_494_000_095, 1_795_494_000_095);
    }

    #[test]
    fn a_refusal_names_the_parameter() {
        assert!(parse("soon", "since").unwrap_err().message().contains("for parameter 'since'"));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "yesterday",
            "2026-13-01",
            "2025-02-29",
            "2026-11-24T",
            "2026-11-24T25:00:00Z",
            "2026-11-24T10",
            "2026-11-24T10:00.5",
            "2026-11-24T10:00:61",
            "2026-11-24T10:00:00+9",
            "２０２６-11-24",
            "2026-1-1",
            "2026-11-24T10:00:00.Z",
        ] {
            assert!(parse(text, "at").is_err(), "{text}");
        }
    }
}
