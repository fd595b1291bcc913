//! The words of WQL ([MS-WMI] 2.2.1).

use crate::cim::Comparison;

use super::number::Number;
use super::reason::Expected;
use super::reason::Reason;

/// A word and its place.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token<'t> {
    /// The character of the query that it begins with, counted from 1.
    pub(super) at: usize,
    /// What it is.
    pub(super) kind: Kind<'t>,
}

/// What a word is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind<'t> {
    /// A keyword or a name, names with a dot between them included.
    Word(&'t str),
    /// Text in quotation marks, escapes resolved.
    Text(String),
    /// Text in quotation marks after `LIKE`, where nothing is escaped.
    Pattern(&'t str),
    /// A number, and what was written.
    Number(Number, &'t str),
    /// What stands between braces: the path of an object.
    ObjectPath(&'t str),
    /// `=` and so on.
    Operator(Comparison),
    /// `(`
    Open,
    /// `)`
    Close,
    /// `,`
    Comma,
    /// `*`
    Star,
    /// `;`
    Semicolon,
}

/// Takes a query apart.
///
/// # Errors
///
/// [`Reason`]: a character that no word begins with, quotation marks and
/// braces that are not closed, a backslash that escapes nothing.
pub(super) fn read(text: &str) -> Result<Vec<Token<'_>>, Reason> {
    let mut scanner = Scanner {
        rest: text,
        place: 1,
    };
    let mut tokens = Vec::new();
    let mut is_after_like = false;
    loop {
        scanner.skip_space();
        let at = scanner.place;
        let Some(kind) = scanner.next(is_after_like)? else {
            return Ok(tokens);
        };
        is_after_like = matches!(kind, Kind::Word(word) if word.eq_ignore_ascii_case("LIKE"));
        tokens.push(Token { at, kind });
    }
}

/// Reads text in quotation marks, which `text` begins with: what it means, and
/// how many octets it takes. A backslash escapes itself and both quotation
/// marks. `at` is the place of the first character.
///
/// # Errors
///
/// [`Reason::Unclosed`], [`Reason::Escape`].
pub(super) fn quoted(text: &str, at: usize) -> Result<(String, usize), Reason> {
    let mut characters = text.char_indices();
    let open = characters.next().map(|(_, character)| character);
    let mut meant = String::new();
    let mut place = at;
    while let Some((index, character)) = characters.next() {
        place += 1;
        if Some(character) == open {
            return Ok((meant, index + character.len_utf8()));
        }
        if character != '\\' {
            meant.push(character);
            continue;
        }
        match characters.next() {
            Some((_, escaped @ ('\\' | '\'' | '"'))) => meant.push(escaped),
            Some(_) => return Err(Reason::Escape(place)),
            None => return Err(Reason::Unclosed(at)),
        }
        place += 1;
    }
    Err(Reason::Unclosed(at))
}

/// A name can go on with this character; with letters of other scripts, too.
pub(super) fn is_in_name(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Whether `text` is the name of a class, a property or a qualifier.
pub(super) fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| is_in_name(c) && !c.is_numeric()) && text.chars().all(is_in_name)
}

struct Scanner<'t> {
    rest: &'t str,
    /// Of the first character of the rest.
    place: usize,
}

impl<'t> Scanner<'t> {
    fn next(&mut self, is_after_like: bool) -> Result<Option<Kind<'t>>, Reason> {
        let Some(first) = self.rest.chars().next() else {
            return Ok(None);
        };
        let kind = match first {
            '\'' | '"' if is_after_like => self.pattern(first)?,
            '\'' | '"' => {
                let (meant, octets) = quoted(self.rest, self.place)?;
                self.take(octets);
                Kind::Text(meant)
            }
            '{' => self.object_path()?,
            '0'..='9' | '.' | '-' | '+' => self.number()?,
            _ if is_in_name(first) => self.word(),
            _ => self.symbol()?,
        };
        Ok(Some(kind))
    }

    fn skip_space(&mut self) {
        let space = self.rest.len() - self.rest.trim_start().len();
        self.take(space);
    }

    /// Passes over so many octets.
    fn take(&mut self, octets: usize) -> &'t str {
        let (taken, rest) = self.rest.split_at(octets);
        self.rest = rest;
        self.place += taken.chars().count();
        taken
    }

    fn pattern(&mut self, quote: char) -> Result<Kind<'t>, Reason> {
        let inside = self.rest.get(1..).unwrap_or_default();
        let length = inside.find(quote).ok_or(Reason::Unclosed(self.place))?;
        self.take(length + 2);
        Ok(Kind::Pattern(&inside[..length]))
    }

    /// Up to the brace that closes and is in no quotation marks.
    fn object_path(&mut self) -> Result<Kind<'t>, Reason> {
        let unclosed = Reason::Unclosed(self.place);
        let mut open = None;
        let mut characters = self.rest.char_indices();
        while let Some((index, character)) = characters.next() {
            match (open, character) {
                (None, '}') => {
                    let path = &self.rest[1..index];
                    self.take(index + 1);
                    return Ok(Kind::ObjectPath(path));
                }
                (None, '\'' | '"') => open = Some(character),
                (Some(quote), _) if quote == character => open = None,
                (Some(_), '\\') => {
                    characters.next();
                }
                _ => {}
            }
        }
        Err(unclosed)
    }

    fn number(&mut self) -> Result<Kind<'t>, Reason> {
        let mut previous = ' ';
        let mut is_in_number = |character: char| {
            let is_sign = matches!(character, '-' | '+');
            let is_in = character.is_ascii_alphanumeric()
                || matches!(character, '.' | '_')
                || (is_sign && matches!(previous, ' ' | 'e' | 'E'));
            previous = character;
            is_in
        };
        let end = self
            .rest
            .find(|c| !is_in_number(c))
            .unwrap_or(self.rest.len());
        let wrong = Reason::Unexpected {
            at: self.place,
            expected: Expected::Number,
        };
        let text = self.take(end);
        let number = Number::parse(text).ok_or(wrong)?;
        Ok(Kind::Number(number, text))
    }

    fn word(&mut self) -> Kind<'t> {
        let end = self
            .rest
            .find(|c| !is_in_name(c) && c != '.')
            .unwrap_or(self.rest.len());
        Kind::Word(self.take(end))
    }

    fn symbol(&mut self) -> Result<Kind<'t>, Reason> {
        let (_, kind) = SYMBOLS
            .iter()
            .find(|(symbol, _)| self.rest.starts_with(symbol))
            .ok_or(Reason::Unexpected {
                at: self.place,
                expected: Expected::Word,
            })
            .map(|(symbol, kind)| (self.take(symbol.len()), kind.clone()))?;
        Ok(kind)
    }
}

