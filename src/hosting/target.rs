//! What a URL below an upload folder names. Pure.

use crate::bits::JobId;

/// What a URL below an upload folder names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Target {
    /// A file: its path below the folder.
    File(String),
    /// The reply to an upload.
    Reply(JobId),
}

/// The URL names nothing that a file could be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct NoTarget;

impl Target {
    /// Reads what follows the folder's path in a URL.
    ///
    /// # Errors
    ///
    /// [`NoTarget`] when it names a folder, or cannot be the path of a file.
    pub(crate) fn parse(rest: &str) -> Result<Self, NoTarget> {
        let mut parts = Vec::new();
        for part in rest.split('/') {
            parts.push(decode(part)?);
        }
        if let Some(id) = reply(&parts) {
            return Ok(Self::Reply(id));
        }
        if parts.iter().any(|part| part == SESSIONS) || !parts.iter().all(|part| is_name(part)) {
            return Err(NoTarget);
        }
        let path = parts.join("/");
        (path.len() <= MAX_PATH)
            .then_some(Self::File(path))
            .ok_or(NoTarget)
    }
}

/// `BITS-Reply-URL` of an upload, as Windows writes it: relative to the upload
/// folder, with back-slashes ([MC-BUP] 4.2).
pub(super) fn reply_url(id: JobId) -> String {
    format!("{SESSIONS}\\{REPLIES}\\{id}\\{REPLY_FILE}")
}

/// Clients take the URL of a reply as relative to the upload folder or to the
/// URL of their upload, and some leave the back-slashes as they are.
fn reply(parts: &[String]) -> Option<JobId> {
    let last: Vec<&str> = parts.iter().flat_map(|part| part.split('\\')).collect();
    match last.as_slice() {
        [.., sessions, replies, id, file]
            if sessions.eq_ignore_ascii_case(SESSIONS)
                && replies.eq_ignore_ascii_case(REPLIES)
                && file.eq_ignore_ascii_case(REPLY_FILE) =>
        {
            id.parse().ok()
        }
        _ => None,
    }
}

fn is_name(part: &str) -> bool {
    !matches!(part, "" | "." | "..")
        && part.len() <= MAX_NAME
        && !part.contains('/')
        && !part.chars().any(char::is_control)
}

/// Takes `%41` for what it stands for. What is then no UTF-8 names no file.
fn decode(part: &str) -> Result<String, NoTarget> {
    let mut octets = Vec::with_capacity(part.len());
    let mut rest = part.bytes();
    while let Some(octet) = rest.next() {
        if octet != b'%' {
            octets.push(octet);
            continue;
        }
        let mut digit = || (rest.next()? as char).to_digit(16);
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err(NoTarget);
        };
        octets.push(u8::try_from(high * 16 + low).map_err(|_| NoTarget)?);
    }
    String::from_utf8(octets).map_err(|_| NoTarget)
}

/// Kept for replies: no upload lies in a folder of this name.
const SESSIONS: &str = "BITS-Sessions";
const REPLIES: &str = "Replies";
const REPLY_FILE: &str = "responsefile.bin";

/// Octets of a path below the folder, and of one name in it.
const MAX_PATH: usize = 2_048;
const MAX_NAME: usize = 255;

/// Feeds what follows a folder's path in a URL: what is a file stays below it.
#[cfg(fuzzing)]
pub(crate) fn fuzz(octets: &[u8]) {
    let Ok(text) = std::str::from_utf8(octets) else {
        return;
    };
    match Target::parse(text) {
        Ok(Target::File(path)) => {
            assert!(path.len() <= MAX_PATH && path.split('/').all(is_name));
        }
        Ok(Target::Reply(id)) => {
            assert_eq!(Target::parse(&reply_url(id)), Ok(Target::Reply(id)));
        }
        Err(NoTarget) => {}
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_decoded_once() {
        let file = |rest| Target::parse(rest);
        assert_eq!(file("x.txt"), Ok(Target::File("x.txt".to_owned())));
        assert_eq!(file("a%20b/%C3%A4"), Ok(Target::File("a b/ä".to_owned())));
        assert_eq!(file("%2541"), Ok(Target::File("%41".to_owned())));
    }

    #[test]
    fn folders_and_ways_out_are_no_targets() {
        for rest in [
            "",
            "/",
            "a/",
            "a//b",
            "..",
            "a/../b",
            "%2e%2e/b",
            "a%2Fb",
            "a%00",
            "%",
            "%4",
            "%zz",
            "%FF",
            "a%0Ab",
            "BITS-Sessions/x",
        ] {
            assert_eq!(Target::parse(rest), Err(NoTarget), "{rest}");
        }
        assert_eq!(Target::parse(&"a".repeat(256)), Err(NoTarget));
    }

    #[test]
    fn a_reply_is_found_by_each_form_of_its_url() {
        let id = JobId::new();
        let shown = reply_url(id);
        let quoted = format!("%7B{}%7D", id.to_string().trim_matches(['{', '}']));
        for rest in [
            shown.clone(),
            shown.replace('\\', "/"),
            shown.replace('\\', "%5C"),
            format!("sub/BITS-Sessions/Replies/{quoted}/responsefile.bin"),
        ] {
            assert_eq!(Target::parse(&rest), Ok(Target::Reply(id)), "{rest}");
        }
    }

    proptest! {
        #[test]
        fn what_is_a_file_stays_below_its_folder(rest in "[a./%25EF0-]{0,30}") {
            if let Ok(Target::File(path)) = Target::parse(&rest) {
                prop_assert!(path.split('/').all(|part| !matches!(part, "" | "." | "..")));
            }
        }
    }
}
