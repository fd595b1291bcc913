use super::super::Seal as _;
use super::super::Sealed;
use super::super::fake::FakeSeal;
use super::*;

const SPNEGO: &[u8] = b"multipart/encrypted;\
    protocol=\"application/HTTP-SPNEGO-session-encrypted\";boundary=\"Encrypted Boundary\"";
const KERBEROS: &[u8] = b"multipart/encrypted;\
    protocol=\"application/HTTP-Kerberos-session-encrypted\";boundary=\"Encrypted Boundary\"";
const CREDSSP: &[u8] = b"multipart/encrypted;\
    protocol=\"application/HTTP-CredSSP-session-encrypted\";boundary=\"Encrypted Boundary\"";
const MULTI: &[u8] = b"multipart/x-multi-encrypted;\
    protocol=\"application/HTTP-CredSSP-session-encrypted\";boundary=\"Encrypted Boundary\"";

fn parsed(content_type: &[u8]) -> ContentType {
    ContentType::parse(content_type).expect("a sealed body's")
}

fn taken<'a>(content_type: &[u8], body: &'a [u8]) -> Result<Body<'a>, Malformed> {
    read(&parsed(content_type), body)
}

/// The one message of a body, not opened.
fn only<'a>(content_type: &[u8], body: &'a [u8]) -> (&'a str, usize, &'a [u8]) {
    let body = taken(content_type, body).expect("a sealed body");
    assert_eq!(body.pieces.len(), 1);
    let piece = body.pieces[0];
    (body.content_type, piece.length, piece.octets)
}

/// An answer in the way of a request: a message of `length` octets, sealed as
/// `octets`, the first `signature` of which are its signature.
fn answered(request: &Body<'_>, length: usize, signature: u32, octets: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new(&request.style, request.content_type, length);
    let sealed = Sealed {
        signature,
        octets: octets.to_vec(),
    };
    writer.push(length, &sealed);
    writer.end()
}

/// What pypsrp 0.9.1 makes of `<x/>` with a context that turns each octet over
/// (XOR 0x55) behind a signature of 4 octets.
const PYPSRP: &[u8] = b"--Encrypted Boundary\r\n\
    \tContent-Type: application/HTTP-SPNEGO-session-encrypted\r\n\
    \tOriginalContent: type=application/soap+xml;charset=UTF-8;Length=4\r\n\
    --Encrypted Boundary\r\n\
    \tContent-Type: application/octet-stream\r\n\
    \x04\0\0\0SIGNi-zk--Encrypted Boundary--\r\n";

#[test]
fn pypsrp_and_pywinrm_are_read() {
    // Both write the same, but for the type and the protocol that they name.
    let soap = "application/soap+xml;charset=UTF-8";
    assert_eq!(only(SPNEGO, PYPSRP), (soap, 4, b"SIGNi-zk".as_slice()));
    let body = taken(SPNEGO, PYPSRP).expect("a sealed body");
    assert_eq!(body.style.indentation, "\t");
    assert_eq!(body.style.protocol, Protocol::Spnego);
    let text = String::from_utf8(PYPSRP.to_vec()).expect("ASCII");
    let kerberos = text.replace("SPNEGO", "Kerberos").into_bytes();
    assert_eq!(only(KERBEROS, &kerberos).2, b"SIGNi-zk");
    assert_eq!(taken(SPNEGO, &kerberos), Err(Malformed::Parts));
    assert_eq!(taken(KERBEROS, PYPSRP), Err(Malformed::Parts));
}

#[test]
fn an_answer_is_octet_for_octet_what_pypsrp_writes() {
    let body = taken(SPNEGO, PYPSRP).expect("a sealed body");
    assert_eq!(answered(&body, 4, 4, b"SIGNi-zk"), PYPSRP);
    let content_type = body.style.content_type(Media::Single);
    assert_eq!(content_type.as_bytes(), SPNEGO);
}

#[test]
fn libmi_is_read_and_answered_without_a_tab() {
    // OMI's httpclientauth.c fills up with NUL to 16 octets, and counts them.
    let libmi = b"--Encrypted Boundary\r\n\
        Content-Type: application/HTTP-SPNEGO-session-encrypted\r\n\
        OriginalContent: type=application/soap+xml;charset=UTF-8;Length=16\r\n\
        --Encrypted Boundary\r\n\
        Content-Type: application/octet-stream\r\n\
        \x10\0\0\0sixteen octets!!0123456789abcdef--Encrypted Boundary--\r\n";
    let body = taken(SPNEGO, libmi).expect("a sealed body");
    let piece = body.pieces[0];
    let opened = b"<x>abcd</x>\0\0\0\0\0".to_vec();
    assert_eq!(piece.cut(opened.clone()), Ok(opened));
    assert_eq!(body.style.indentation, "");
    assert_eq!(answered(&body, 16, 16, piece.octets), libmi);
}

