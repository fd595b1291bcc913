use proptest::prelude::*;

use super::*;

fn session() -> SessionId {
    SessionId::parse("{A0FF7F6B-0F6F-4D71-A6E5-6D5C1E3C2E11}").expect("fits")
}

/// Headers from `Name: value` lines.
fn headers(lines: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').expect("a header");
        headers.append(
            HeaderName::from_bytes(name.as_bytes()).expect("a name"),
            HeaderValue::from_str(value.trim()).expect("a value"),
        );
    }
    headers
}

fn with_length(mut headers: HeaderMap, length: u64) -> HeaderMap {
    headers.insert(header::CONTENT_LENGTH, length.into());
    headers
}

/// [MC-BUP] 4.1.
#[test]
fn the_recorded_exchange_is_written_as_it_was_recorded() {
    let name = || Some("x.txt".to_owned());
    let range = FragmentRange {
        first: 0,
        length: 4_892,
        total: 4_892,
    };
    let id = session().to_string();
    let rows = [
        (
            Packet::CreateSession {
                content_name: name(),
            },
            format!(
                "BITS-Packet-Type: Create-Session
                 BITS-Supported-Protocols: {PROTOCOL}
                 Content-Name: x.txt"
            ),
        ),
        (
            Packet::Fragment {
                session: session(),
                range,
            },
            format!(
                "BITS-Packet-Type: Fragment
                 BITS-Session-Id: {id}
                 Content-Range: bytes 0-4891/4892"
            ),
        ),
        (Packet::Ping, "BITS-Packet-Type: Ping".to_owned()),
        (
            Packet::CloseSession {
                session: session(),
                content_name: name(),
            },
            format!(
                "BITS-Packet-Type: Close-Session
                 BITS-Session-Id: {id}
                 Content-Name: x.txt"
            ),
        ),
        (
            Packet::CancelSession { session: session() },
            format!(
                "BITS-Packet-Type: Cancel-Session
                 BITS-Session-Id: {id}"
            ),
        ),
    ];
    for (packet, recorded) in rows {
        assert_eq!(packet.write(), headers(&recorded), "{}", packet.name());
        let length = match packet {
            Packet::Fragment { range, .. } => range.length,
            _ => 0,
        };
        assert_eq!(
            Packet::read(&with_length(packet.write(), length)),
            Ok(packet)
        );
    }
}

#[test]
fn the_recorded_acks_are_read() {
    let created = headers(&format!(
        "BITS-Packet-Type: Ack
         BITS-Protocol: {PROTOCOL}
         BITS-Session-Id: {}
         Accept-encoding: identity
         Content-Length: 0",
        session()
    ));
    let read = Ack::read(&created).expect("short").expect("an ack");
    assert!(read.has_chosen_protocol);
    assert_eq!(read.session, Some(session()));
    let taken = headers("BITS-Packet-Type: Ack\nBITS-Received-Content-Range: 4892");
    let expected = Ack {
        next_octet: Some(4_892),
        ..Ack::default()
    };
    assert_eq!(Ack::read(&taken), Ok(Some(expected)));
    let pinged = headers("BITS-Packet-Type: ACK");
    assert_eq!(Ack::read(&pinged), Ok(Some(Ack::default())));
}

#[test]
fn an_ack_comes_back_as_it_was_written() {
    let ack = Ack {
        has_chosen_protocol: true,
        session: Some(session()),
        host: Some(HostId {
            host: "second.example:8080".to_owned(),
            fall_back_after_s: Some(110),
        }),
        next_octet: Some(213),
        reply_url: Some("BITS-Sessions\\Replies\\{a}\\responsefile.bin".to_owned()),
        error: Some(AckError {
            code: Hresult::BG_E_TOO_LARGE,
            context: ErrorContext::RemoteApplication,
        }),
    };
    assert_eq!(Ack::read(&ack.write()), Ok(Some(ack)));
}

#[test]
fn an_error_is_read_under_both_names_and_written_under_both() {
    for line in [
        "BITS-Error: 0x8020001F",
        "BITS-Error-Code: 0x8020001f",
        "BITS-Error: 8020001F",
        "BITS-Error-Code: 0X8020001F",
    ] {
        let ack = Ack::read(&headers(line)).expect("short").expect("an ack");
        let error = ack.error.expect("an error");
        assert_eq!(error.code.number(), 0x8020_001F, "{line}");
        assert_eq!(error.context, ErrorContext::RemoteFile);
    }
    let refused = Ack {
        error: Some(AckError {
            code: Hresult::E_ACCESSDENIED,
            context: ErrorContext::RemoteApplication,
        }),
        ..Ack::default()
    };
    let expected = headers(
        "BITS-Packet-Type: Ack
         BITS-Error: 0x80070005
         BITS-Error-Code: 0x80070005
         BITS-Error-Context: 0x7",
    );
    assert_eq!(refused.write(), expected);
}

#[test]
fn no_error_is_an_error_of_zero() {
    let ack = headers(
        "BITS-Packet-Type: Ack
         BITS-Error: 0x0
         BITS-Received-Content-Range: 5",
    );
    let expected = Ack {
        next_octet: Some(5),
        ..Ack::default()
    };
    assert_eq!(Ack::read(&ack), Ok(Some(expected)));
}

