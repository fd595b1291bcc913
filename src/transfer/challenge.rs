//! The challenges in `WWW-Authenticate` and `Proxy-Authenticate` (RFC 9110
//! 11.6.1, 11.7.1), taken apart. Pure.

/// One challenge.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Challenge {
    /// The scheme, in lower case.
    pub(super) scheme: String,
    /// What stands behind it: a token, or parameters.
    pub(super) rest: String,
}

/// Names and values.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Parameters(Vec<(String, String)>);

impl Challenge {
    /// The challenges of all headers of an answer.
    pub(super) fn all<'a>(headers: impl Iterator<Item = &'a str>) -> Vec<Self> {
        let challenges = headers.flat_map(split).take(MAX_CHALLENGES);
        challenges
            .map(|text| {
                let (scheme, rest) = text.split_once([' ', '\t']).unwrap_or((text, ""));
                Self {
                    scheme: scheme.to_ascii_lowercase(),
                    rest: rest.trim().to_owned(),
                }
            })
            .collect()
    }

    /// Its parameters.
    pub(super) fn parameters(&self) -> Parameters {
        Parameters::read(&self.rest)
    }
}

impl Parameters {
    /// Reads `name=value` or `name="value"`, separated by commas. What is
    /// neither is passed over.
    pub(super) fn read(text: &str) -> Self {
        let mut found = Vec::new();
        for part in parts(text).take(MAX_PARAMETERS) {
            if let Some((name, value)) = part.split_once('=') {
                found.push((name.trim().to_ascii_lowercase(), unquoted(value.trim())));
            }
        }
        Self(found)
    }

    /// The first value of a name.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(own, _)| own == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// One header may hold several challenges, parted by the same commas as the
/// parameters of each: a part that begins with a word and no `=` begins a
/// challenge.
fn split(header: &str) -> Vec<&str> {
    let mut starts = Vec::new();
    for (start, part) in parts_at(header) {
        let word = part
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '-')
            .unwrap_or(part.len());
        let (word, after) = part.split_at(word);
        if !word.is_empty() && !after.trim_start().starts_with('=') {
            starts.push(start);
        }
    }
    let ends = starts.iter().skip(1).copied().chain([header.len()]);
    starts
        .iter()
        .zip(ends)
        .filter_map(|(start, end)| header.get(*start..end))
        .map(|challenge| challenge.trim_matches([' ', ',', '\t']))
        .collect()
}

fn parts(text: &str) -> impl Iterator<Item = &str> {
    parts_at(text).into_iter().map(|(_, part)| part)
}

/// What stands between commas outside of quotes, trimmed, and where it begins.
fn parts_at(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let (mut start, mut quoted, mut escaped) = (0, false, false);
    let commas = text.bytes().enumerate().filter_map(|(at, octet)| {
        match octet {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => return Some(at),
            _ => {}
        }
        None
    });
    for end in commas.chain([text.len()]) {
        let part = text.get(start..end).unwrap_or("");
        let trimmed = part.trim_start();
        let begin = start + (part.len() - trimmed.len());
        if !trimmed.is_empty() {
            found.push((begin, trimmed.trim_end()));
        }
        start = end + 1;
    }
    found
}

/// A value without its quotes, if it has any.
fn unquoted(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"') else {
        return value.to_owned();
    };
    let mut text = String::new();
    let mut chars = inner.chars();
    while let Some(char) = chars.next() {
        match char {
            '"' => break,
            '\\' => text.extend(chars.next()),
            char => text.push(char),
        }
    }
    text
}

/// Challenges of one answer.
const MAX_CHALLENGES: usize = 32;

/// Parameters of one challenge.
const MAX_PARAMETERS: usize = 32;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn several_challenges_in_one_header_are_told_apart() {
        let headers = [
            "Negotiate, Basic realm=\"a, Digest b=\\\"c\", NTLM",
            "Digest realm=\"x\" , nonce = \"n\",qop=\"auth\", NTLM TlRMTVNTUAA=",
        ];
        let all = Challenge::all(headers.into_iter());
        let shown: Vec<_> = all
            .iter()
            .map(|own| format!("{}|{}", own.scheme, own.rest))
            .collect();
        assert_eq!(
            shown,
            [
                "negotiate|",
                "basic|realm=\"a, Digest b=\\\"c\"",
                "ntlm|",
                "digest|realm=\"x\" , nonce = \"n\",qop=\"auth\"",
                "ntlm|TlRMTVNTUAA=",
            ]
        );
        let parameters = all[3].parameters();
        assert_eq!(parameters.value("nonce"), Some("n"));
        assert_eq!(parameters.value("qop"), Some("auth"));
        let parameters = all[1].parameters();
        assert_eq!(parameters.value("realm"), Some("a, Digest b=\"c"));
    }

    proptest! {
        #[test]
        fn any_header_is_taken_apart(header in "\\PC*", inner in ".*") {
            let headers = [header.clone(), format!("Digest {inner}"), format!("Basic a={header}")];
            for challenge in Challenge::all(headers.iter().map(String::as_str)) {
                let _ = challenge.parameters();
            }
        }
    }
}