#[test]
fn winrb_ends_with_a_delimiter_like_any_other() {
    let winrb = b"--Encrypted Boundary\r\n\
        Content-Type: application/HTTP-Kerberos-session-encrypted\r\n\
        OriginalContent: type=application/soap+xml;charset=UTF-8;Length=5\r\n\
        --Encrypted Boundary\r\n\
        Content-Type: application/octet-stream\r\n\
        \x04\0\0\0SIGNi-zk\x01--Encrypted Boundary\r\n";
    assert_eq!(only(KERBEROS, winrb).2, b"SIGNi-zk\x01");
    // It counts what Kerberos' old ciphers fill a block with (RC4: one octet).
    let piece = taken(KERBEROS, winrb).expect("a sealed body").pieces[0];
    assert_eq!(piece.cut(b"<x/>".to_vec()), Ok(b"<x/>".to_vec()));
    assert_eq!(
        piece.cut(b"<x/>\0".to_vec()),
        Ok(b"<x/>\0".to_vec()),
        "the context has not taken it off"
    );
}

#[test]
fn winrm_rs_puts_a_line_end_before_the_last_delimiter() {
    let rust = b"--Encrypted Boundary\r\n\
        Content-Type: application/HTTP-SPNEGO-session-encrypted\r\n\
        OriginalContent: type=application/soap+xml;charset=UTF-8;Length=4\r\n\
        --Encrypted Boundary\r\n\
        Content-Type: application/octet-stream\r\n\
        \x04\0\0\0SIGNi-zk\r\n--Encrypted Boundary--\r\n";
    assert_eq!(only(SPNEGO, rust).2, b"SIGNi-zk");
    // Where the length says that it is sealed, it is.
    let text = String::from_utf8(rust.to_vec()).expect("ASCII");
    let longer = text.replace("Length=4", "Length=6").into_bytes();
    assert_eq!(only(SPNEGO, &longer).2, b"SIGNi-zk\r\n");
}

#[test]
fn openwec_and_gosammwr_are_read() {
    // UTF-16, Kerberos' header of 60 octets, no TAB.
    let mut body = b"--Encrypted Boundary\r\n\
        Content-Type: application/HTTP-Kerberos-session-encrypted\r\n\
        OriginalContent: type=application/soap+xml;charset=UTF-16;Length=6\r\n\
        --Encrypted Boundary\r\n\
        Content-Type: application/octet-stream\r\n\
        \x3c\0\0\0"
        .to_vec();
    body.extend_from_slice(&[7; 60]);
    body.extend_from_slice(b"sealed--Encrypted Boundary--\r\n");
    let (content_type, length, octets) = only(KERBEROS, &body);
    assert_eq!(content_type, "application/soap+xml;charset=UTF-16");
    assert_eq!((length, octets.len()), (6, 66));
}

#[test]
fn the_documentation_prints_blanks_where_others_have_none() {
    let printed = b"-- Encrypted Boundary\r\n\
        \tContent-Type: application/HTTP-SPNEGO-session-encrypted\r\n\
        \toriginalcontent: type=application/soap+xml; charset=UTF-8; length=4\r\n\
        -- Encrypted Boundary\r\n\
        \tcontent-type: Application/Octet-Stream\r\n\
        \x04\0\0\0SIGNi-zk-- Encrypted Boundary--";
    let (content_type, length, octets) = only(SPNEGO, printed);
    assert_eq!(content_type, "application/soap+xml; charset=UTF-8");
    assert_eq!((length, octets), (4, b"SIGNi-zk".as_slice()));
    for end in ["--Encrypted Boundary", "--Encrypted Boundary\r\n"] {
        let mut body = printed[..printed.len() - 23].to_vec();
        body.extend_from_slice(end.as_bytes());
        assert_eq!(only(SPNEGO, &body).2, b"SIGNi-zk", "{end:?}");
    }
}