#[test]
fn an_answer_without_the_type_is_no_ack() {
    for lines in [
        "",
        "Server: x",
        "BITS-Packet-Type: Fragment",
        "BITS-Error: zz",
    ] {
        assert_eq!(Ack::read(&headers(lines)), Ok(None), "{lines}");
    }
}

#[test]
fn what_is_no_packet_is_refused() {
    let create = format!("BITS-Supported-Protocols: {PROTOCOL}\nContent-Length: 0");
    let rows = [
        (
            "Content-Length: 0".to_owned(),
            "BITS-Packet-Type is missing",
        ),
        (
            "BITS-Packet-Type: Ping".to_owned(),
            "Content-Length is missing",
        ),
        (
            "BITS-Packet-Type: Ping\nContent-Length: x".to_owned(),
            "Content-Length",
        ),
        (
            "BITS-Packet-Type: Ping\nContent-Length: 5".to_owned(),
            "Content-Length",
        ),
        (
            "BITS-Packet-Type: Ack\nContent-Length: 0".to_owned(),
            "BITS-Packet-Type",
        ),
        (
            "BITS-Packet-Type: Create-Session\nContent-Length: 0".to_owned(),
            "BITS-Supported-Protocols is missing",
        ),
        (
            "BITS-Packet-Type: Create-Session\nContent-Length: 0
             BITS-Supported-Protocols: {00000000-0000-0000-0000-000000000000}"
                .to_owned(),
            "no protocol",
        ),
        (
            format!("BITS-Packet-Type: {}\n{create}", "x".repeat(5_000)),
            "too long",
        ),
        (
            "BITS-Packet-Type: Close-Session\nContent-Length: 0".to_owned(),
            "BITS-Session-Id is missing",
        ),
        (
            format!(
                "BITS-Packet-Type: Cancel-Session\nContent-Length: 0\nBITS-Session-Id: {}",
                "x".repeat(101)
            ),
            "BITS-Session-Id cannot be read",
        ),
        (
            "BITS-Packet-Type: Fragment\nContent-Length: 5\nBITS-Session-Id: a
             Content-Range: bytes 0-3/10"
                .to_owned(),
            "Content-Range cannot be read",
        ),
    ];
    for (lines, why) in rows {
        let refused = Packet::read(&headers(&lines)).expect_err(&lines);
        assert!(refused.to_string().contains(why), "{refused}: {why}");
    }
}

#[test]
fn a_client_of_any_case_with_other_protocols_too_is_understood() {
    let lines = format!(
        "bits-packet-type: CREATE-SESSION
         BITS-Supported-Protocols: {{00000000-0000-0000-0000-000000000000}}, {}
         Content-Length: 0
         Content-Name: a/b",
        PROTOCOL.to_uppercase()
    );
    // The name is none, and is ignored as servers of Windows do.
    let expected = Packet::CreateSession { content_name: None };
    assert_eq!(Packet::read(&headers(&lines)), Ok(expected));
}

#[test]
fn the_forms_of_the_range() {
    let range = |first, length, total| {
        Some(FragmentRange {
            first,
            length,
            total,
        })
    };
    for (text, expected) in [
        ("bytes 0-9/10", range(0, 10, 10)),
        ("Bytes 5-9/100", range(5, 5, 100)),
        ("bytes */0", range(0, 0, 0)),
        ("bytes */5", None),
        ("bytes 0-9/*", None),
        ("bytes 0-10/10", None),
        ("bytes 9-5/10", None),
        ("bytes -5/10", None),
        ("bytes 0-18446744073709551615/18446744073709551615", None),
        ("octets 0-9/10", None),
        ("", None),
    ] {
        assert_eq!(FragmentRange::parse(text), expected, "{text}");
    }
}

#[test]
fn a_name_is_made_fit_to_be_sent() {
    assert_eq!(content_name("report 1.txt"), "report 1.txt");
    assert_eq!(content_name("a:b\"c\u{e9}\n"), "a_b_c__");
    assert_eq!(content_name(&"x".repeat(300)).len(), 260);
}

proptest! {
    #[test]
    fn any_headers_are_read_or_refused(
        values in proptest::collection::vec(("[ -~]{0,40}", 0_usize..12), 0..12),
    ) {
        let names = [
            &PACKET_TYPE, &SUPPORTED_PROTOCOLS, &PROTOCOL_HEADER, &SESSION_ID, &HOST_ID,
            &HOST_ID_FALLBACK_TIMEOUT, &RECEIVED_CONTENT_RANGE, &REPLY_URL, &ERROR,
            &ERROR_CONTEXT, &CONTENT_RANGE, &CONTENT_LENGTH,
        ];
        let mut headers = HeaderMap::new();
        for (value, name) in &values {
            put(&mut headers, names[*name], value);
        }
        let _ = Packet::read(&headers);
        let _ = Ack::read(&headers);
    }

    #[test]
    fn any_range_is_read_or_refused(text in "bytes [0-9]{1,20}-[0-9]{1,20}/[0-9]{1,20}") {
        if let Some(range) = FragmentRange::parse(&text) {
            prop_assert!(range.end() <= range.total && range.length > 0);
            prop_assert_eq!(FragmentRange::parse(&range.to_string()), Some(range));
        }
    }
}
