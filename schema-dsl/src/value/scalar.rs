//! Single values: text, numbers, times, UUIDs and bytes.

use std::cmp::Ordering;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::civil;
use uuid::Uuid;

use crate::value::{DECIMAL_CHARACTERS_MAX, Refusal, expected, refusal};

pub(super) fn string(raw: &str) -> Result<String, Refusal> {
    if !raw.starts_with('"') {
        return Err(expected("text", raw));
    }
    let text = serde_json::from_str::<String>(raw)
        .map_err(|_| refusal("invalid_text", "expected text without lone surrogates"))?;
    if text.contains('\0') {
        return Err(refusal("nul_character", "text cannot hold the character U+0000"));
    }
    Ok(text)
}

pub(super) fn integer(raw: &str) -> Result<i64, Refusal> {
    if let Ok(number) = raw.parse::<i64>() {
        return Ok(number);
    }
    if !is_number(raw) {
        return Err(expected("an integer", raw));
    }
    whole_number(raw)
}

/// `1.0` and `1e3` are integers too: read by their digits, as a double would round some of them.
fn whole_number(raw: &str) -> Result<i64, Refusal> {
    let out_of_range = || refusal("out_of_range", format!("expected an integer from {} to {}", i64::MIN, i64::MAX));
    let not_an_integer = || refusal("not_an_integer", "expected an integer, without a fraction");
    let (mantissa, exponent) = raw.split_once(['e', 'E']).unwrap_or((raw, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_end_matches('0');
    if !significant.contains(|c: char| c.is_ascii_digit()) {
        return Ok(0);
    }
    let exponent: i64 = exponent.parse().map_err(|_| match exponent.starts_with('-') {
        true => not_an_integer(),
        false => out_of_range(),
    })?;
    let shift = (digits.len() - significant.len()) as i64 - fraction.len() as i64;
    match usize::try_from(exponent.saturating_add(shift)) {
        Err(_) => Err(not_an_integer()),
        Ok(zeros) if zeros > 19 => Err(out_of_range()),
        Ok(zeros) => format!("{significant}{}", "0".repeat(zeros)).parse().map_err(|_| out_of_range()),
    }
}

pub(super) fn number(raw: &str) -> Result<f64, Refusal> {
    if !is_number(raw) {
        return Err(expected("a number", raw));
    }
    match raw.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        _ => Err(refusal("out_of_range", "expected a number that fits double precision")),
    }
}

pub(super) fn decimal(raw: &str) -> Result<String, Refusal> {
    let digits = if is_number(raw) { raw.to_owned() } else { string(raw)? };
    if digits.len() > DECIMAL_CHARACTERS_MAX {
        return Err(refusal("too_long", format!("expected at most {DECIMAL_CHARACTERS_MAX} digits")));
    }
    if is_decimal(&digits) {
        Ok(digits)
    } else {
        Err(refusal("not_a_decimal", "expected a decimal such as `\"12.50\"`, without an exponent"))
    }
}

/// Whether `text` is an optional sign, digits, and optionally a point and digits.
pub fn is_decimal(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = match digits.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (digits, None),
    };
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    all_digits(whole) && fraction.is_none_or(all_digits)
}

/// The order of two decimals of [`is_decimal`]'s form, exact at any length.
pub fn compare_decimals(a: &str, b: &str) -> Ordering {
    let parts = |text: &str| {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest.to_owned()),
            None => (false, text.to_owned()),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((&digits, ""));
        let whole = whole.trim_start_matches('0').to_owned();
        let fraction = fraction.trim_end_matches('0').to_owned();
        let zero = whole.is_empty() && fraction.is_empty();
        (negative && !zero, whole, fraction)
    };
    let (a_negative, a_whole, a_fraction) = parts(a);
    let (b_negative, b_whole, b_fraction) = parts(b);
    let magnitude = || a_whole.len().cmp(&b_whole.len()).then(a_whole.cmp(&b_whole)).then(a_fraction.cmp(&b_fraction));
    match (a_negative, b_negative) {
        (false, true) => Ordering::Greater,
        (true, false) => Ordering::Less,
        (false, false) => magnitude(),
        (true, true) => magnitude().reverse(),
    }
}

pub(super) fn timestamp(raw: &str) -> Result<i64, Refusal> {
    const EXPECTED: &str = "a timestamp such as `\"2026-01-31T12:00:00Z\"` (RFC 3339, with an offset)";
    let text = string(raw).map_err(|_| expected(EXPECTED, raw))?;
    // The parser takes other ISO 8601 forms as well; the wire has one.
    if !is_rfc_3339(&text) {
        return Err(expected(EXPECTED, raw));
    }
    let out_of_range =
        || refusal("out_of_range", "expected a time from 0001-01-01T00:00:00Z to 9999-12-31T23:59:59.999999Z");
    let Ok(timestamp) = text.parse::<jiff::Timestamp>() else {
        // What the parser can take apart is a time, but none that it can count.
        let pieces = jiff::fmt::temporal::Pieces::parse(&text).map_err(|_| expected(EXPECTED, raw))?;
        return last_hours(&pieces).ok_or_else(out_of_range);
    };
    if timestamp.to_zoned(jiff::tz::TimeZone::UTC).year() < 1 {
        return Err(out_of_range());
    }
    // Down to the microsecond, before 1970 too: no time is moved past another.
    i64::try_from(timestamp.as_nanosecond().div_euclid(1_000)).map_err(|_| out_of_range())
}

