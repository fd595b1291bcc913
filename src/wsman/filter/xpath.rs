//! Filters in `XPath` 1.0: paths of names with predicates, which is level 1 of
//! DSP0226, and the comparisons that make a filter of them.
//!
//! The context is the element of an instance, or what holds it: `State=4`,
//! `BitsClientJob[State=4]`, `/BitsClientJob/State=4`, `*[State=4]` and
//! `.[State=4]` mean the same. Names and texts are compared by case; a prefix
//! before a name has no effect. A path alone holds where its property is not
//! null.

use crate::cim::Comparison;

use super::FilterError;
use super::MAX_OCTETS;
use super::Names;
use super::Select;
use super::expression::Budget;
use super::expression::Constant;
use super::expression::Expression;
use super::expression::Path;
use super::expression::Start;
use super::expression::mirrored;
use super::number::Number;
use super::reason::Expected;
use super::reason::Feature;
use super::reason::Reason;

/// Reads an expression.
///
/// # Errors
///
/// [`FilterError::Invalid`].
pub(super) fn parse(text: &str) -> Result<Select, FilterError> {
    if text.len() > MAX_OCTETS {
        return Err(Reason::TooLong.into());
    }
    let mut parser = Parser {
        rest: text,
        place: 1,
        budget: Budget::default(),
    };
    let context = Path {
        start: Start::Either,
        names: Vec::new(),
    };
    let condition = parser.or(&context)?;
    if !parser.rest.is_empty() {
        return Err(parser.unexpected(Expected::End).into());
    }
    Ok(Select {
        class: None,
        columns: None,
        condition: Some(condition),
        names: Names::ByCase,
    })
}

/// What is left of an expression, white space passed over.
struct Parser<'t> {
    rest: &'t str,
    /// The place of its first character, counted from 1.
    place: usize,
    budget: Budget,
}

/// One side of a comparison.
enum Operand {
    /// A path, and what its predicates ask.
    Path(Path, Vec<Expression>),
    /// A constant.
    Constant(Constant),
    /// In parentheses, or of `not()`.
    Inside(Expression),
}

impl<'t> Parser<'t> {
    fn or(&mut self, context: &Path) -> Result<Expression, Reason> {
        let mut parts = vec![self.and(context)?];
        while self.take_word("or") {
            parts.push(self.and(context)?);
        }
        Ok(Expression::any(parts))
    }

    fn and(&mut self, context: &Path) -> Result<Expression, Reason> {
        let mut parts = vec![self.term(context)?];
        while self.take_word("and") {
            parts.push(self.term(context)?);
        }
        Ok(Expression::all(parts))
    }

    /// A comparison, or what holds by itself.
    fn term(&mut self, context: &Path) -> Result<Expression, Reason> {
        self.budget.term()?;
        let left = self.operand(context)?;
        self.skip_space();
        let place = self.place;
        let Some(operator) = self.operator()? else {
            return match left {
                Operand::Path(path, predicates) => {
                    Ok(with(Expression::IsNull(path).negated(), predicates))
                }
                Operand::Inside(inside) => Ok(inside),
                // A number alone is a position.
                Operand::Constant(Constant::Number { .. }) => {
                    Err(Reason::NotSupported(Feature::Positions))
                }
                Operand::Constant(_) => Err(self.unexpected(Expected::Operator)),
            };
        };
        if let Operand::Inside(_) = left {
            return Err(Reason::Unexpected {
                at: place,
                expected: Expected::Keyword("and"),
            });
        }
        self.skip_space();
        let before = (self.rest, self.place);
        let (path, predicates, operator, constant) = match (left, self.operand(context)?) {
            (Operand::Path(path, predicates), Operand::Constant(constant)) => {
                (path, predicates, operator, constant)
            }
            (Operand::Constant(constant), Operand::Path(path, predicates)) => {
                (path, predicates, mirrored(operator), constant)
            }
            (left, _) => {
                (self.rest, self.place) = before;
                return Err(self.unexpected(match left {
                    Operand::Constant(_) => Expected::Property,
                    Operand::Path(..) | Operand::Inside(_) => Expected::Constant,
                }));
            }
        };
        let comparison = Expression::Compare {
            path,
            operator,
            constant,
        };
        Ok(with(comparison, predicates))
    }