#[test]
fn a_header_is_indented_as_in_the_request() {
    for indentation in ["", "\t", " ", "    "] {
        let text = String::from_utf8(PYPSRP.to_vec()).expect("ASCII");
        let body = text.replace('\t', indentation).into_bytes();
        let read = taken(SPNEGO, &body).expect("a sealed body");
        assert_eq!(read.style.indentation, indentation);
        let mut writer = Writer::new(&read.style, read.content_type, 4);
        let octets = read.pieces[0].octets.to_vec();
        let signature = 4;
        writer.push(4, &Sealed { signature, octets });
        assert_eq!(writer.end(), body);
    }
}

#[test]
fn a_boundary_in_the_sealed_octets_ends_nothing() {
    for sealed in [
        "--Encrypted Boundary",
        "--Encrypted Boundary--",
        "--Encrypted Boundary--\r\n",
        "\r\n--Encrypted Boundary\r\n",
        "\r\n",
        "--",
        "- ",
        "--Encrypted Boundary\r\n\tContent-Type: application/octet-stream\r\n",
    ] {
        let text = String::from_utf8(PYPSRP.to_vec()).expect("ASCII");
        let length = format!("Length={}", sealed.len());
        let body = text.replace("i-zk", sealed).replace("Length=4", &length);
        let expected = format!("SIGN{sealed}");
        assert_eq!(only(SPNEGO, body.as_bytes()).2, expected.as_bytes());
    }
}

/// A body of pieces as `CredSSP` has them: TLS records.
fn pieces(plain: &[&[u8]]) -> Vec<u8> {
    let mut seal = FakeSeal::new(Parts::Pieces);
    let style = Style {
        protocol: Protocol::CredSsp,
        boundary: "Encrypted Boundary".to_owned(),
        indentation: "\t".to_owned(),
    };
    let mut writer = Writer::new(&style, "application/soap+xml;charset=UTF-8", 0);
    for piece in plain {
        writer.push(piece.len(), &seal.seal(piece).expect("sealed"));
    }
    writer.end()
}

#[test]
fn pieces_end_where_their_tls_records_do() {
    // XOR with the key of the fake makes the delimiter of this one.
    let delimiter: Vec<u8> = b"--Encrypted Boundary--\r\n"
        .iter()
        .map(|octet| octet ^ 0x55)
        .collect();
    let plain: [&[u8]; 3] = [&[b'a'; PIECE], &delimiter, b"c"];
    let body = pieces(&plain);
    let read = taken(MULTI, &body).expect("a sealed body");
    let mut seal = FakeSeal::new(Parts::Pieces);
    for (piece, plain) in read.pieces.iter().zip(plain) {
        let opened = seal.open(piece.octets).expect("opened");
        assert_eq!(piece.cut(opened), Ok(plain.to_vec()));
    }
    assert_eq!(read.pieces.len(), 3);
    assert_eq!(
        taken(CREDSSP, &body),
        Err(Malformed::Parts),
        "that type is for one"
    );
    assert!(taken(CREDSSP, &pieces(&[b"one"])).is_ok());
    assert!(taken(MULTI, &pieces(&[b"one"])).is_ok());
}

#[test]
fn a_piece_can_be_several_records() {
    let text = String::from_utf8(PYPSRP.to_vec()).expect("ASCII");
    let text = text.replace("SPNEGO", "CredSSP");
    let records = "\x17\x03\x01\0\x01a\x17\x03\x01\0\x03bcd";
    let body = text.replace("SIGNi-zk", records);
    assert_eq!(only(CREDSSP, body.as_bytes()).2, records.as_bytes());
    for wrong in [
        "",
        "\x17\x03\x01\0\x02a",
        "\x17\x03\x01\x7f\x7fa",
        "\x17\x03",
        "abc",
    ] {
        let body = text.replace("SIGNi-zk", wrong);
        assert_eq!(taken(CREDSSP, body.as_bytes()), Err(Malformed::Parts));
    }
}

#[test]
fn pieces_of_whole_messages_end_where_their_length_says() {
    let text = String::from_utf8(PYPSRP.to_vec()).expect("ASCII");
    let multi = String::from_utf8(SPNEGO.to_vec()).expect("ASCII");
    let multi = multi.replace("multipart/", "multipart/x-multi-");
    let first = text.strip_suffix("--Encrypted Boundary--\r\n");
    let body = [first.expect("the end"), &text].concat();
    let read = taken(multi.as_bytes(), body.as_bytes()).expect("a sealed body");
    assert!(
        read.pieces
            .iter()
            .all(|piece| piece.octets == b"SIGNi-zk" && piece.length == 4)
    );
    assert_eq!(read.pieces.len(), 2);
    let other = body.replacen("UTF-8", "UTF-16", 1);
    assert_eq!(
        taken(multi.as_bytes(), other.as_bytes()),
        Err(Malformed::Parts)
    );
}

