//! For whom a keytab has keys, so that the log can say it: the library does
//! not tell. Its format is MIT's, version 2 ("Keytab file format").

use std::collections::BTreeSet;

/// The principals in a keytab, in order. What is no keytab has none: whether
/// its keys are good is for the library to say.
pub(super) fn principals(keytab: &[u8]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let Some(mut rest) = keytab.strip_prefix(&[5, 2]) else {
        return found;
    };
    // Each turn takes at least four octets.
    while let Some((size, entries)) = rest.split_first_chunk::<4>() {
        let size = i32::from_be_bytes(*size);
        let length = usize::try_from(size.unsigned_abs()).unwrap_or(usize::MAX);
        let Some((entry, next)) = entries.split_at_checked(length) else {
            break;
        };
        // A negative size is that of a key that was removed.
        if size > 0 {
            found.extend(principal(entry));
        }
        rest = next;
    }
    found
}

/// The principal at the start of an entry: the number of the parts of its name,
/// its realm, the parts.
fn principal(entry: &[u8]) -> Option<String> {
    let (count, rest) = entry.split_first_chunk::<2>()?;
    let (realm, mut rest) = text(rest)?;
    let mut name = String::new();
    for at in 0..u16::from_be_bytes(*count) {
        let part;
        (part, rest) = text(rest)?;
        if at > 0 {
            name.push('/');
        }
        name.push_str(part);
    }
    Some(format!("{name}@{realm}"))
}

/// A text with its length before it.
fn text(input: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = input.split_first_chunk::<2>()?;
    let (text, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    Some((str::from_utf8(text).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use proptest::proptest;

    use super::*;

    /// `HTTP/localhost@EXAMPLE.TEST`, as `ktadd` writes it, without its key.
    const ENTRY: &[u8] = b"\0\x02\0\x0cEXAMPLE.TEST\0\x04HTTP\0\x09localhost\0\0\0\x01";

    fn entry(size: i32, entry: &[u8]) -> Vec<u8> {
        [&size.to_be_bytes()[..], entry].concat()
    }

    #[test]
    fn every_principal_is_named_once() {
        let size = i32::try_from(ENTRY.len()).expect("short");
        let machine = b"\0\x01\0\x01R\0\x05HOST$";
        let keytab = [
            b"\x05\x02".to_vec(),
            entry(size, ENTRY),
            entry(-4, b"gone"),
            entry(size, ENTRY),
            entry(12, machine),
            entry(99, b"cut off"),
        ]
        .concat();
        let found: Vec<_> = principals(&keytab).into_iter().collect();
        assert_eq!(found, ["HOST$@R", "HTTP/localhost@EXAMPLE.TEST"]);
    }

    #[test]
    fn what_is_no_keytab_has_no_principals() {
        let size = i32::try_from(ENTRY.len()).expect("short");
        let other = [b"\x05\x01".to_vec(), entry(size, ENTRY)].concat();
        for octets in [&b""[..], b"\x05\x02", b"no keytab", &other] {
            assert!(principals(octets).is_empty());
        }
    }

    proptest! {
        #[test]
        fn arbitrary_octets_do_no_harm(octets: Vec<u8>) {
            let _ = principals(&[b"\x05\x02", &octets[..]].concat());
        }
    }
}
