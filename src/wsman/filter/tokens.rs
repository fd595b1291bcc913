//! The words of a query that are still to be read.

use crate::cim::Comparison;

use super::reason::Expected;
use super::reason::Reason;
use super::token;
use super::token::Kind;
use super::token::Token;

/// The words that are left.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tokens<'t>(&'t [Token<'t>]);

impl<'t> Tokens<'t> {
    /// All of them.
    pub(super) fn new(tokens: &'t [Token<'t>]) -> Self {
        Self(tokens)
    }

    /// The next one.
    pub(super) fn peek(&self) -> Option<&'t Kind<'t>> {
        self.0.first().map(|token| &token.kind)
    }

    /// The place of the next one; 0 at the end.
    pub(super) fn place(&self) -> usize {
        self.0.first().map_or(0, |token| token.at)
    }

    /// Goes on after the next one.
    pub(super) fn advance(&mut self) {
        self.0 = self.0.get(1..).unwrap_or_default();
    }

    /// The next one is this keyword.
    pub(super) fn is_word(&self, keyword: &str) -> bool {
        matches!(self.peek(), Some(Kind::Word(word)) if word.eq_ignore_ascii_case(keyword))
    }

    /// Goes on after this keyword, if it comes next.
    pub(super) fn take_word(&mut self, keyword: &str) -> bool {
        let is_next = self.is_word(keyword);
        if is_next {
            self.advance();
        }
        is_next
    }

    /// Goes on after this symbol, if it comes next.
    pub(super) fn take(&mut self, symbol: &Kind<'_>) -> bool {
        let is_next = self.peek() == Some(symbol);
        if is_next {
            self.advance();
        }
        is_next
    }

    /// Goes on after this keyword.
    ///
    /// # Errors
    ///
    /// [`Reason`] when another word comes next; so below.
    pub(super) fn need_word(&mut self, keyword: &'static str) -> Result<(), Reason> {
        if self.take_word(keyword) {
            return Ok(());
        }
        Err(self.unexpected(Expected::Keyword(keyword)))
    }

    /// Goes on after a name without dots.
    pub(super) fn name(&mut self, expected: Expected) -> Result<&'t str, Reason> {
        match self.peek() {
            Some(Kind::Word(name)) if token::is_name(name) && !is_reserved(name) => {
                self.advance();
                Ok(name)
            }
            _ => Err(self.unexpected(expected)),
        }
    }

    /// Goes on after the name of a property, and of others below it after
    /// dots.
    pub(super) fn property(&mut self) -> Result<&'t str, Reason> {
        match self.peek() {
            Some(Kind::Word(word)) if word.split('.').all(token::is_name) && !is_reserved(word) => {
                self.advance();
                Ok(word)
            }
            _ => Err(self.unexpected(Expected::Property)),
        }
    }

    /// Goes on after an operator.
    pub(super) fn operator(&mut self) -> Result<Comparison, Reason> {
        match self.peek() {
            Some(Kind::Operator(operator)) => {
                self.advance();
                Ok(*operator)
            }
            _ => Err(self.unexpected(Expected::Operator)),
        }
    }

    /// Nothing is left but the semicolon that may end a query.
    pub(super) fn is_end(&self) -> bool {
        match self.0 {
            [] => true,
            [last] => last.kind == Kind::Semicolon,
            _ => false,
        }
    }

    /// Nothing is left.
    pub(super) fn end(&self) -> Result<(), Reason> {
        if self.is_end() {
            return Ok(());
        }
        Err(self.unexpected(Expected::End))
    }

    /// The next word is another one, or missing.
    pub(super) fn unexpected(&self, expected: Expected) -> Reason {
        match self.0.first() {
            Some(token) => Reason::Unexpected {
                at: token.at,
                expected,
            },
            None => Reason::EndsEarly(expected),
        }
    }
}

/// Words that are no names. Others of WQL may be: a property called `Group` is
/// told from the keyword by its place.
fn is_reserved(word: &str) -> bool {
    RESERVED
        .iter()
        .any(|reserved| reserved.eq_ignore_ascii_case(word))
}

const RESERVED: [&str; 11] = [
    "AND", "FALSE", "FROM", "IS", "ISA", "LIKE", "NOT", "NULL", "OR", "TRUE", "WHERE",
];
