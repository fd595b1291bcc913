//! WQL ([MS-WMI] 2.2.1).
//!
//! Queries for events and for classes are read to their end, so that whoever
//! writes one learns of mistakes in it first, and are refused then: an
//! enumeration answers neither.

use crate::cim::Comparison;

use super::Filter;
use super::FilterError;
use super::MAX_OCTETS;
use super::Names;
use super::Select;
use super::around;
use super::around::Around;
use super::expression::Budget;
use super::expression::Constant;
use super::expression::Expression;
use super::expression::Path;
use super::expression::mirrored;
use super::pattern;
use super::reason::Expected;
use super::reason::Feature;
use super::reason::Reason;
use super::reason::UNPARSABLE_QUERY;
use super::token;
use super::token::Kind;
use super::tokens::Tokens;

/// Reads a query.
///
/// # Errors
///
/// [`FilterError::Invalid`].
pub(super) fn parse(text: &str) -> Result<Filter, FilterError> {
    if text.len() > MAX_OCTETS {
        return Err(Reason::TooLong.into());
    }
    let tokens = token::read(text)?;
    let mut parser = Parser {
        tokens: Tokens::new(&tokens),
        budget: Budget::default(),
        is_for_events: false,
    };
    parser.query().map_err(|reason| {
        if parser.is_for_events && reason.is_syntax() {
            let status = UNPARSABLE_QUERY;
            return FilterError::Invalid { status, reason };
        }
        reason.into()
    })
}

/// The text begins like a query, and like nothing that `XPath` has.
pub(super) fn is_query(text: &str) -> bool {
    let mut words = text.split_whitespace();
    let is = |word: Option<&str>, keyword| word.is_some_and(|w| w.eq_ignore_ascii_case(keyword));
    let (first, second) = (words.next(), words.next());
    let is_around = is(first, "ASSOCIATORS") || is(first, "REFERENCES");
    (is(first, "SELECT") && second.is_some()) || (is_around && is(second, "OF"))
}

struct Parser<'t> {
    tokens: Tokens<'t>,
    budget: Budget,
    /// It has been seen that the query is one for events.
    is_for_events: bool,
}

