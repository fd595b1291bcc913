//! Options as clients write them: ranges, hashes, header lines, labels.

use crate::bits::Hresult;
use crate::bits::Refused;
use crate::bits::Span;
use crate::bits::check_ranges;
use crate::bits::parse_headers;

/// Reads `offset:length,offset:eof`, as `bitsadmin /ADDFILEWITHRANGES` has it.
///
/// # Errors
///
/// `E_INVALIDARG` when it is not of this form or names no range,
/// `BG_E_INVALID_RANGE` for an empty range or one beyond the last octet there
/// can be, `BG_E_TOO_MANY_RANGES_IN_FILE` for more than [`MAX_RANGES`].
pub(crate) fn read_ranges(text: &str) -> Result<Vec<Span>, Hresult> {
    let mut ranges = Vec::new();
    for part in text.split(',') {
        if ranges.len() == MAX_RANGES {
            return Err(Hresult::BG_E_TOO_MANY_RANGES_IN_FILE);
        }
        let (offset, length) = part.trim().split_once(':').ok_or(Hresult::E_INVALIDARG)?;
        let number = |text: &str| match text.trim().parse::<u64>() {
            // `parse` takes a sign.
            Ok(number) if !text.contains('+') => Ok(number),
            Ok(_) | Err(_) => Err(Hresult::E_INVALIDARG),
        };
        let offset = number(offset)?;
        let length = if length.trim().eq_ignore_ascii_case("eof") {
            None
        } else {
            Some(number(length)?)
        };
        // `BG_LENGTH_TO_EOF` is the largest number.
        let length = length.filter(|length| *length != u64::MAX);
        ranges.push(Span { offset, length });
    }
    check_ranges(&ranges, MAX_RANGES).map_err(|Refused(code)| code)?;
    Ok(ranges)
}

/// The ranges as [`read_ranges`] reads them.
pub(crate) fn write_ranges(ranges: &[Span]) -> String {
    let parts: Vec<String> = ranges
        .iter()
        .map(|range| match range.length {
            Some(length) => format!("{}:{length}", range.offset),
            None => format!("{}:eof", range.offset),
        })
        .collect();
    parts.join(",")
}

/// Reads a SHA-256 of 64 hexadecimal digits.
pub(crate) fn read_sha256(text: &str) -> Option<[u8; 32]> {
    let text = text.trim();
    let mut hash = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (octet, pair) in hash.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16);
        *octet = u8::try_from(digit(0)? * 16 + digit(1)?).ok()?;
    }
    Some(hash)
}

/// The hash as [`read_sha256`] reads it.
pub(crate) fn write_sha256(hash: &[u8; 32]) -> String {
    let digits = hash.iter().flat_map(|octet| [octet >> 4, octet & 15]);
    digits
        .filter_map(|digit| char::from_digit(u32::from(digit), 16))
        .collect()
}

/// Custom headers as they are sent: each line ended by CR LF.
///
/// # Errors
///
/// `BG_E_STRING_TOO_LONG` for more than 16,383 characters, `E_INVALIDARG` for a
/// line that is no header of ASCII, and for a header that belongs to the transfer
/// itself.
pub(crate) fn check_headers(text: &str) -> Result<String, Hresult> {
    let headers = parse_headers(text).map_err(|Refused(code)| code)?;
    if !text.is_ascii() {
        return Err(Hresult::E_INVALIDARG);
    }
    let mut checked = String::with_capacity(text.len() + 2);
    for (name, value) in headers {
        for part in [name, ": ", value, "\r\n"] {
            checked.push_str(part);
        }
    }
    Ok(checked)
}

/// Some text without control characters.
pub(super) fn is_label(text: &str) -> bool {
    !text.trim().is_empty() && text.chars().count() <= MAX_LABEL && !text.contains(char::is_control)
}

/// The thumbprint in capitals, without what stands between its digits.
pub(super) fn thumbprint(text: &str) -> Option<String> {
    let digits: String = text
        .chars()
        .filter(|c| !matches!(c, ':' | ' '))
        .map(|c| c.to_ascii_uppercase())
        .collect();
    let is_whole = matches!(digits.len(), 40 | 64);
    (is_whole && digits.chars().all(|c| c.is_ascii_hexdigit())).then_some(digits)
}

/// Ranges of one file. The policy `MaxRangesPerFile` has 500.
const MAX_RANGES: usize = 500;

const MAX_LABEL: usize = 256;

#[cfg(test)]
mod tests;