#[test]
fn a_message_has_the_length_that_it_should_have() {
    let piece = Piece {
        length: 4,
        may_be_filled: false,
        octets: b"",
    };
    let cut = |plain: &[u8]| piece.cut(plain.to_vec());
    assert_eq!(cut(b"<x/>"), Ok(b"<x/>".to_vec()));
    assert_eq!(cut(b"<x/>\0\0\0"), Ok(b"<x/>".to_vec()));
    for wrong in [b"<x/".as_slice(), b"", b"<x/>\0x", b"<x/> "] {
        assert_eq!(cut(wrong), Err(Malformed::Length), "{wrong:?}");
    }
    let filled = Piece {
        length: 20,
        may_be_filled: true,
        octets: b"",
    };
    assert_eq!(filled.cut(vec![b'x'; 12]), Ok(vec![b'x'; 12]));
    assert_eq!(filled.cut(vec![b'x'; 11]), Err(Malformed::Length));
}

#[test]
fn what_is_no_sealed_body_is_refused() {
    let text = String::from_utf8(PYPSRP.to_vec()).expect("ASCII");
    let long = "x".repeat(600);
    let cases = [
        ("--Encrypted Boundary\r\n", "--Other\r\n"),
        ("Length=4", "Length=-4"),
        ("Length=4", "Length=+4"),
        ("Length=4", "Length="),
        ("Length=4", "Length=99999999999"),
        ("Length=4", "Length=4;charset=UTF-8"),
        (";Length=4", ""),
        ("OriginalContent: type=", "OriginalContent: kind="),
        ("\tOriginalContent", "\tX: y\r\n\tX"),
        ("charset=UTF-8", "charset=UTF\n-8"),
        ("charset=UTF-8", "charset=\u{e4}"),
        ("octet-stream", "octets"),
        ("octet-stream\r\n", "octet-stream\n"),
        ("--\r\n", "--\r\nx"),
        ("--\r\n", "-\r\n"),
        ("charset=UTF-8", &long),
        (
            "\tContent-Type: application/HTTP",
            "Content-Type application/HTTP",
        ),
        ("SIGNi-zk", ""),
        ("\x04\0\0\0SIGNi-zk", "\x01\0"),
    ];
    for (from, to) in cases {
        let body = text.replace(from, to);
        assert_ne!(body, text, "{from:?}");
        let read = taken(SPNEGO, body.as_bytes());
        if (from, to) == ("SIGNi-zk", "") {
            // Not for the framing to say: no context takes it.
            assert!(read.is_ok());
            continue;
        }
        assert_eq!(read, Err(Malformed::Parts), "{from:?} to {to:?}");
    }
    for cut in 0..PYPSRP.len() - 4 {
        assert_eq!(
            taken(SPNEGO, &PYPSRP[..cut]),
            Err(Malformed::Parts),
            "{cut}"
        );
    }
    assert_eq!(
        taken(SPNEGO, b"--Encrypted Boundary--\r\n"),
        Err(Malformed::Parts)
    );
}

#[test]
fn headers_and_pieces_have_limits() {
    let text = String::from_utf8(PYPSRP.to_vec()).expect("ASCII");
    let many = format!("Boundary\r\n{}\tContent-Type", "\tX: y\r\n".repeat(20));
    let body = text.replacen("Boundary\r\n\tContent-Type", &many, 1);
    assert_eq!(taken(SPNEGO, body.as_bytes()), Err(Malformed::Parts));
    let some = many.replacen(&"\tX: y\r\n".repeat(10), "", 1);
    let body = text.replacen("Boundary\r\n\tContent-Type", &some, 1);
    assert!(taken(SPNEGO, body.as_bytes()).is_ok());
    let many = |count| pieces(&vec![b"x".as_slice(); count]);
    assert!(taken(MULTI, &many(1_024)).is_ok());
    assert_eq!(taken(MULTI, &many(1_025)), Err(Malformed::Parts));
    let wide = text.replace('\t', "         ");
    assert_eq!(taken(SPNEGO, wide.as_bytes()), Err(Malformed::Parts));
}

