//! Paths of instances: `\\server\root\ns:Class.Key="v",Key2=5` ([MS-WMI]
//! 2.2.2).

use crate::wsman::resource;

use super::Association;
use super::number::Number;
use super::reason::Expected;
use super::reason::Reason;
use super::token;

/// Reads a path whose first character is the `at`-th of the query. The server
/// has no effect: whoever was asked answers. The key of a class that has one
/// may stand without its name, and has an empty one then.
///
/// # Errors
///
/// [`Reason`] with a place in the query.
pub(super) fn read(path: &str, at: usize) -> Result<Association, Reason> {
    let mut cursor = Cursor { path, at, octet: 0 };
    let namespace = cursor.namespace();
    cursor.skip_space();
    let class = cursor.name(Expected::Class)?.to_owned();
    let keys = match cursor.next() {
        Some('.') => cursor.keys()?,
        Some('=') if cursor.rest().trim_start().starts_with('@') => {
            cursor.skip_space();
            cursor.next();
            Vec::new()
        }
        Some('=') => vec![(String::new(), cursor.value()?)],
        Some(_) => return Err(cursor.before().unexpected(Expected::Key)),
        None => return Err(cursor.unexpected(Expected::Key)),
    };
    cursor.skip_space();
    if !cursor.rest().is_empty() {
        return Err(cursor.unexpected(Expected::End));
    }
    Ok(Association {
        class,
        namespace,
        keys,
    })
}

struct Cursor<'p> {
    path: &'p str,
    /// The place of the first character of the path in the query.
    at: usize,
    octet: usize,
}

impl<'p> Cursor<'p> {
    fn rest(&self) -> &'p str {
        &self.path[self.octet..]
    }

    fn next(&mut self) -> Option<char> {
        let next = self.rest().chars().next()?;
        self.octet += next.len_utf8();
        Some(next)
    }

    /// One character back.
    fn before(&self) -> Self {
        let taken = &self.path[..self.octet];
        let last = taken.chars().next_back().map_or(0, char::len_utf8);
        Self {
            octet: self.octet - last,
            ..*self
        }
    }

    fn place(&self) -> usize {
        self.at + self.path[..self.octet].chars().count()
    }

    fn unexpected(&self, expected: Expected) -> Reason {
        Reason::Unexpected {
            at: self.place(),
            expected,
        }
    }

    fn skip_space(&mut self) {
        self.octet = self.path.len() - self.rest().trim_start().len();
    }

    /// What stands before the colon, without the server.
    fn namespace(&mut self) -> Option<String> {
        let name = self.path.find(['=', '"', '\'']).unwrap_or(self.path.len());
        let colon = self.path[..name].find(':')?;
        self.octet = colon + 1;
        let prefix = self.path[..colon].trim();
        let separators = ['\\', '/'];
        let below_server = ["\\\\", "//"]
            .iter()
            .find_map(|start| prefix.strip_prefix(start))
            .map(|rest| rest.split_once(separators).map_or("", |(_, rest)| rest));
        let namespace = resource::namespace(below_server.unwrap_or(prefix));
        (!namespace.is_empty()).then_some(namespace)
    }

    fn name(&mut self, expected: Expected) -> Result<&'p str, Reason> {
        let rest = self.rest();
        let end = rest.find(|c| !token::is_in_name(c)).unwrap_or(rest.len());
        let name = &rest[..end];
        if !token::is_name(name) {
            return Err(self.unexpected(expected));
        }
        self.octet += end;
        self.skip_space();
        Ok(name)
    }

    fn keys(&mut self) -> Result<Vec<(String, String)>, Reason> {
        let mut keys: Vec<(String, String)> = Vec::new();
        loop {
            self.skip_space();
            let name = self.name(Expected::Key)?;
            if !self.rest().starts_with('=') {
                return Err(self.unexpected(Expected::Keyword("=")));
            }
            self.octet += 1;
            if keys
                .iter()
                .any(|(other, _)| other.eq_ignore_ascii_case(name))
            {
                return Err(Reason::Twice(super::shorten(name)));
            }
            if keys.len() == MAX_KEYS {
                return Err(Reason::TooLong);
            }
            keys.push((name.to_owned(), self.value()?));
            self.skip_space();
            if !self.rest().starts_with(',') {
                return Ok(keys);
            }
            self.octet += 1;
        }
    }

    /// Text in quotation marks, a number, `TRUE` or `FALSE`.
    fn value(&mut self) -> Result<String, Reason> {
        self.skip_space();
        let rest = self.rest();
        if rest.starts_with(['"', '\'']) {
            let (value, octets) = token::quoted(rest, self.place())?;
            self.octet += octets;
            return Ok(value);
        }
        let end = rest
            .find(|c: char| c == ',' || c.is_whitespace())
            .unwrap_or(rest.len());
        let word = &rest[..end];
        let is_boolean = ["TRUE", "FALSE"]
            .iter()
            .any(|boolean| boolean.eq_ignore_ascii_case(word));
        if !is_boolean && Number::parse(word).is_none() {
            return Err(self.unexpected(Expected::Constant));
        }
        self.octet += end;
        Ok(word.to_owned())
    }
}

