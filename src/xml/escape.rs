//! Characters that XML 1.0 allows, and the references that stand for them.

/// Whether `c` may stand in a document (XML 1.0, production 2).
pub(super) fn is_char(c: char) -> bool {
    matches!(c,
        '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{1_0000}'..)
}

/// Whether every character of `text` may stand in a document.
pub(super) fn all_chars(text: &str) -> bool {
    let mut suspect = false;
    for &octet in text.as_bytes() {
        // 0xEF begins U+FFFE and U+FFFF, and much that is allowed.
        suspect |= matches!(octet, 0..=8 | 11 | 12 | 14..=31 | 0xEF);
    }
    !suspect || text.chars().all(is_char)
}

/// What `&reference;` stands for; nothing for what is neither a predefined
/// entity nor a reference to an allowed character.
pub(super) fn resolve(reference: &str) -> Option<char> {
    match reference {
        "amp" => return Some('&'),
        "lt" => return Some('<'),
        "gt" => return Some('>'),
        "quot" => return Some('"'),
        "apos" => return Some('\''),
        _ => {}
    }
    let number = reference.strip_prefix('#')?;
    let (digits, radix) = match number.strip_prefix('x') {
        Some(hex) => (hex, 16),
        None => (number, 10),
    };
    // `from_str_radix` would take a sign.
    if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let code = u32::from_str_radix(digits, radix).ok()?;
    char::from_u32(code).filter(|c| is_char(*c))
}

/// The value of an attribute, references resolved and white space normalised
/// (XML 1.0, 3.3.3); nothing when it holds what it must not.
pub(super) fn attribute_value(raw: &str) -> Option<std::borrow::Cow<'_, str>> {
    let mut is_plain = true;
    for &octet in raw.as_bytes() {
        is_plain &= !matches!(octet, b'&' | b'<' | b'\t' | b'\n' | b'\r');
    }
    if is_plain {
        return Some(raw.into());
    }
    let mut value = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find(['&', '<', '\t', '\n', '\r']) {
        let (before, from) = rest.split_at(at);
        value.push_str(before);
        match from.as_bytes().first() {
            Some(b'&') => {
                let (reference, after) = from.get(1..)?.split_once(';')?;
                value.push(resolve(reference)?);
                rest = after;
                continue;
            }
            Some(b'<') | None => return None,
            // An end of line of two characters is one space.
            Some(b'\r') if from.as_bytes().get(1) == Some(&b'\n') => {}
            Some(_) => value.push(' '),
        }
        rest = from.get(1..)?;
    }
    value.push_str(rest);
    Some(value.into())
}

/// Appends `text` with what XML would misread replaced, and `?` for what it
/// cannot hold.
pub(super) fn push_escaped(out: &mut String, text: &str, place: Place) {
    let octets = text.as_bytes();
    let mut from = 0;
    let mut at = 0;
    while let Some(&octet) = octets.get(at) {
        if !SPECIAL[usize::from(octet)] {
            at += 1;
            continue;
        }
        let (replacement, width) = match octet {
            b'&' => ("&amp;", 1),
            b'<' => ("&lt;", 1),
            b'>' => ("&gt;", 1),
            b'"' if place == Place::Attribute => ("&quot;", 1),
            b'\t' if place == Place::Attribute => ("&#9;", 1),
            b'\n' if place == Place::Attribute => ("&#10;", 1),
            // A reader turns a bare one into a line feed.
            b'\r' => ("&#13;", 1),
            b'"' | b'\t' | b'\n' => {
                at += 1;
                continue;
            }
            // U+FFFE and U+FFFF; everything else that begins so is allowed.
            0xEF => {
                if octets.get(at + 1) == Some(&0xBF)
                    && matches!(octets.get(at + 2), Some(0xBE | 0xBF))
                {
                    ("?", 3)
                } else {
                    at += 1;
                    continue;
                }
            }
            _ => ("?", 1),
        };
        out.push_str(text.get(from..at).unwrap_or_default());
        out.push_str(replacement);
        at += width;
        from = at;
    }
    out.push_str(text.get(from..).unwrap_or_default());
}

/// Where an escaped text is to stand.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Place {
    /// Between tags.
    Content,
    /// Between quotation marks.
    Attribute,
}

/// The octets that need a second look when text is escaped.
const SPECIAL: [bool; 256] = {
    let mut table = [false; 256];
    let mut octet = 0;
    while octet < 0x20 {
        table[octet] = true;
        octet += 1;
    }
    table[b'&' as usize] = true;
    table[b'<' as usize] = true;
    table[b'>' as usize] = true;
    table[b'"' as usize] = true;
    table[0xEF] = true;
    table
};