/// The last time of the year 9999, in microseconds since 1970.
const TIMESTAMP_MAX: i64 = 253_402_300_799_999_999;

/// The time of `pieces` where it lies in the last hours of the year 9999: jiff counts up to what is a
/// time of that year at any offset.
fn last_hours(pieces: &jiff::fmt::temporal::Pieces<'_>) -> Option<i64> {
    let (date, time, offset) = (pieces.date(), pieces.time()?, pieces.to_numeric_offset()?);
    let days = i64::from(date.since(civil::Date::constant(1970, 1, 1)).ok()?.get_days());
    let of_day = i64::from(time.hour()) * 3_600 + i64::from(time.minute()) * 60 + i64::from(time.second());
    let seconds = days * 86_400 + of_day - i64::from(offset.seconds());
    let microseconds = seconds * 1_000_000 + i64::from(time.subsec_nanosecond()) / 1_000;
    (date.year() == 9999 && microseconds <= TIMESTAMP_MAX).then_some(microseconds)
}

/// Whether `text` is written as RFC 3339 has it, be there such a time or not.
fn is_rfc_3339(text: &str) -> bool {
    let like = |text: &str, form: &str| {
        text.len() == form.len()
            && text.bytes().zip(form.bytes()).all(|(byte, form)| match form {
                b'0' => byte.is_ascii_digit(),
                b'T' => matches!(byte, b'T' | b't' | b' '),
                b'Z' => matches!(byte, b'Z' | b'z'),
                b'+' => matches!(byte, b'+' | b'-'),
                other => byte == other,
            })
    };
    let Some((seconds, rest)) = text.split_at_checked(19) else { return false };
    let offset = match rest.strip_prefix('.') {
        None => rest,
        Some(fraction) => {
            let offset = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
            if offset.len() == fraction.len() {
                return false;
            }
            offset
        }
    };
    like(seconds, "0000-00-00T00:00:00") && (like(offset, "Z") || like(offset, "+00:00"))
}

pub(super) fn date(raw: &str) -> Result<i32, Refusal> {
    const EXPECTED: &str = "a date such as `\"2026-01-31\"`";
    let text = string(raw).map_err(|_| expected(EXPECTED, raw))?;
    // The parser takes other ISO 8601 forms as well; the wire has one.
    if text.len() != 10 || text.starts_with('-') {
        return Err(expected(EXPECTED, raw));
    }
    let date = text.parse::<civil::Date>().map_err(|_| expected(EXPECTED, raw))?;
    if date.year() < 1 {
        return Err(refusal("out_of_range", "expected a year from 0001 to 9999"));
    }
    Ok(date.since(civil::Date::constant(1970, 1, 1)).map_or(0, |span| span.get_days()))
}

pub(super) fn uuid(raw: &str) -> Result<Uuid, Refusal> {
    const EXPECTED: &str = "a UUID such as `\"0190a5c8-7d3a-7c4e-9b1f-2f6d8e4a1b3c\"`";
    // A quoted hyphenated UUID has no escapes, so the text between the quotes is the value.
    let text = raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"')).ok_or_else(|| expected(EXPECTED, raw))?;
    if text.len() != 36 {
        return Err(expected(EXPECTED, raw));
    }
    Uuid::try_parse(text).map_err(|_| expected(EXPECTED, raw))
}

pub(super) fn bytes(raw: &str) -> Result<Vec<u8>, Refusal> {
    const EXPECTED: &str = "bytes as standard base64 with padding";
    let text = string(raw).map_err(|_| expected(EXPECTED, raw))?;
    STANDARD.decode(text).map_err(|_| refusal("not_base64", format!("expected {EXPECTED}")))
}

pub(super) fn bounds<T: PartialOrd + std::fmt::Display>(
    value: T,
    min: Option<T>,
    max: Option<T>,
) -> Result<(), Refusal> {
    if let Some(max) = max
        && value > max
    {
        return Err(refusal("too_large", format!("expected at most {max}")));
    }
    if let Some(min) = min
        && value < min
    {
        return Err(refusal("too_small", format!("expected at least {min}")));
    }
    Ok(())
}

pub(super) fn decimal_bounds(digits: &str, min: Option<&str>, max: Option<&str>) -> Result<(), Refusal> {
    if let Some(max) = max
        && compare_decimals(digits, max) == Ordering::Greater
    {
        return Err(refusal("too_large", format!("expected at most {max}")));
    }
    if let Some(min) = min
        && compare_decimals(digits, min) == Ordering::Less
    {
        return Err(refusal("too_small", format!("expected at least {min}")));
    }
    Ok(())
}

fn is_number(raw: &str) -> bool {
    raw.starts_with(|c: char| c == '-' || c.is_ascii_digit())
}