impl Parser<'_> {
    fn query(&mut self) -> Result<Filter, Reason> {
        for (keyword, around) in [
            ("ASSOCIATORS", Around::Associators),
            ("REFERENCES", Around::References),
        ] {
            if self.tokens.take_word(keyword) {
                return around::read(&mut self.tokens, around).map(Filter::Association);
            }
        }
        self.tokens.need_word("SELECT")?;
        self.select().map(Filter::Select)
    }

    fn select(&mut self) -> Result<Select, Reason> {
        let columns = if self.tokens.take(&Kind::Star) {
            None
        } else {
            Some(self.names()?)
        };
        self.tokens.need_word("FROM")?;
        let class = self.tokens.name(Expected::Class)?;
        self.is_for_events = is_event(class);
        let is_polled = self.within()?;
        let condition = if self.tokens.take_word("WHERE") {
            Some(self.or()?)
        } else {
            None
        };
        self.group()?;
        self.tokens.end()?;
        if self.is_for_events && !is_event(class) {
            return Err(Reason::NotAnEvent(super::shorten(class)));
        }
        if is_intrinsic(class) && !is_polled {
            return Err(Reason::NeedsWithin(super::shorten(class)));
        }
        if self.is_for_events {
            return Err(Reason::NotSupported(Feature::Events));
        }
        if class.eq_ignore_ascii_case("meta_class") {
            return Err(Reason::NotSupported(Feature::Classes));
        }
        Ok(Select {
            class: Some(class.to_owned()),
            columns,
            condition,
            names: Names::InAnyCase,
        })
    }

    /// Names of properties, commas between them.
    fn names(&mut self) -> Result<Vec<String>, Reason> {
        let mut names = Vec::new();
        loop {
            names.push(self.tokens.property()?.to_owned());
            if !self.tokens.take(&Kind::Comma) {
                return Ok(names);
            }
        }
    }

    /// `WITHIN seconds`, if it comes next.
    fn within(&mut self) -> Result<bool, Reason> {
        if !self.tokens.take_word("WITHIN") {
            return Ok(false);
        }
        self.is_for_events = true;
        let Some(Kind::Number(..)) = self.tokens.peek() else {
            return Err(self.tokens.unexpected(Expected::Number));
        };
        self.tokens.advance();
        Ok(true)
    }

    /// `GROUP WITHIN seconds [BY names] [HAVING NumberOfEvents operator n]`,
    /// if it comes next.
    fn group(&mut self) -> Result<(), Reason> {
        let at = self.tokens.place();
        if !self.tokens.take_word("GROUP") {
            return Ok(());
        }
        self.is_for_events = true;
        if !self.within()? {
            return Err(Reason::GroupNeedsWithin(at));
        }
        if self.tokens.take_word("BY") {
            self.names()?;
        }
        if self.tokens.take_word("HAVING") {
            self.tokens.need_word("NumberOfEvents")?;
            self.tokens.operator()?;
            let Some(Kind::Number(..)) = self.tokens.peek() else {
                return Err(self.tokens.unexpected(Expected::Number));
            };
            self.tokens.advance();
        }
        Ok(())
    }

    fn or(&mut self) -> Result<Expression, Reason> {
        let mut parts = vec![self.and()?];
        while self.tokens.take_word("OR") {
            parts.push(self.and()?);
        }
        Ok(Expression::any(parts))
    }

    fn and(&mut self) -> Result<Expression, Reason> {
        let mut parts = vec![self.not()?];
        while self.tokens.take_word("AND") {
            parts.push(self.not()?);
        }
        Ok(Expression::all(parts))
    }

    fn not(&mut self) -> Result<Expression, Reason> {
        let mut is_negated = false;
        while self.tokens.take_word("NOT") {
            is_negated = !is_negated;
        }
        let part = if self.tokens.take(&Kind::Open) {
            self.budget.enter()?;
            let inside = self.or()?;
            if !self.tokens.take(&Kind::Close) {
                return Err(self.tokens.unexpected(Expected::Keyword(")")));
            }
            self.budget.leave();
            inside
        } else {
            self.term()?
        };
        Ok(if is_negated { part.negated() } else { part })
    }

    /// A comparison, its sides in either order.
    fn term(&mut self) -> Result<Expression, Reason> {
        self.budget.term()?;
        if let Some(constant) = self.constant() {
            self.tokens.advance();
            let at = self.tokens;
            let operator = mirrored(self.tokens.operator()?);
            let path = Path::of_instance(self.tokens.property()?);
            return comparison(path, operator, constant)
                .ok_or_else(|| at.unexpected(Expected::Keyword("=")));
        }
        let path = Path::of_instance(self.tokens.property()?);
        if self.tokens.take_word("IS") {
            let is_negated = self.tokens.take_word("NOT");
            self.tokens.need_word("NULL")?;
            let is_null = Expression::IsNull(path);
            return Ok(if is_negated {
                is_null.negated()
            } else {
                is_null
            });
        }
        if self.tokens.take_word("ISA") {
            let Some(Kind::Text(class)) = self.tokens.peek() else {
                return Err(self.tokens.unexpected(Expected::Quoted));
            };
            self.tokens.advance();
            let class = class.trim().to_owned();
            return Ok(Expression::Isa { path, class });
        }
        if self.tokens.take_word("LIKE") {
            return self.like(path, false);
        }
        if self.tokens.take_word("NOT") {
            self.tokens.need_word("LIKE")?;
            return self.like(path, true);
        }
        let at = self.tokens;
        let operator = self.tokens.operator()?;
        let Some(constant) = self.constant() else {
            return Err(self.tokens.unexpected(Expected::Constant));
        };
        self.tokens.advance();
        comparison(path, operator, constant).ok_or_else(|| at.unexpected(Expected::Keyword("=")))
    }

    fn like(&mut self, path: Path, is_negated: bool) -> Result<Expression, Reason> {
        let at = self.tokens.place();
        let Some(Kind::Pattern(text)) = self.tokens.peek() else {
            return Err(self.tokens.unexpected(Expected::Quoted));
        };
        self.tokens.advance();
        let pattern = pattern::read(text, at + 1)?;
        self.budget.pattern(&pattern)?;
        Ok(Expression::Like {
            path,
            is_negated,
            pattern,
        })
    }

    /// The constant that comes next, if one does.
    fn constant(&self) -> Option<Written> {
        let constant = match self.tokens.peek()? {
            Kind::Text(text) => Constant::Text(text.clone()),
            Kind::Number(number, text) => Constant::Number {
                text: (*text).to_owned(),
                number: *number,
            },
            Kind::Word(_) if self.tokens.is_word("TRUE") => Constant::Boolean(true),
            Kind::Word(_) if self.tokens.is_word("FALSE") => Constant::Boolean(false),
            Kind::Word(_) if self.tokens.is_word("NULL") => return Some(Written::Null),
            _ => return None,
        };
        Some(Written::Constant(constant))
    }
}

/// What stands on the other side of an operator.
enum Written {
    Constant(Constant),
    Null,
}

/// `= NULL` and `<> NULL` are taken for `IS NULL` and `IS NOT NULL`, as old
/// scripts mean them; null has no order.
fn comparison(path: Path, operator: Comparison, constant: Written) -> Option<Expression> {
    match (constant, operator) {
        (Written::Constant(constant), _) => Some(Expression::Compare {
            path,
            operator,
            constant,
        }),
        (Written::Null, Comparison::Equal) => Some(Expression::IsNull(path)),
        (Written::Null, Comparison::NotEqual) => Some(Expression::IsNull(path).negated()),
        (Written::Null, _) => None,
    }
}

/// The class is one of WMI's own events.
fn is_event(class: &str) -> bool {
    let class = class.to_ascii_lowercase();
    class.starts_with("__") && class.ends_with("event")
}

/// The event tells of a change that WMI finds by looking again and again.
fn is_intrinsic(class: &str) -> bool {
    let class = class.to_ascii_lowercase();
    is_event(&class)
        && ["__instance", "__class", "__namespace"]
            .iter()
            .any(|start| class.starts_with(start))
}

#[cfg(test)]
mod tests;
