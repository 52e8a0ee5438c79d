//! How the page writes times, figures and commands.

use maud::{Markup, html};

use crate::time::utc;

/// How long ago, with the exact time in UTC for who points at it.
pub(super) fn ago(at: i64, now: i64) -> Markup {
    let seconds = now.saturating_sub(at).max(0) / 1000;
    let words = match seconds {
        0..=4 => "just now".to_owned(),
        5..=59 => format!("{seconds} s ago"),
        60..=3599 => format!("{} min ago", seconds / 60),
        3600..=86_399 => format!("{} h ago", seconds / 3600),
        86_400..=604_799 => match seconds / 86_400 {
            1 => "yesterday".to_owned(),
            days => format!("{days} days ago"),
        },
        _ => utc(at).get(..10).unwrap_or_default().to_owned(),
    };
    let exact = utc(at);
    html! { time datetime=(exact.replace(' ', "T") + "Z") title={ (exact) " UTC" } { (words) } }
}

/// How long something took.
pub(super) fn duration(ms: i64) -> String {
    match ms.max(0) {
        ms @ 0..=999 => format!("{ms} ms"),
        ms @ 1000..=59_999 => format!("{:.1} s", ms as f64 / 1000.0),
        ms @ 60_000..=3_599_999 => format!("{} min {} s", ms / 60_000, ms / 1000 % 60),
        ms => format!("{} h {} min", ms / 3_600_000, ms / 60_000 % 60),
    }
}

/// A value as people read metrics: four digits that count, whole numbers whole.
pub(super) fn figure(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        return value.to_string();
    }
    if value.fract() == 0.0 && size < 1e15 {
        return grouped(value as i64);
    }
    if !(1e-3..1e6).contains(&size) {
        return format!("{value:.3e}");
    }
    // As many decimals as leave four digits, and at least one.
    let decimals = (3 - size.log10().floor() as i32).clamp(1, 6) as usize;
    let text = format!("{value:.decimals$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A whole number with its thousands apart.
pub(super) fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3 + 1);
    if number < 0 {
        out.push('-');
    }
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A name as a shell takes it, whatever a client put into it: what is copied from the page must not run anything else.
pub(super) fn shell(word: &str) -> String {
    let is_plain =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '@' | '/' | ':' | '%' | '+');
    // A line break would end the command in some shells' line editors, quoted or not.
    let line: String = word.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if !line.is_empty() && !line.starts_with('-') && line.chars().all(is_plain) {
        line
    } else {
        format!("'{}'", line.replace('\'', r"'\''"))
    }
}

/// A part of a link of MLflow's pages.
pub(super) fn escaped(part: &str) -> String {
    percent_encoding::utf8_percent_encode(part, percent_encoding::NON_ALPHANUMERIC).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short_and_honest() {
        for (value, expect) in [
            (0.0, "0"),
            (1.0, "1"),
            (0.96, "0.96"),
            (0.912_345, "0.9123"),
            (0.001_234_56, "0.001235"),
            (1.2e-7, "1.200e-7"),
            (284_807.0, "284,807"),
            (-1_234.5, "-1234.5"),
            (12.345_678, "12.35"),
            (1_234_567.8, "1.235e6"),
            (1e300, "1.000e300"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(figure(value), expect, "{value}");
        }
    }

    #[test]
    fn times_are_words_near_and_dates_far() {
        let now = 1_795_494_000_000;
        for (before, words) in [
            (0, "just now"),
            (59_000, "59 s ago"),
            (3_600_000, "1 h ago"),
            (90_000_000, "yesterday"),
            (300_000_000, "3 days ago"),
            (900_000_000, "2026-11-13"),
        ] {
            let drawn = ago(now - before, now).into_string();
            assert!(drawn.contains(&format!(">{words}<")), "{drawn}");
            assert!(drawn.contains("datetime=\"2026-11-"), "{drawn}");
        }
        assert_eq!(ago(now + 5000, now).into_string().matches("just now").count(), 1);
        for (ms, words) in [(7, "7 ms"), (1500, "1.5 s"), (61_000, "1 min 1 s"), (7_260_000, "2 h 1 min")] {
            assert_eq!(duration(ms), words);
        }
        // Clients say any time.
        for (at, now) in
            [(i64::MIN, now), (i64::MAX, now), (now, i64::MIN), (i64::MAX, i64::MIN), (i64::MIN, i64::MAX)]
        {
            assert!(ago(at, now).into_string().starts_with("<time"));
        }
        assert_eq!((duration(i64::MIN), duration(i64::MAX).is_empty()), ("0 ms".to_owned(), false));
    }

    #[test]
    fn a_command_holds_a_hostile_name_as_one_word() {
        for (word, expect) in [
            ("prod.risk.fraud@champion", "prod.risk.fraud@champion"),
            ("my model", "'my model'"),
            ("$(reboot)", "'$(reboot)'"),
            ("it's; rm", r"'it'\''s; rm'"),
            ("--help", "'--help'"),
            ("a\nrm", "'a rm'"),
            ("", "''"),
        ] {
            assert_eq!(shell(word), expect);
        }
    }
}