    fn operand(&mut self, context: &Path) -> Result<Operand, Reason> {
        self.skip_space();
        if self.take("(") {
            return self.inside(context, ")").map(Operand::Inside);
        }
        if let Some(quote @ ('\'' | '"')) = self.rest.chars().next() {
            let text = &self.rest[1..];
            let length = text.find(quote).ok_or(Reason::Unclosed(self.place))?;
            self.advance(length + 2);
            return Ok(Operand::Constant(Constant::Text(text[..length].to_owned())));
        }
        if let Some(number) = self.number()? {
            return Ok(Operand::Constant(number));
        }
        if self.name() == "not" && self.rest[3..].trim_start().starts_with('(') {
            self.advance(3);
            self.skip_space();
            self.advance(1);
            let inside = self.inside(context, ")")?;
            return Ok(Operand::Inside(inside.negated()));
        }
        self.path(context)
    }

    /// What stands up to `close`.
    fn inside(&mut self, context: &Path, close: &'static str) -> Result<Expression, Reason> {
        self.budget.enter()?;
        let inside = self.or(context)?;
        self.skip_space();
        if !self.take(close) {
            return Err(self.unexpected(Expected::Keyword(close)));
        }
        self.budget.leave();
        Ok(inside)
    }

    /// A number, if one comes next; a minus may stand before it.
    fn number(&mut self) -> Result<Option<Constant>, Reason> {
        let digits = self.rest.strip_prefix('-').unwrap_or(self.rest);
        let is_number = digits
            .trim_start_matches('.')
            .starts_with(|c: char| c.is_ascii_digit());
        if !is_number || digits.starts_with("..") {
            return Ok(None);
        }
        let sign = self.rest.len() - digits.len();
        let end = digits
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(digits.len());
        let text = &self.rest[..sign + end];
        let Some(number) = Number::parse(text) else {
            return Err(self.unexpected(Expected::Number));
        };
        self.advance(text.len());
        Ok(Some(Constant::Number {
            text: text.to_owned(),
            number,
        }))
    }

    fn path(&mut self, context: &Path) -> Result<Operand, Reason> {
        let mut path = context.clone();
        let mut predicates = Vec::new();
        if self.take("//") {
            return Err(Reason::NotSupported(Feature::Axes));
        }
        if self.take("/") {
            path = Path {
                start: Start::Document,
                names: Vec::new(),
            };
            self.skip_space();
            if !self.is_step() {
                return Ok(Operand::Path(path, predicates));
            }
        }
        loop {
            let is_text = self.step(&mut path)?;
            self.skip_space();
            while self.take("[") {
                predicates.push(self.inside(&path, "]")?);
                self.skip_space();
            }
            if self.take("//") {
                return Err(Reason::NotSupported(Feature::Axes));
            }
            if is_text && self.rest.starts_with('/') {
                return Err(self.unexpected(Expected::Operator));
            }
            if !self.take("/") {
                return Ok(Operand::Path(path, predicates));
            }
            self.skip_space();
        }
    }

    fn is_step(&self) -> bool {
        self.rest.starts_with(['.', '*', '@']) || !self.name().is_empty()
    }