/// Those that begin others come after them.
const SYMBOLS: [(&str, Kind<'static>); 12] = [
    ("<=", Kind::Operator(Comparison::LessOrEqual)),
    (">=", Kind::Operator(Comparison::GreaterOrEqual)),
    ("<>", Kind::Operator(Comparison::NotEqual)),
    ("!=", Kind::Operator(Comparison::NotEqual)),
    ("=", Kind::Operator(Comparison::Equal)),
    ("<", Kind::Operator(Comparison::Less)),
    (">", Kind::Operator(Comparison::Greater)),
    ("(", Kind::Open),
    (")", Kind::Close),
    (",", Kind::Comma),
    ("*", Kind::Star),
    (";", Kind::Semicolon),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<Kind<'_>> {
        let tokens = read(text).expect("words");
        tokens.into_iter().map(|token| token.kind).collect()
    }

    fn text(text: &str) -> Kind<'_> {
        Kind::Text(text.to_owned())
    }

    #[test]
    fn words_have_their_places_in_characters() {
        let tokens = read(" é.x\t>= 'ü'\n-12").expect("words");
        let places: Vec<usize> = tokens.iter().map(|token| token.at).collect();
        assert_eq!(places, [2, 6, 9, 13]);
        assert_eq!(tokens[0].kind, Kind::Word("é.x"));
        assert_eq!(tokens[1].kind, Kind::Operator(Comparison::GreaterOrEqual));
        assert_eq!(tokens[2].kind, text("ü"));
        assert!(matches!(&tokens[3].kind, Kind::Number(number, "-12") if number.floor == -12));
    }

    #[test]
    fn operators_need_no_space_around_them() {
        assert_eq!(
            kinds("a<>b"),
            [
                Kind::Word("a"),
                Kind::Operator(Comparison::NotEqual),
                Kind::Word("b")
            ]
        );
        assert_eq!(kinds("(a,*);").len(), 6);
        assert_eq!(kinds("a>-1").len(), 3);
        assert_eq!(kinds("a=1e-3").len(), 3);
    }

    #[test]
    fn a_backslash_escapes_itself_and_both_quotation_marks() {
        assert_eq!(kinds(r"'a\\b'"), [text(r"a\b")]);
        assert_eq!(kinds(r#"'it\'s "so"'"#), [text(r#"it's "so""#)]);
        assert_eq!(kinds(r#""it's \"so\"""#), [text(r#"it's "so""#)]);
        assert_eq!(kinds("''"), [text("")]);
        assert_eq!(read(r"x 'C:\temp'"), Err(Reason::Escape(6)));
        assert_eq!(read(r"x 'a\"), Err(Reason::Unclosed(3)));
    }

    #[test]
    fn nothing_is_escaped_after_like() {
        assert_eq!(kinds(r"like 'C:\'")[1], Kind::Pattern(r"C:\"));
        assert_eq!(kinds(r#"LIKE "a'\\_""#)[1], Kind::Pattern(r"a'\\_"));
        assert_eq!(kinds(r"'a\\b' like")[0], text(r"a\b"));
        assert_eq!(read("LIKE 'a"), Err(Reason::Unclosed(6)));
    }

    #[test]
    fn braces_close_outside_of_quotation_marks() {
        assert_eq!(
            kinds(r#"{A.B="}\"}"} x"#),
            [Kind::ObjectPath(r#"A.B="}\"}""#), Kind::Word("x")]
        );
        assert_eq!(read("of {A"), Err(Reason::Unclosed(4)));
        assert_eq!(read(r#"of {A="}"#), Err(Reason::Unclosed(4)));
    }

    #[test]
    fn other_characters_are_refused_where_they_stand() {
        for (text, wanted) in [
            ("a # b", 3),
            ("a 12x", 3),
            ("a 1.2.3", 3),
            ("!", 1),
            ("a}", 2),
        ] {
            let Err(Reason::Unexpected { at, .. }) = read(text) else {
                panic!("{text}");
            };
            assert_eq!(at, wanted, "{text}");
        }
    }

    #[test]
    fn names_begin_with_a_letter() {
        for name in ["A", "_x1", "été"] {
            assert!(is_name(name), "{name}");
        }
        for other in ["", "1a", "a.b", "a-b", "a b"] {
            assert!(!is_name(other), "{other}");
        }
    }
}
