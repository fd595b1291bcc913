use proptest::prelude::*;

use super::*;

#[test]
fn ranges_are_read_in_their_order() {
    let span = |offset, length| Span { offset, length };
    assert_eq!(
        read_ranges("500:100, 0:10,600:EOF"),
        Ok(vec![
            span(500, Some(100)),
            span(0, Some(10)),
            span(600, None)
        ])
    );
    assert_eq!(
        read_ranges("7:18446744073709551615"),
        Ok(vec![span(7, None)])
    );
}

#[test]
fn ranges_that_are_none_are_refused() {
    for (text, code) in [
        ("", Hresult::E_INVALIDARG),
        ("0", Hresult::E_INVALIDARG),
        ("0:+1", Hresult::E_INVALIDARG),
        ("0:1,", Hresult::E_INVALIDARG),
        ("a:b", Hresult::E_INVALIDARG),
        ("0:0", Hresult::BG_E_INVALID_RANGE),
        ("18446744073709551615:eof", Hresult::BG_E_INVALID_RANGE),
        ("18446744073709551610:9", Hresult::BG_E_INVALID_RANGE),
        ("0:10,9:1", Hresult::BG_E_OVERLAPPING_RANGES),
        ("5:1,5:1", Hresult::BG_E_OVERLAPPING_RANGES),
        ("10:eof,20:1", Hresult::BG_E_OVERLAPPING_RANGES),
    ] {
        assert_eq!(read_ranges(text), Err(code), "{text}");
    }
    let many: Vec<String> = (0..=MAX_RANGES).map(|at| format!("{at}:1")).collect();
    assert_eq!(
        read_ranges(&many.join(",")),
        Err(Hresult::BG_E_TOO_MANY_RANGES_IN_FILE)
    );
    assert!(read_ranges(&many[1..].join(",")).is_ok());
}

#[test]
fn a_header_that_could_cut_a_request_in_two_is_refused() {
    assert_eq!(
        check_headers("X-One:1\nAuthorization:  Bearer x\r\n\r\n").as_deref(),
        Ok("X-One: 1\r\nAuthorization: Bearer x\r\n")
    );
    for wrong in [
        "X-One",
        ": x",
        "X One: 1",
        "X-One: 1\rX-Two: 2",
        "X-One: \u{7f}",
        "Host: other",
        "content-length: 7",
        "BITS-Session-Id: x",
        " folded: x",
    ] {
        assert_eq!(check_headers(wrong), Err(Hresult::E_INVALIDARG), "{wrong}");
    }
    let long = format!("X: {}", "a".repeat(16_380));
    assert!(check_headers(&long).is_ok());
    assert_eq!(
        check_headers(&format!("{long}a")),
        Err(Hresult::BG_E_STRING_TOO_LONG)
    );
}

#[test]
fn hashes_are_read_as_they_are_written() {
    let text = "0123456789abcdef".repeat(4);
    let hash = read_sha256(&text.to_uppercase()).expect("64 digits");
    assert_eq!(write_sha256(&hash), text);
    for wrong in ["", "00", &"g".repeat(64), &"0".repeat(63), &"é".repeat(32)] {
        assert_eq!(read_sha256(wrong), None, "{wrong}");
    }
}

proptest! {
    #[test]
    fn ranges_that_were_written_are_read_as_they_were(
        gaps in prop::collection::vec((1_u64..1_000, 1_u64..1_000), 1..20),
        to_end: bool,
    ) {
        let mut at = 0;
        let mut ranges: Vec<Span> = gaps
            .into_iter()
            .map(|(gap, length)| {
                let offset = at + gap;
                at = offset + length;
                Span { offset, length: Some(length) }
            })
            .collect();
        if to_end {
            ranges.last_mut().expect("at least one").length = None;
        }
        prop_assert_eq!(read_ranges(&write_ranges(&ranges)), Ok(ranges));
    }

    #[test]
    fn arbitrary_text_is_read_or_refused(text in "[0-9:,eof \\PC\r\n]*") {
        let _ = read_ranges(&text);
        let _ = read_sha256(&text);
        let _ = thumbprint(&text);
        if let Ok(headers) = check_headers(&text) {
            for line in headers.split_terminator("\r\n") {
                prop_assert!(line.contains(": ") && !line.contains(['\r', '\n', '\0']));
            }
        }
    }
}
