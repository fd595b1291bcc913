//! The list of codes that no answer has, in the doc of the table, and the
//! answers that lie beside this file are all codes, and none is in both.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The codes that a server sends, by their last digits: section "Faults" of
/// [MS-WSMV] and the headers of Windows.
const OF_SERVERS: [u32; 121] = [
    0x00, 0x01, 0x02, 0x0C, 0x0D, 0x0E, 0x0F, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18,
    0x19, 0x1A, 0x1B, 0x1C, 0x1D, 0x1E, 0x1F, 0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x27, 0x29, 0x2C,
    0x2D, 0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x38, 0x39, 0x3A, 0x3B, 0x3D, 0x3F, 0x41, 0x42, 0x43,
    0x47, 0x48, 0x49, 0x4A, 0x4B, 0x4C, 0x4D, 0x4E, 0x4F, 0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56,
    0x57, 0x58, 0x59, 0x5A, 0x5B, 0x5C, 0x5D, 0x5E, 0x5F, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6A,
    0x6B, 0x6D, 0x6E, 0x6F, 0x71, 0x72, 0x73, 0x76, 0x77, 0x7E, 0x81, 0x86, 0x87, 0x90, 0x93, 0x95,
    0xA0, 0xA6, 0xA9, 0xFA, 0xFB, 0x102, 0x104, 0x105, 0x108, 0x119, 0x11A, 0x11D, 0x11E, 0x122,
    0x137, 0x138, 0x139, 0x13B, 0x15D, 0x15E, 0x15F, 0x1A5, 0x1A6, 0x1AD, 0x1D9,
];

const TABLE: &str = include_str!("../../fault.rs");

/// The codes in the doc, `01E to 025` spelled out.
fn unused() -> BTreeSet<u32> {
    let rows = TABLE.lines().filter_map(|line| line.strip_prefix("//! | "));
    let mut codes = BTreeSet::new();
    for row in rows {
        let (cell, _) = row.split_once(" |").expect("two columns");
        for range in cell.split(", ") {
            let (first, last) = range.split_once(" to ").unwrap_or((range, range));
            let number = |digits| u32::from_str_radix(digits, 16);
            if let (Ok(first), Ok(last)) = (number(first), number(last)) {
                codes.extend(first..=last);
            }
        }
    }
    codes
}

/// The codes of the answers, by the names of their files.
fn answered() -> BTreeSet<u32> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/wsman/tests/faults");
    let files = fs::read_dir(folder).expect("the folder of this file");
    files
        .filter_map(|file| {
            let name = file.expect("a file").file_name().into_string().ok()?;
            let (digits, _) = name.split_once('-')?;
            u32::from_str_radix(digits, 16).ok()
        })
        .collect()
}

/// The codes of the rows.
fn raised() -> BTreeSet<u32> {
    let (code, _) = TABLE.split_once("#[cfg(test)]").expect("tests at the end");
    let numbers = code.split(|c: char| !c.is_ascii_digit() && c != '_');
    numbers
        .filter_map(|number| number.replace('_', "").parse().ok())
        .filter_map(|number: u32| number.checked_sub(0x8033_8000))
        .collect()
}

#[test]
fn every_code_is_answered_or_has_its_reason_why_not() {
    let (unused, answered, raised) = (unused(), answered(), raised());
    assert!(unused.len() > 40, "{unused:x?}");
    for code in OF_SERVERS {
        let (is_unused, is_answered) = (unused.contains(&code), answered.contains(&code));
        assert_ne!(is_unused, is_answered, "{code:03x}");
    }
    assert_eq!(raised, answered, "rows and whole answers");
    assert!(unused.is_disjoint(&raised));
}
