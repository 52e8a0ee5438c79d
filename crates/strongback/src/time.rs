//! Points in time as text. They are kept as milliseconds since the epoch, and written in UTC.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::DateTime;

/// The last second that HTTP can write: its years have four digits.
const LAST_OF_HTTP: u64 = 253_402_300_799;

/// Milliseconds since the epoch.
pub fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_millis() as i64)
}

/// To the second, for people: `2026-11-24 04:20:00`. What no calendar holds stays a number.
pub fn utc(ms: i64) -> String {
    let shown = DateTime::from_timestamp_millis(ms).map(|at| at.format("%Y-%m-%d %H:%M:%S").to_string());
    shown.unwrap_or_else(|| ms.to_string())
}

/// To the second, as HTTP writes it: `Tue, 24 Nov 2026 05:06:07 GMT`.
pub fn http(ms: i64) -> String {
    let seconds = u64::try_from(ms.div_euclid(1000)).unwrap_or(0).min(LAST_OF_HTTP);
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds))
}

/// Reads what HTTP allows, in seconds since the epoch; `None` for anything else.
pub fn parse_http(text: &str) -> Option<i64> {
    let at = httpdate::parse_http_date(text.trim()).ok()?;
    Some(at.duration_since(UNIX_EPOCH).ok()?.as_secs() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc() {
        assert_eq!(utc(0), "1970-01-01 00:00:00");
        assert_eq!(utc(951_782_400_000), "2000-02-29 00:00:00");
        assert_eq!(utc(1_795_494_000_095), "2026-11-24 04:20:00");
        assert_eq!(utc(-1), "1969-12-31 23:59:59");
        assert_eq!(utc(i64::MAX), i64::MAX.to_string());
    }

    #[test]
    fn http_has_dates_of_its_own() {
        assert_eq!(http(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(http(784_111_777_999), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(http(951_782_400_000), "Tue, 29 Feb 2000 00:00:00 GMT");
        assert_eq!(http(-1), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(http(i64::MAX), "Fri, 31 Dec 9999 23:59:59 GMT");
        for text in
            ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
        {
            assert_eq!(parse_http(text), Some(784_111_777), "{text}");
        }
        assert_eq!(parse_http("yesterday"), None);
    }
}
