//! Digest (RFC 7616): what a server asks, and the answer. Pure.
//!
//! Of the algorithms all those of RFC 7616 6.1 are taken, MD5 too, each with
//! `-sess`; of the qualities of protection `auth`, or none where the server is
//! of the time of RFC 2069.

use std::fmt::Write as _;

use aws_lc_rs::digest;
use md5::Digest as _;
use md5::Md5;
use zeroize::Zeroizing;

use super::challenge::Parameters;

/// What a server asks, and how often it was answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Prompt {
    realm: String,
    nonce: String,
    opaque: Option<String>,
    algorithm: Algorithm,
    /// Without the octets after it an answer is that of RFC 2069.
    has_quality: bool,
    hides_user: bool,
    /// The last answer was right but for its nonce.
    pub(super) stale: bool,
    /// Answers to this nonce.
    count: u32,
}

/// How secrets are hashed; a better one is greater.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Algorithm {
    hash: Hash,
    is_session: bool,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Hash {
    Md5,
    Sha256,
    Sha512To256,
}

/// What is asked for, and by whom.
pub(super) struct Asking<'a> {
    /// The account.
    pub(super) user: &'a str,
    /// Its password.
    pub(super) password: &'a str,
    /// The method of the request.
    pub(super) method: &'a str,
    /// Its target, as in the request line.
    pub(super) target: &'a str,
    /// `cnonce`, at random.
    pub(super) client_nonce: &'a str,
}

impl Prompt {
    /// Reads the parameters of a challenge; none when it cannot be answered.
    pub(super) fn read(parameters: &Parameters) -> Option<Self> {
        let quality = parameters.value("qop");
        if quality.is_some_and(|quality| !list(quality).any(|one| is(one, "auth"))) {
            return None;
        }
        Some(Self {
            realm: parameters.value("realm")?.to_owned(),
            nonce: parameters.value("nonce")?.to_owned(),
            opaque: parameters.value("opaque").map(str::to_owned),
            algorithm: Algorithm::read(parameters.value("algorithm"))?,
            has_quality: quality.is_some(),
            hides_user: parameters
                .value("userhash")
                .is_some_and(|value| is(value, "true")),
            stale: parameters
                .value("stale")
                .is_some_and(|value| is(value, "true")),
            count: 0,
        })
    }

    /// The better of two is the greater.
    pub(super) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Is this the same nonce?
    pub(super) fn repeats(&self, other: &Self) -> bool {
        self.nonce == other.nonce
    }

    /// Takes `nextnonce` of `Authentication-Info` (RFC 7616 3.5).
    pub(super) fn take_next_nonce(&mut self, info: &Parameters) {
        if let Some(nonce) = info.value("nextnonce")
            && nonce != self.nonce
        {
            nonce.clone_into(&mut self.nonce);
            self.count = 0;
        }
    }

    /// The next answer, without the name of the scheme.
    pub(super) fn answer(&mut self, asking: &Asking<'_>) -> String {
        self.count = self.count.saturating_add(1);
        let Asking {
            user,
            password,
            method,
            target,
            client_nonce,
        } = asking;
        let hash = self.algorithm.hash;
        let nonce = &self.nonce;
        let account = Zeroizing::new(format!("{user}:{}:{password}", self.realm));
        let mut secret = Zeroizing::new(hash.of(&account));
        if self.algorithm.is_session {
            let session = Zeroizing::new(format!("{}:{nonce}:{client_nonce}", *secret));
            secret = Zeroizing::new(hash.of(&session));
        }
        let request = hash.of(&format!("{method}:{target}"));
        let count = format!("{:08x}", self.count);
        let middle = if self.has_quality {
            format!("{nonce}:{count}:{client_nonce}:auth")
        } else {
            nonce.clone()
        };
        let whole = Zeroizing::new(format!("{}:{middle}:{request}", *secret));
        let response = hash.of(&whole);

        let shown = if self.hides_user {
            hash.of(&format!("{user}:{}", self.realm))
        } else {
            (*user).to_owned()
        };
        let mut answer = format!(
            "username={}, realm={}, nonce={}, uri={}, algorithm={}, response=\"{response}\"",
            quoted(&shown),
            quoted(&self.realm),
            quoted(nonce),
            quoted(target),
            self.algorithm.name(),
        );
        if self.has_quality {
            let _ = write!(
                answer,
                ", qop=auth, nc={count}, cnonce={}",
                quoted(client_nonce)
            );
        }
        if let Some(opaque) = &self.opaque {
            let _ = write!(answer, ", opaque={}", quoted(opaque));
        }
        if self.hides_user {
            answer.push_str(", userhash=true");
        }
        answer
    }
}

impl Algorithm {
    fn read(text: Option<&str>) -> Option<Self> {
        let Some(text) = text else {
            return Some(Self {
                hash: Hash::Md5,
                is_session: false,
            });
        };
        ALGORITHMS
            .iter()
            .find(|(name, _)| is(text, name))
            .map(|(_, algorithm)| *algorithm)
    }

    fn name(self) -> &'static str {
        let found = ALGORITHMS.iter().find(|(_, own)| *own == self);
        found.map_or("MD5", |(name, _)| name)
    }
}

impl Hash {
    /// In lower-case hexadecimal digits.
    fn of(self, text: &str) -> String {
        let hex = |octets: &[u8]| {
            octets.iter().fold(String::new(), |mut digits, octet| {
                let _ = write!(digits, "{octet:02x}");
                digits
            })
        };
        match self {
            Self::Md5 => hex(&Md5::digest(text.as_bytes())),
            Self::Sha256 => hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref()),
            Self::Sha512To256 => hex(digest::digest(&digest::SHA512_256, text.as_bytes()).as_ref()),
        }
    }
}