    /// One step of a path; whether it was `text()`, which leads to the value of
    /// a property as its name does.
    fn step(&mut self, path: &mut Path) -> Result<bool, Reason> {
        if self.rest.starts_with("..") {
            return Err(Reason::NotSupported(Feature::Axes));
        }
        if self.take(".") {
            return Ok(false);
        }
        if self.take("@") {
            return Err(Reason::NotSupported(Feature::Attributes));
        }
        if self.rest.starts_with('*') {
            // Only what holds the instance has no more than one child.
            if !path.names.is_empty() || path.start == Start::Instance {
                return Err(Reason::NotSupported(Feature::Wildcards));
            }
            self.advance(1);
            path.start = Start::Instance;
            return Ok(false);
        }
        let mut name = self.name();
        if name.is_empty() {
            return Err(self.unexpected(Expected::Step));
        }
        let after = self.rest[name.len()..].trim_start();
        if after.starts_with("::") {
            return Err(Reason::NotSupported(Feature::Axes));
        }
        if after.starts_with('(') {
            if name != "text" {
                return Err(Reason::NotSupported(Feature::Functions));
            }
            if path.names.is_empty() {
                return Err(self.unexpected(Expected::Property));
            }
            self.advance(name.len());
            self.skip_space();
            self.advance(1);
            self.skip_space();
            if !self.take(")") {
                return Err(self.unexpected(Expected::Keyword(")")));
            }
            return Ok(true);
        }
        self.advance(name.len());
        if self.rest.starts_with(':') {
            self.advance(1);
            name = self.name();
            if name.is_empty() {
                return Err(self.unexpected(Expected::Step));
            }
            self.advance(name.len());
        }
        if path.names.len() == MAX_STEPS {
            return Err(Reason::TooDeep);
        }
        path.names.push(name.to_owned());
        Ok(false)
    }

    /// The name that comes next, without a prefix; empty if none does.
    fn name(&self) -> &'t str {
        if !self
            .rest
            .starts_with(|c: char| c.is_alphabetic() || c == '_')
        {
            return "";
        }
        let end = self
            .rest
            .find(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '-' | '.'))
            .unwrap_or(self.rest.len());
        &self.rest[..end]
    }

    /// The operator that comes next, if it is one of comparison.
    fn operator(&mut self) -> Result<Option<Comparison>, Reason> {
        for (symbol, operator) in OPERATORS {
            if self.take(symbol) {
                return Ok(Some(operator));
            }
        }
        if self.rest.starts_with('|') {
            return Err(Reason::NotSupported(Feature::Unions));
        }
        if self.rest.starts_with(['+', '-', '*']) || matches!(self.name(), "div" | "mod") {
            return Err(Reason::NotSupported(Feature::Calculations));
        }
        Ok(None)
    }

    fn take_word(&mut self, word: &str) -> bool {
        self.skip_space();
        let is_next = self.name() == word;
        if is_next {
            self.advance(word.len());
        }
        is_next
    }

    fn take(&mut self, symbol: &str) -> bool {
        let is_next = self.rest.starts_with(symbol);
        if is_next {
            self.advance(symbol.len());
        }
        is_next
    }

    fn skip_space(&mut self) {
        self.advance(self.rest.len() - self.rest.trim_start().len());
    }

    fn advance(&mut self, octets: usize) {
        let (taken, rest) = self.rest.split_at(octets);
        self.place += taken.chars().count();
        self.rest = rest;
    }

    fn unexpected(&self, expected: Expected) -> Reason {
        if self.rest.is_empty() {
            return Reason::EndsEarly(expected);
        }
        Reason::Unexpected {
            at: self.place,
            expected,
        }
    }
}

/// What holds where the predicates do, too.
fn with(expression: Expression, mut predicates: Vec<Expression>) -> Expression {
    predicates.insert(0, expression);
    Expression::all(predicates)
}

/// Those that begin others come after them.
const OPERATORS: [(&str, Comparison); 6] = [
    ("<=", Comparison::LessOrEqual),
    (">=", Comparison::GreaterOrEqual),
    ("!=", Comparison::NotEqual),
    ("=", Comparison::Equal),
    ("<", Comparison::Less),
    (">", Comparison::Greater),
];

/// Names of one path: class and property, and some to be told that there is
/// nothing below.
const MAX_STEPS: usize = 8;

#[cfg(test)]
mod tests;
