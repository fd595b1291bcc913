//! `ASSOCIATORS OF` and `REFERENCES OF` of WQL ([MS-WMI] 2.2.1).
//!
//! What narrows the answer is checked and has no effect: no class here is an
//! association, so that nothing is left to be narrowed.

use crate::cim::Comparison;

use super::Association;
use super::object_path;
use super::reason::Expected;
use super::reason::Feature;
use super::reason::Reason;
use super::token;
use super::token::Kind;
use super::tokens::Tokens;

/// What is asked for around an instance.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Around {
    /// The instances at the other ends.
    Associators,
    /// The associations themselves.
    References,
}

/// Reads what comes after the first word: `OF {path} WHERE keywords`.
///
/// # Errors
///
/// [`Reason`].
pub(super) fn read(tokens: &mut Tokens<'_>, around: Around) -> Result<Association, Reason> {
    tokens.need_word("OF")?;
    let Some(Kind::ObjectPath(path)) = tokens.peek() else {
        return Err(tokens.unexpected(Expected::ObjectPath));
    };
    // After the brace.
    let at = tokens.place() + 1;
    tokens.advance();
    let mut is_for_classes = false;
    if tokens.take_word("WHERE") {
        is_for_classes = narrowing(tokens, around)?;
    }
    tokens.end()?;
    // There the path is one of a class.
    if is_for_classes {
        return Err(Reason::NotSupported(Feature::Classes));
    }
    object_path::read(path, at)
}

/// One keyword or more, nothing between them; whether one asks for classes.
fn narrowing(tokens: &mut Tokens<'_>, around: Around) -> Result<bool, Reason> {
    let mut seen: Vec<&str> = Vec::new();
    loop {
        let known = KEYWORDS
            .iter()
            .find(|keyword| tokens.is_word(keyword.name) && keyword.is_of(around));
        let Some(keyword) = known else {
            return Err(tokens.unexpected(Expected::Keyword("ResultClass")));
        };
        if seen.contains(&keyword.name) {
            return Err(Reason::Twice(keyword.name.to_owned()));
        }
        seen.push(keyword.name);
        tokens.advance();
        if keyword.has_value {
            if !tokens.take(&Kind::Operator(Comparison::Equal)) {
                return Err(tokens.unexpected(Expected::Keyword("=")));
            }
            value(tokens)?;
        }
        if tokens.is_end() {
            let is_for_classes = |name: &&str| matches!(*name, "ClassDefsOnly" | "SchemaOnly");
            return Ok(seen.iter().any(is_for_classes));
        }
    }
}

/// A name, in quotation marks or without.
fn value(tokens: &mut Tokens<'_>) -> Result<(), Reason> {
    match tokens.peek() {
        Some(Kind::Word(name)) if token::is_name(name) => {}
        Some(Kind::Text(name)) if token::is_name(name.trim()) => {}
        _ => return Err(tokens.unexpected(Expected::Name)),
    }
    tokens.advance();
    Ok(())
}

struct Keyword {
    name: &'static str,
    has_value: bool,
    only: Option<Around>,
}

impl Keyword {
    const fn new(name: &'static str, has_value: bool, only: Option<Around>) -> Self {
        Self {
            name,
            has_value,
            only,
        }
    }

    fn is_of(&self, around: Around) -> bool {
        self.only.is_none_or(|only| only == around)
    }
}

const KEYWORDS: [Keyword; 9] = [
    Keyword::new("AssocClass", true, Some(Around::Associators)),
    Keyword::new("ResultClass", true, None),
    Keyword::new("ResultRole", true, Some(Around::Associators)),
    Keyword::new("Role", true, None),
    Keyword::new("RequiredQualifier", true, None),
    Keyword::new("RequiredAssocQualifier", true, Some(Around::Associators)),
    Keyword::new("KeysOnly", false, None),
    Keyword::new("ClassDefsOnly", false, None),
    Keyword::new("SchemaOnly", false, None),
];