/// Keys of one instance; classes have one or two.
const MAX_KEYS: usize = 32;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(class: &str, namespace: Option<&str>, keys: &[(&str, &str)]) -> Association {
        Association {
            class: class.to_owned(),
            namespace: namespace.map(str::to_owned),
            keys: keys
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        }
    }

    #[test]
    fn a_path_names_class_keys_and_namespace() {
        let job = |namespace| path("Job", namespace, &[("Id", "{1}")]);
        for (text, wanted) in [
            (r#"Job.Id="{1}""#, job(None)),
            (r" Job . Id = '{1}' ", job(None)),
            (r#"root\ms\bits:Job.Id="{1}""#, job(Some("root/ms/bits"))),
            (r#"root/ms/bits:Job.Id="{1}""#, job(Some("root/ms/bits"))),
            (r#"\\.\root\ms:Job.Id="{1}""#, job(Some("root/ms"))),
            (
                r#"\\server.example\root\ms:Job.Id="{1}""#,
                job(Some("root/ms")),
            ),
            (r#"//server/root:Job.Id="{1}""#, job(Some("root"))),
            (r#"\\server:Job.Id="{1}""#, job(None)),
            (r#":Job.Id="{1}""#, job(None)),
            (
                r#"F.A="x,\"y\"",B=-5,C='C:\\d:e',D=true"#,
                path(
                    "F",
                    None,
                    &[
                        ("A", r#"x,"y""#),
                        ("B", "-5"),
                        ("C", r"C:\d:e"),
                        ("D", "true"),
                    ],
                ),
            ),
            ("One=@", path("One", None, &[])),
            (r"root\x:One = @ ", path("One", Some("root/x"), &[])),
            (r#"Job="{1}""#, path("Job", None, &[("", "{1}")])),
            ("Job=7", path("Job", None, &[("", "7")])),
        ] {
            assert_eq!(read(text, 1), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn other_paths_are_refused_where_they_go_wrong() {
        use Expected::Class;
        use Expected::Constant;
        use Expected::End;
        use Expected::Key;
        for (text, at, expected) in [
            ("", 5, Class),
            ("Job", 8, Key),
            ("Job.", 9, Key),
            ("Job.Id", 11, Expected::Keyword("=")),
            ("Job.Id=", 12, Constant),
            ("Job.Id=x", 12, Constant),
            (r#"Job.Id="x" y"#, 16, End),
            (r#"Job.Id="x","#, 16, Key),
            ("Job=@x", 10, End),
            ("Job,Id=1", 8, Key),
            (r"root\x:.Id=1", 12, Class),
            ("é:É#", 8, Key),
        ] {
            let wanted = Reason::Unexpected { at, expected };
            assert_eq!(read(text, 5), Err(wanted), "{text}");
        }
        assert_eq!(
            read("Job.Id=1,ID=2", 1),
            Err(Reason::Twice("ID".to_owned()))
        );
        assert_eq!(read("Job.Id='x", 1), Err(Reason::Unclosed(8)));
        assert_eq!(read(r"Job.Id='\x'", 1), Err(Reason::Escape(9)));
        let many: Vec<String> = (0..40).map(|key| format!("K{key}=1")).collect();
        let many = format!("Job.{}", many.join(","));
        assert_eq!(read(&many, 1), Err(Reason::TooLong));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn arbitrary_text_is_a_path_or_none(text in "[\\\\/a:.=,'\"@1é ]{0,24}|\\PC{0,24}") {
            let _ = read(&text, 1);
        }
    }
}