#[test]
fn content_type_is_read_however_it_is_written() {
    let expected = parsed(SPNEGO);
    for text in [
        "Multipart/Encrypted; Protocol=\"application/http-spnego-session-encrypted\"; \
            BOUNDARY=\"Encrypted Boundary\"",
        "multipart/encrypted;boundary=Encrypted Boundary;\
            protocol=application/HTTP-SPNEGO-session-encrypted",
        "multipart/encrypted ;charset=x;boundary = \"Encrypted Boundary\" ;; \
            protocol= application/HTTP-SPNEGO-session-encrypted ;",
    ] {
        assert_eq!(parsed(text.as_bytes()), expected, "{text}");
        assert!(is_sealed(text.as_bytes()));
    }
    assert_eq!(parsed(MULTI).media, Media::Multiple);
    let long = format!(
        "multipart/encrypted;boundary={};\
            protocol=application/HTTP-SPNEGO-session-encrypted",
        "x".repeat(71)
    );
    let longer = format!("{};x={}", String::from_utf8_lossy(SPNEGO), "y".repeat(512));
    for text in [
        "multipart/encrypted",
        "multipart/encrypted;protocol=\"application/HTTP-SPNEGO-session-encrypted\"",
        "multipart/encrypted;boundary=\"Encrypted Boundary\"",
        "multipart/encrypted;boundary=\"x\";protocol=\"application/HTTP-Digest-session-encrypted\"",
        "multipart/encrypted;boundary=\"\";protocol=\"application/HTTP-SPNEGO-session-encrypted\"",
        "multipart/encrypted;boundary=\"a\u{7f}\";\
            protocol=\"application/HTTP-SPNEGO-session-encrypted\"",
        "multipart/encrypted;boundary=a;boundary=b;\
            protocol=\"application/HTTP-SPNEGO-session-encrypted\"",
        &long,
        &longer,
    ] {
        let parsed = ContentType::parse(text.as_bytes());
        assert_eq!(parsed, Err(Malformed::ContentType), "{text}");
    }
    for text in ["application/soap+xml;charset=UTF-8", "multipart/mixed", ""] {
        assert!(!is_sealed(text.as_bytes()), "{text}");
    }
}

proptest::proptest! {
    /// Whatever is sealed, and whatever the sealed octets look like.
    #[test]
    fn what_is_written_is_read_back(
        pieces in proptest::collection::vec(
            proptest::collection::vec(proptest::num::u8::ANY, 1..300), 1..5),
        indentation in "[ \t]{0,8}",
        boundary in "[0-9A-Za-z'()+_,./:=?-]([0-9A-Za-z'()+_,./:=? -]{0,68}[0-9A-Za-z'-])?",
        protocol in 0..3_usize,
    ) {
        let protocol = [Protocol::Spnego, Protocol::Kerberos, Protocol::CredSsp][protocol];
        let style = Style { protocol, boundary, indentation };
        let mut seal = FakeSeal::new(protocol.parts());
        let mut writer = Writer::new(&style, "text/xml;charset=utf-8", 0);
        for piece in &pieces {
            writer.push(piece.len(), &seal.seal(piece).expect("sealed"));
        }
        let body = writer.end();
        let media = if pieces.len() == 1 { Media::Single } else { Media::Multiple };
        let content_type = parsed(style.content_type(media).as_bytes());
        let read = read(&content_type, &body).expect("our own");
        proptest::prop_assert_eq!(&read.style, &style);
        let mut seal = FakeSeal::new(protocol.parts());
        let opened: Vec<Vec<u8>> = read.pieces.iter().map(|piece| {
            piece.cut(seal.open(piece.octets).expect("opened")).expect("as long as it says")
        }).collect();
        proptest::prop_assert_eq!(opened, pieces);
    }

    #[test]
    fn any_octets_are_a_sealed_body_or_not(
        content_type: Vec<u8>,
        octets: Vec<u8>,
        at in 0..PYPSRP.len(),
        octet: u8,
    ) {
        let _ = ContentType::parse(&content_type);
        let mut changed = PYPSRP.to_vec();
        changed[at] = octet;
        for (content_type, body) in [(SPNEGO, &octets), (MULTI, &octets), (SPNEGO, &changed)] {
            if let Ok(body) = taken(content_type, body) {
                for piece in body.pieces {
                    let _ = piece.cut(octets.clone());
                }
            }
        }
    }
}
