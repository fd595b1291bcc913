use std::time::Duration;
use std::time::SystemTime;

use proptest::prelude::*;
use rc4::StreamCipher as _;

use super::acceptor::Acceptor;
use super::acceptor::FileTime;
use super::acceptor::Host;
use super::av_pairs::AvPairs;
use super::client::Client;
use super::client::SEALING;
use super::flags::Flags;
use super::initiator::message;
use super::keys;
use super::keys::Key;
use super::keys::Sender;
use super::message::Authenticate;
use super::message::Challenge;
use super::message::MessageError;
use super::message::Negotiate;
use super::message::utf16;
use super::seal::Context;
use crate::mechanism::Seal as _;
use crate::mechanism::SealError;
use crate::mechanism::SecurityContext as _;

/// 4.2.1.
const NONCE: [u8; 8] = [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef];

fn session_key() -> Key {
    Key::new([0x55; 16])
}

fn hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    let octets = (0..digits.len()).step_by(2);
    octets
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal"))
        .collect()
}

fn key(text: &str) -> Key {
    Key::new(hex(text).try_into().expect("16 octets"))
}

/// `temp` of 4.2.4.1.3.
fn proved() -> Vec<u8> {
    hex("0101000000000000 0000000000000000 aaaaaaaaaaaaaaaa 00000000
         02000c00 44006f006d00610069006e00 01000c00 530065007200760065007200
         00000000 00000000")
}

#[test]
fn the_keys_are_those_of_4_2_2_to_4_2_4() {
    let nt_hash = keys::nt_hash("Password");
    assert_eq!(nt_hash, key("a4f49c406510bdcab6824ee7c30fd852"));
    assert_eq!(keys::upper_case("User"), ["USER", "USER"]);
    let response_key = keys::response_key(&nt_hash, "USER", "Domain");
    assert_eq!(response_key, key("0c868a403bfd7a93a3001ef22ef02e3f"));
    let proof = keys::proof(&response_key, NONCE, &proved());
    assert_eq!(proof, key("68cd0ab851e51c96aabc927bebef6a1c"));
    let base = keys::session_base_key(&response_key, &proof);
    assert_eq!(base, key("8de40ccadbc14a82f15cb0ad0de95ca3"));
    let encrypted = keys::exchanged(&base, &session_key());
    assert_eq!(encrypted, key("c5dad2544fc9799094ce1ce90bc9d03e"));
    assert_eq!(keys::exchanged(&base, &encrypted), session_key());

    let strong = Flags::KEY_128 | Flags::KEY_56;
    for (sender, flags, seal_key) in [
        (Sender::Client, strong, "59f600973cc4960a25480a7c196e4c58"),
        (Sender::Server, strong, "9355f3a957c1583d25c4c2f11e40390e"),
        (
            Sender::Client,
            Flags::KEY_56,
            "a5f7253c1065e8d3d68642040e71cfe0",
        ),
        (
            Sender::Server,
            Flags::KEY_56,
            "583e2f98959b385cd158f3734b5f5d3f",
        ),
        (Sender::Client, Flags(0), "42f964a471091a02ff4a77455366e4e5"),
        (Sender::Server, Flags(0), "c5d3853b406b7c1241c595f0ce0750e2"),
    ] {
        assert_eq!(keys::seal_key(flags, &session_key(), sender), key(seal_key));
    }
    let sign_key = keys::sign_key(&session_key(), Sender::Client);
    assert_eq!(sign_key, key("4788dc861b4782f35d43fd98fe1a2d39"));
    let sign_key = keys::sign_key(&session_key(), Sender::Server);
    assert_eq!(sign_key, key("d04d6f10741041d1d246d64188d7a8ad"));
}

#[test]
fn a_message_is_sealed_as_in_4_2_4_4() {
    let flags = Flags(0xe28a_8233);
    let (mut client, mut server) = pair(flags);
    let sealed = client.seal(&utf16("Plaintext")).expect("sealed");
    assert_eq!(sealed.signature, 16);
    assert_eq!(
        sealed.octets,
        hex("01000000 7fb38ec5c55d4976 00000000 54e50165bf1936dc996020c1811b0f06fb5f")
    );
    assert_eq!(server.open(&sealed.octets), Ok(utf16("Plaintext")));

    let without_exchange = Flags(flags.0 & !Flags::KEY_EXCHANGE.0);
    let (mut client, _) = pair(without_exchange);
    let sealed = client.seal(&utf16("Plaintext")).expect("sealed");
    assert_eq!(
        sealed.octets,
        hex("01000000 70352851f2564309 00000000 54e50165bf1936dc996020c1811b0f06fb5f")
    );
}

#[test]
fn keys_of_56_bit_are_those_of_4_2_3_4_and_seal_nothing() {
    let flags = Flags(0x820a_8233);
    let exchange_key = key("eb93429a8bd952f8b89c55b87f475edc");
    let seal_key = keys::seal_key(flags, &exchange_key, Sender::Client);
    assert_eq!(seal_key, key("04dd7f014d8504d265a25cc86a3a7c06"));
    let sign_key = keys::sign_key(&exchange_key, Sender::Client);
    assert_eq!(sign_key, key("60e799be5c72fc92922ae8ebe961fb8d"));
    let mut sealed = utf16("Plaintext");
    keys::cipher(&seal_key).apply_keystream(&mut sealed);
    assert_eq!(sealed, hex("a02372f6530273f3aa1eb90190ce5200c99d"));

    let mut context = Context::new(flags, &exchange_key, Sender::Client);
    assert_eq!(context.seal(b"x"), Err(SealError));
    assert_eq!(context.open(&[0; 20]), Err(SealError));
}

#[test]
fn the_hash_of_a_channel_is_that_of_the_published_example() {
    let certificate = "ea05fefecc6b0bd571dbbc5baa3ed45386d0446835f7b74c85621b9983475f95";
    let data = [b"tls-server-end-point:".as_slice(), &hex(certificate)].concat();
    let hash = hex("6586e99d81c2fc984e47172fd4dd0310");
    assert_eq!(keys::channel_hash(&data).as_slice(), hash);
}

#[test]
fn the_messages_of_4_2_4_3_are_read() {
    let challenge = hex(
        "4e544c4d53535000 02000000 0c000c0038000000 33828ae2 0123456789abcdef
         0000000000000000 2400240044000000 060070170000000f 530065007200760065007200
         02000c00 44006f006d00610069006e00 01000c00 530065007200760065007200 00000000",
    );
    let challenge = Challenge::decode(&challenge).expect("a good challenge");
    assert_eq!(challenge.nonce, NONCE);
    assert_eq!(challenge.target_name, utf16("Server"));
    assert_eq!(
        challenge.target_info.value(2),
        Some(utf16("Domain").as_slice())
    );
    assert_eq!(
        challenge.target_info.value(1),
        Some(utf16("Server").as_slice())
    );

    let mut authenticate = hex(
        "4e544c4d53535000 03000000 180018006c000000 5400540084000000 0c000c0048000000
         0800080054000000 100010005c000000 10001000d8000000 358288e2 0501280a0000000f
         44006f006d00610069006e00 5500730065007200 43004f004d0050005500540045005200
         86c35097ac9cec102554764a57cccc19aaaaaaaaaaaaaaaa 68cd0ab851e51c96aabc927bebef6a1c",
    );
    authenticate.extend_from_slice(&proved());
    authenticate.extend_from_slice(&hex("c5dad2544fc9799094ce1ce90bc9d03e"));
    let read = Authenticate::decode(&authenticate).expect("read");
    assert_eq!(
        (read.user.as_str(), read.domain.as_str()),
        ("User", "Domain")
    );
    assert_eq!(read.flags, Flags(0xe288_8235));
    assert_eq!(
        read.response.proof,
        *key("68cd0ab851e51c96aabc927bebef6a1c")
    );
    assert_eq!(read.response.proved, proved());
    assert_eq!(
        read.session_key,
        Some(*key("c5dad2544fc9799094ce1ce90bc9d03e"))
    );
    assert_eq!(read.mic_at, None);
    assert!(!read.response.announces_mic && read.response.channel.is_none());
}

#[test]
fn a_response_of_another_version_is_refused() {
    let part = |response: &[u8]| {
        let name = utf16("User");
        let parts = [
            vec![0; 24],
            response.to_vec(),
            name.clone(),
            name,
            vec![],
            vec![0; 16],
        ];
        Authenticate::decode(&message(Flags(SEALING), &parts, true)).map(|_| ())
    };
    let whole = [vec![0; 16], proved()].concat();
    assert_eq!(part(&whole), Ok(()));
    // NTLMv1, LM alone, NTLMv2 with nothing in it, and other versions.
    for response in [
        &[0; 24][..],
        &[],
        &whole[..43],
        &[[0; 16], [2; 16], [0; 16]].concat(),
    ] {
        assert_eq!(part(response), Err(MessageError::NotVersion2));
    }
}

#[test]
fn whoever_is_nobody_or_weak_is_refused() {
    let part = |flags: Flags, user: &str| {
        let response = [vec![0; 16], proved()].concat();
        let parts = [vec![], response, vec![], utf16(user), vec![], vec![0; 16]];
        Authenticate::decode(&message(flags, &parts, false)).map(|read| read.user)
    };
    let sealing = Flags(SEALING);
    assert_eq!(part(sealing, "User"), Ok("User".to_owned()));
    assert_eq!(part(sealing, ""), Err(MessageError::Anonymous));
    let anonymous = sealing | Flags::ANONYMOUS;
    assert_eq!(part(anonymous, "User"), Err(MessageError::Anonymous));
    let weak = Flags(SEALING & !Flags::EXTENDED_SESSION_SECURITY.0);
    assert_eq!(part(weak, "User"), Err(MessageError::Weak));
    let long = "x".repeat(257);
    assert_eq!(part(sealing, &long), Err(MessageError::TooLong("name")));
    assert_eq!(part(sealing, &long[1..]), Ok(long[1..].to_owned()));
}

#[test]
fn names_are_in_utf_16_or_in_the_code_page_of_the_client() {
    let part = |flags: u32, user: &[u8]| {
        let response = [vec![0; 16], proved()].concat();
        let parts = [vec![], response, vec![], user.to_vec(), vec![], vec![0; 16]];
        Authenticate::decode(&message(Flags(flags), &parts, false)).map(|read| read.user)
    };
    let oem = SEALING & !Flags::UNICODE.0;
    assert_eq!(
        part(SEALING, &utf16("jürgen 🔑")),
        Ok("jürgen 🔑".to_owned())
    );
    assert_eq!(part(oem, "jürgen".as_bytes()), Ok("jürgen".to_owned()));
    assert_eq!(part(oem, b"j\xfcrgen"), Ok("jürgen".to_owned()));
    assert_eq!(part(SEALING, b"alice"), Err(MessageError::Name));
    assert_eq!(part(SEALING, b"\x00\xd8x\x00"), Err(MessageError::Name));
}

#[test]
fn av_pairs_end_within_their_octets() {
    let pairs = AvPairs::decode(&hex("0600 0400 02000000 0000 0000 ffff")).expect("read");
    assert_eq!(pairs.value(6), Some(&[2, 0, 0, 0][..]));
    assert_eq!(
        AvPairs::decode(&hex("0600 0400 020000")),
        Err(MessageError::Cut)
    );
    assert_eq!(
        AvPairs::decode(&hex("0600 ffff 02000000")),
        Err(MessageError::Cut)
    );
    assert_eq!(AvPairs::decode(&[]), Ok(AvPairs::default()));
    let many = [1, 0, 0, 0].repeat(65);
    let error = AvPairs::decode(&many);
    assert_eq!(error, Err(MessageError::TooLong("list of AV pairs")));

    let with = |pairs: &str| {
        let response = [vec![0; 16], proved()[..28].to_vec(), hex(pairs)].concat();
        let parts = [vec![], response, vec![], utf16("User"), vec![], vec![0; 16]];
        Authenticate::decode(&message(Flags(SEALING), &parts, false)).map(|_| ())
    };
    assert_eq!(
        with("0a00 1000 00000000000000000000000000000000 00000000"),
        Ok(())
    );
    for wrong in [
        "0a00 0f00 000000000000000000000000000000",
        "0600 0300 020000",
        "0a00 2000 00",
    ] {
        assert_eq!(with(wrong), Err(MessageError::Cut), "{wrong}");
    }
}

#[test]
fn a_message_is_short_and_is_the_one_that_is_due() {
    let negotiate = Client::new("alice", "x").negotiate();
    assert_eq!(
        Negotiate::decode(&negotiate),
        Ok(Negotiate {
            flags: Flags(SEALING)
        })
    );
    let shortest = &negotiate[..16];
    assert!(Negotiate::decode(shortest).is_ok());
    assert_eq!(Negotiate::decode(&negotiate[..15]), Err(MessageError::Cut));
    assert_eq!(Negotiate::decode(b"NTLMSSP"), Err(MessageError::NotNtlm));
    assert_eq!(
        Negotiate::decode(b"`\x48\x06\x06+\x06"),
        Err(MessageError::NotNtlm)
    );
    assert_eq!(
        Authenticate::decode(&negotiate),
        Err(MessageError::OutOfTurn)
    );
    let mut long = negotiate;
    long.resize(1_024, 0);
    assert!(Negotiate::decode(&long).is_ok());
    long.push(0);
    assert_eq!(Negotiate::decode(&long), Err(MessageError::TooLong("body")));
    let mut long = super::message::head(super::message::AUTHENTICATE);
    long.resize(16 * 1_024 + 1, 0);
    let answer = Authenticate::decode(&long);
    assert_eq!(answer, Err(MessageError::TooLong("body")));
}

#[test]
fn an_exchange_has_two_messages_in_their_order() {
    let (client, host) = (Client::new("alice", "x"), Host::new("host"));
    let challenge_in = |acceptor: &mut Acceptor| {
        acceptor.challenge(&client.negotiate(), &host, NONCE, FileTime(0))
    };
    let mut acceptor = Acceptor::default();
    let challenge = challenge_in(&mut acceptor).expect("challenged");
    assert!(acceptor.has_challenged());
    assert_eq!(challenge_in(&mut acceptor), Err(MessageError::OutOfTurn));
    let (authenticate, _) = client.authenticate(&challenge);
    assert!(acceptor.claim(&authenticate).is_ok());
    let again = acceptor.claim(&authenticate).map(|_| ());
    assert_eq!(again, Err(MessageError::OutOfTurn));
    assert_eq!(challenge_in(&mut acceptor), Err(MessageError::OutOfTurn));

    let mut acceptor = Acceptor::default();
    challenge_in(&mut acceptor).expect("challenged");
    let twice = acceptor.claim(&client.negotiate()).map(|_| ());
    assert_eq!(twice, Err(MessageError::OutOfTurn));
    let late = acceptor.claim(&authenticate).map(|_| ());
    assert_eq!(late, Err(MessageError::OutOfTurn));
}

#[test]
fn a_host_is_named_within_the_limits_of_each_name() {
    let info = |name: &str| {
        let mut acceptor = Acceptor::default();
        let negotiate = Client::new("alice", "x").negotiate();
        let challenge = acceptor.challenge(&negotiate, &Host::new(name), NONCE, FileTime(7));
        let read = Challenge::decode(&challenge.expect("challenged")).expect("a good challenge");
        assert_eq!(
            read.target_info.value(7),
            Some(&[7, 0, 0, 0, 0, 0, 0, 0][..])
        );
        assert_eq!(read.target_info.value(1), read.target_info.value(2));
        assert_eq!(read.target_info.value(1), Some(read.target_name.as_slice()));
        let dns = read.target_info.value(3).expect("a name").to_vec();
        (read.target_name, dns)
    };
    let names = |net_bios: &str, dns: &str| (utf16(net_bios), utf16(dns));
    assert_eq!(info("web.example.org\n"), names("WEB", "web.example.org"));
    assert_eq!(info(""), names("LOCALHOST", "localhost"));
    let long = "a-very-long-name-of-a-host";
    assert_eq!(info(long), names("A-VERY-LONG-NAM", long));
    assert_eq!(info(&"x".repeat(9_999)).1.len(), 510);
}

#[test]
fn an_instant_counts_from_1601() {
    let epoch = SystemTime::UNIX_EPOCH;
    assert_eq!(FileTime::of(epoch), FileTime(116_444_736_000_000_000));
    let before = epoch - Duration::from_hours(3_234_576);
    assert_eq!(FileTime::of(before), FileTime(0));
    assert_eq!(FileTime::of(before - Duration::from_secs(1)), FileTime(0));
}

/// Client and server after a log-on.
fn pair(flags: Flags) -> (Context, Context) {
    (
        Context::new(flags, &session_key(), Sender::Client),
        Context::new(flags, &session_key(), Sender::Server),
    )
}

#[test]
fn a_replayed_message_is_refused_and_ends_the_context() {
    let (mut client, mut server) = pair(Flags(SEALING));
    let first = client.seal(b"first").expect("sealed").octets;
    let second = client.seal(b"second").expect("sealed").octets;
    assert_eq!(server.open(&first), Ok(b"first".to_vec()));
    assert_eq!(server.open(&first), Err(SealError));
    assert_eq!(server.open(&second), Err(SealError), "it is over");
}

#[test]
fn a_tampered_cut_or_swapped_message_is_refused() {
    for at in [0, 4, 11, 12, 15, 16, 20] {
        let (mut client, mut server) = pair(Flags(SEALING));
        let mut sealed = client.seal(b"first").expect("sealed").octets;
        sealed[at] ^= 1;
        assert_eq!(server.open(&sealed), Err(SealError), "{at}");
        sealed[at] ^= 1;
        assert_eq!(server.open(&sealed), Err(SealError), "{at}: it is over");
    }
    for length in [0, 15, 16, 20] {
        let (mut client, mut server) = pair(Flags(SEALING));
        let sealed = client.seal(b"first").expect("sealed").octets;
        assert_eq!(server.open(&sealed[..length]), Err(SealError), "{length}");
    }
    let (mut client, mut server) = pair(Flags(SEALING));
    client.seal(b"first").expect("sealed");
    let second = client.seal(b"second").expect("sealed").octets;
    assert_eq!(server.open(&second), Err(SealError));
    let (mut client, _) = pair(Flags(SEALING));
    let own = client.seal(b"first").expect("sealed").octets;
    assert_eq!(client.open(&own), Err(SealError), "sent back to the sender");
}

#[test]
fn messages_go_on_behind_the_signature_of_what_was_negotiated() {
    let (mut client, mut server) = pair(Flags(SEALING));
    let signature = client.sign(b"lists").expect("signed");
    assert_eq!(server.verify(b"lists", &signature), Ok(()));
    let sealed = client.seal(b"first").expect("sealed").octets;
    assert_eq!(sealed[12..16], [1, 0, 0, 0]);
    assert_eq!(server.open(&sealed), Ok(b"first".to_vec()));
    assert_eq!(server.seal(b"x").expect("sealed").octets[12..16], [0; 4]);

    // The stream would repeat itself.
    assert_eq!(client.sign(b"lists"), Err(SealError));
    let (mut client, mut server) = pair(Flags(SEALING));
    let signature = client.sign(b"lists").expect("signed");
    assert_eq!(server.verify(b"listz", &signature), Err(SealError));
    assert_eq!(
        server.verify(b"lists", &signature),
        Err(SealError),
        "it is over"
    );
    let (_, mut server) = pair(Flags(SEALING));
    assert_eq!(server.verify(b"lists", &signature[..15]), Err(SealError));
}

#[test]
fn only_what_was_agreed_on_is_sealed() {
    for (flags, may_seal, may_sign) in [
        (SEALING, true, true),
        (SEALING & !Flags::SIGN.0, true, true),
        (SEALING & !Flags::KEY_EXCHANGE.0, true, true),
        (SEALING & !Flags::SEAL.0, false, true),
        (SEALING & !Flags::KEY_128.0, false, true),
        (super::client::CURL, false, true),
        (Flags::EXTENDED_SESSION_SECURITY.0, false, false),
    ] {
        let (mut client, mut server) = pair(Flags(flags));
        let is_asked_to = flags & (Flags::SIGN | Flags::SEAL).0 != 0;
        assert_eq!(server.signs_by_key(), is_asked_to, "{flags:x}");
        let signature = client.sign(b"lists");
        assert_eq!(signature.is_ok(), may_sign, "{flags:x}");
        let verified = server.verify(b"lists", &signature.unwrap_or_default());
        assert_eq!(verified.is_ok(), may_sign, "{flags:x}");
        let sealed = client.seal(b"first");
        assert_eq!(sealed.is_ok(), may_seal, "{flags:x}");
        let opened = server.open(&sealed.map(|sealed| sealed.octets).unwrap_or_default());
        assert_eq!(opened.is_ok(), may_seal, "{flags:x}");
    }
}

proptest! {
    #[test]
    fn arbitrary_octets_never_panic(octets in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = Negotiate::decode(&octets);
        let _ = Authenticate::decode(&octets);
        let _ = AvPairs::decode(&octets);
        for kind in [1, 3] {
            let message = [super::message::head(kind), octets.clone()].concat();
            let _ = Negotiate::decode(&message);
            let _ = Authenticate::decode(&message);
        }
        let (_, mut server) = pair(Flags(SEALING));
        prop_assert!(server.open(&octets).is_err());
    }

    #[test]
    fn a_changed_octet_never_panics_and_never_logs_on(at in 0_usize..400, bit in 0_u8..8) {
        let client = Client::new("alice", "Password");
        let mut acceptor = Acceptor::default();
        let now = FileTime(1 << 56);
        let challenge = acceptor.challenge(&client.negotiate(), &Host::new("host"), NONCE, now);
        let (mut message, _) = client.authenticate(&challenge.expect("challenged"));
        let at = at % message.len();
        message[at] ^= 1 << bit;
        if let Ok(claim) = acceptor.claim(&message) {
            let hash = keys::nt_hash("Password");
            let checked = claim.check(&hash, super::IntegrityCode::Needed, now);
            prop_assert!(checked.is_err(), "{at}");
        }
    }

    #[test]
    fn a_message_written_is_read_back(
        user in "[a-zß🔑]{1,20}",
        domain in "\\PC{0,20}",
        flags in any::<u32>(),
        pairs in proptest::collection::vec((1_u16..20, proptest::collection::vec(any::<u8>(), 0..40)), 0..10),
        nonce in any::<[u8; 8]>(),
    ) {
        let mut target_info = AvPairs::default();
        for (kind, value) in pairs {
            target_info.push(kind, value);
        }
        let challenge = Challenge {
            flags: Flags(flags),
            nonce,
            target_name: utf16(&domain),
            target_info: target_info.clone(),
        };
        prop_assert_eq!(&Challenge::decode(&challenge.encode()).expect("a good challenge"), &challenge);
        prop_assert_eq!(AvPairs::decode(&target_info.encode()), Ok(target_info));

        let response = [vec![7; 16], proved()].concat();
        let parts = [vec![], response, utf16(&domain), utf16(&user), vec![], vec![9; 16]];
        let read = Authenticate::decode(&message(Flags(SEALING), &parts, true));
        let read = read.expect("read");
        prop_assert_eq!((read.user, read.domain), (user, domain));
        prop_assert_eq!((read.response.proof, read.session_key), ([7; 16], Some([9; 16])));
        prop_assert_eq!(read.mic_at, Some(72));
    }
}