/// A quoted string (RFC 9110 5.6.4).
fn quoted(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{escaped}\"")
}

fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim)
}

fn is(text: &str, word: &str) -> bool {
    text.eq_ignore_ascii_case(word)
}

const fn algorithm(hash: Hash, is_session: bool) -> Algorithm {
    Algorithm { hash, is_session }
}

const ALGORITHMS: &[(&str, Algorithm)] = &[
    ("MD5", algorithm(Hash::Md5, false)),
    ("MD5-sess", algorithm(Hash::Md5, true)),
    ("SHA-256", algorithm(Hash::Sha256, false)),
    ("SHA-256-sess", algorithm(Hash::Sha256, true)),
    ("SHA-512-256", algorithm(Hash::Sha512To256, false)),
    ("SHA-512-256-sess", algorithm(Hash::Sha512To256, true)),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn prompt(text: &str) -> Option<Prompt> {
        Prompt::read(&Parameters::read(text))
    }

    /// The examples of RFC 7616 3.9.
    const NONCE: &str = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";

    fn mufasa(client_nonce: &str) -> Asking<'_> {
        Asking {
            user: "Mufasa",
            password: "Circle of Life",
            method: "GET",
            target: "/dir/index.html",
            client_nonce,
        }
    }

    #[test]
    fn the_examples_of_3_9_1() {
        for (algorithm, response) in [
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            (
                "SHA-256",
                "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
            ),
        ] {
            let mut prompt = prompt(&format!(
                "realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm={algorithm}, \
                 nonce=\"{NONCE}\", opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
            ))
            .expect("a good challenge");
            let nonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
            let answer = prompt.answer(&mufasa(nonce));
            assert!(
                answer.contains(&format!("response=\"{response}\"")),
                "{answer}"
            );
            assert!(answer.contains("nc=00000001") && answer.contains("qop=auth,"));
            assert!(answer.contains("opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""));
            assert!(prompt.answer(&mufasa(nonce)).contains("nc=00000002"));
        }
    }

    #[test]
    fn the_user_is_hidden_where_the_server_wishes_it() {
        // 3.9.2, whose printed values are wrong (erratum 4897): these are as
        // Python's hashlib has them.
        let mut prompt = prompt(
            "realm=\"api@example.org\", qop=\"auth\", algorithm=SHA-512-256, \
             nonce=\"5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK\", charset=UTF-8, \
             opaque=\"HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS\", userhash=true",
        )
        .expect("a good challenge");
        let answer = prompt.answer(&Asking {
            user: "J\u{e4}s\u{f8}n Doe",
            password: "Secret, or not?",
            method: "GET",
            target: "/doe.json",
            client_nonce: "NTg6RKcb9boFIAS3KrFK9BGeh+niz/sm",
        });
        let user = "793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b";
        let response = "7a4e1192babbba02e91182d2895bfdbf7adafc6e48d4e517ca301974843d840c";
        assert!(answer.contains(&format!("username=\"{user}\"")), "{answer}");
        assert!(
            answer.contains(&format!("response=\"{response}\"")),
            "{answer}"
        );
        assert!(answer.ends_with("userhash=true"));
    }

    #[test]
    fn a_server_without_quality_of_protection_gets_the_answer_of_rfc_2069() {
        let mut prompt = prompt("realm=\"r\", nonce=\"n\"").expect("good");
        let answer = prompt.answer(&mufasa("c"));
        // H(H("Mufasa:r:Circle of Life") ":n:" H("GET:/dir/index.html")).
        let expected = Hash::Md5.of(&format!(
            "{}:n:{}",
            Hash::Md5.of("Mufasa:r:Circle of Life"),
            Hash::Md5.of("GET:/dir/index.html")
        ));
        assert!(answer.contains(&expected) && !answer.contains("qop"));
    }

    #[test]
    fn the_next_nonce_is_counted_anew() {
        let mut prompt = prompt("realm=\"r\", nonce=\"n\", qop=auth").expect("good");
        prompt.answer(&mufasa("c"));
        prompt.take_next_nonce(&Parameters::read("qop=auth, nextnonce=\"m\""));
        let answer = prompt.answer(&mufasa("c"));
        assert!(answer.contains("nonce=\"m\"") && answer.contains("nc=00000001"));
    }

    #[test]
    fn what_cannot_be_answered_is_no_prompt() {
        for wrong in [
            "nonce=\"n\"",
            "realm=\"r\"",
            "realm=\"r\", nonce=\"n\", qop=\"auth-int\"",
            "realm=\"r\", nonce=\"n\", algorithm=SHA-1",
        ] {
            assert_eq!(prompt(wrong), None, "{wrong}");
        }
        let stale = prompt("realm=\"r\", nonce=\"n\", stale=TRUE").expect("good");
        assert!(stale.stale);
    }

    #[test]
    fn names_are_quoted() {
        let mut prompt = prompt("realm=\"a\\\"b\", nonce=\"n\"").expect("good");
        let mut asking = mufasa("c");
        asking.user = "DOMAIN\\user";
        let answer = prompt.answer(&asking);
        assert!(answer.starts_with("username=\"DOMAIN\\\\user\", realm=\"a\\\"b\""));
    }
}
