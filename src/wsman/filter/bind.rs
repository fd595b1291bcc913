//! Names and constants of a filter are held against a class.

use crate::cim::Class;
use crate::cim::Comparison;
use crate::cim::Condition;
use crate::cim::Part;
use crate::cim::Pattern;
use crate::cim::Property;
use crate::cim::Type;
use crate::cim::Value;

use super::Bound;
use super::FilterError;
use super::Names;
use super::Select;
use super::expression::Constant;
use super::expression::Expression;
use super::expression::Path;
use super::expression::Start;
use super::literal;
use super::literal::Test;
use super::pattern;
use super::reason::Reason;
use super::shorten;

impl Select {
    /// Holds the filter against `class`, which is the one it names if it names
    /// one.
    ///
    /// # Errors
    ///
    /// [`FilterError::Invalid`] for a property that the class does not have, or
    /// that cannot be compared in this way.
    pub(in crate::wsman) fn bind(&self, class: &Class) -> Result<Bound, FilterError> {
        let binder = Binder {
            class,
            names: self.names,
        };
        let columns = match &self.columns {
            Some(names) => Some(binder.columns(names)?),
            None => None,
        };
        let condition = match &self.condition {
            Some(expression) => Some(binder.condition(expression)?),
            None => None,
        };
        Ok(Bound {
            condition: condition.filter(|condition| *condition != Condition::Always(true)),
            columns,
        })
    }
}

struct Binder<'c> {
    class: &'c Class,
    names: Names,
}

/// What a path leads to.
enum Subject<'c> {
    /// The instance itself, or what holds it.
    Instance,
    /// One of its properties.
    Property(&'c Property),
    /// A system property, which the class decides: its type, and its value if
    /// it is not null.
    System(Type, Option<Value>),
}

impl<'c> Binder<'c> {
    fn columns(&self, names: &[String]) -> Result<Vec<String>, Reason> {
        let mut is_chosen = vec![false; self.class.properties.len()];
        for name in names {
            match self.class.property(name) {
                Some((at, _)) => is_chosen[at] = true,
                None if is_system(name) => {}
                None => return Err(Reason::UnknownProperty(shorten(name))),
            }
        }
        let chosen = self.class.order.iter().filter(|at| is_chosen[**at]);
        Ok(chosen
            .map(|at| self.class.properties[*at].name.clone())
            .collect())
    }

    /// As deep as the expression: the parser has bounded that.
    fn condition(&self, expression: &Expression) -> Result<Condition, Reason> {
        match expression {
            Expression::And(parts) => self.parts(parts).map(all),
            Expression::Or(parts) => self.parts(parts).map(any),
            Expression::Not(part) => self.condition(part).map(not),
            Expression::Compare {
                path,
                operator,
                constant,
            } => self.compare(path, *operator, constant),
            Expression::Like {
                path,
                is_negated,
                pattern,
            } => self.like(path, *is_negated, pattern),
            Expression::IsNull(path) => Ok(match self.subject(path)? {
                Subject::Instance => Condition::Always(false),
                Subject::Property(property) => {
                    self.check_scalar(property, path)?;
                    Condition::IsNull(property.name.clone())
                }
                Subject::System(_, value) => Condition::Always(value.is_none()),
            }),
            Expression::Isa { path, class } => self.isa(path, class),
        }
    }

    fn parts(&self, parts: &[Expression]) -> Result<Vec<Condition>, Reason> {
        parts.iter().map(|part| self.condition(part)).collect()
    }

    fn compare(
        &self,
        path: &Path,
        operator: Comparison,
        constant: &Constant,
    ) -> Result<Condition, Reason> {
        let subject = self.subject(path)?;
        let kind = match &subject {
            Subject::Instance => return Err(self.not_comparable(path)),
            Subject::Property(property) => {
                self.check_scalar(property, path)?;
                &property.kind
            }
            Subject::System(kind, _) => kind,
        };
        let test = literal::test(kind, operator, constant, self.names)
            .ok_or_else(|| self.not_comparable(path))?;
        Ok(match (subject, test) {
            (_, Test::Never) => Condition::Always(false),
            (Subject::Property(property), Test::NotNull) => {
                not(Condition::IsNull(property.name.clone()))
            }
            (Subject::Property(property), Test::Compare(operator, literal)) => Condition::Compare {
                property: property.name.clone(),
                operator,
                literal,
            },
            (Subject::System(_, value), Test::NotNull) => Condition::Always(value.is_some()),
            (Subject::System(_, value), Test::Compare(operator, literal)) => {
                let order = value.and_then(|value| literal.order(&value));
                Condition::Always(order.is_some_and(|order| operator.holds(order)))
            }
            (Subject::Instance, _) => return Err(self.not_comparable(path)),
        })
    }

    /// A pattern without wildcards compares, whatever the type; others need
    /// text. `NOT LIKE` is an operator of its own, and does not hold for null
    /// either.
    fn like(&self, path: &Path, is_negated: bool, pattern: &Pattern) -> Result<Condition, Reason> {
        if let Some(text) = pattern::literal(pattern) {
            let operator = if is_negated {
                Comparison::NotEqual
            } else {
                Comparison::Equal
            };
            return self.compare(path, operator, &Constant::Text(text));
        }
        match self.subject(path)? {
            Subject::Property(property) if is_text(property) => {
                let property = property.name.clone();
                let is_null = Condition::IsNull(property.clone());
                // Every text fits.
                if pattern.0 == [Part::AnyRun] {
                    return Ok(if is_negated {
                        Condition::Always(false)
                    } else {
                        not(is_null)
                    });
                }
                let pattern = pattern.clone();
                let like = Condition::Like { property, pattern };
                Ok(if is_negated {
                    all(vec![not(is_null), not(like)])
                } else {
                    like
                })
            }
            Subject::System(_, Some(Value::String(text))) => {
                Ok(Condition::Always(pattern.matches(&text) != is_negated))
            }
            Subject::System(Type::String, None) => Ok(Condition::Always(false)),
            Subject::Instance | Subject::Property(_) | Subject::System(..) => {
                Err(self.not_comparable(path))
            }
        }
    }

    /// What is of a class is of those that it is derived from.
    fn isa(&self, path: &Path, class: &str) -> Result<Condition, Reason> {
        match self.subject(path)? {
            Subject::Instance => Ok(Condition::Always(self.class.is_a(class))),
            Subject::Property(property) => match &property.kind {
                Type::Instance(embedded) if !property.is_array => {
                    Ok(if embedded.eq_ignore_ascii_case(class) {
                        not(Condition::IsNull(property.name.clone()))
                    } else {
                        Condition::Always(false)
                    })
                }
                _ => Err(self.not_comparable(path)),
            },
            Subject::System(..) => Err(self.not_comparable(path)),
        }
    }

    fn subject(&self, path: &Path) -> Result<Subject<'c>, Reason> {
        let unknown = || Reason::UnknownProperty(self.written(path));
        let is_class = |name: &String| *name == self.class.name;
        let names = match (path.start, path.names.as_slice()) {
            (Start::Either | Start::Document, [first, rest @ ..]) if is_class(first) => rest,
            (Start::Instance | Start::Either, names) => names,
            (Start::Document, []) => &[],
            (Start::Document, _) => return Err(unknown()),
        };
        let (first, below) = match names {
            [] => return Ok(Subject::Instance),
            [first, below @ ..] => (first, below),
        };
        let property = self
            .class
            .property(first)
            .map(|(_, property)| property)
            .filter(|property| self.names == Names::InAnyCase || property.name == *first);
        match (property, below) {
            (Some(property), []) => Ok(Subject::Property(property)),
            (Some(_), _) => Err(self.not_comparable(path)),
            (None, []) if self.names == Names::InAnyCase => self.system(path, first),
            (None, _) => Err(unknown()),
        }
    }

    /// A system property whose value the class decides.
    fn system(&self, path: &Path, name: &str) -> Result<Subject<'c>, Reason> {
        let text = |text: &str| Subject::System(Type::String, Some(Value::String(text.to_owned())));
        let number = |number| Subject::System(Type::Sint32, Some(Value::Sint32(number)));
        match name.to_ascii_uppercase().as_str() {
            "__THIS" => Ok(Subject::Instance),
            "__CLASS" => Ok(text(&self.class.name)),
            "__DYNASTY" => Ok(text(
                self.class.derivation.last().unwrap_or(&self.class.name),
            )),
            "__SUPERCLASS" => Ok(Subject::System(
                Type::String,
                self.class.derivation.first().cloned().map(Value::String),
            )),
            "__NAMESPACE" => Ok(text(&self.class.namespace.replace('/', "\\"))),
            // 1 is a class, 2 an instance.
            "__GENUS" => Ok(number(2)),
            "__PROPERTY_COUNT" => {
                let count = self.class.properties.len();
                Ok(number(i32::try_from(count).unwrap_or(i32::MAX)))
            }
            _ if is_system(name) => Err(self.not_comparable(path)),
            _ => Err(Reason::UnknownProperty(self.written(path))),
        }
    }

    /// Arrays and embedded instances compare with nothing, not even with null:
    /// so WMI has it.
    fn check_scalar(&self, property: &Property, path: &Path) -> Result<(), Reason> {
        if property.is_array || matches!(property.kind, Type::Instance(_)) {
            return Err(self.not_comparable(path));
        }
        Ok(())
    }

    fn not_comparable(&self, path: &Path) -> Reason {
        Reason::NotComparable(self.written(path))
    }

    /// A path as its dialect writes it.
    fn written(&self, path: &Path) -> String {
        let separator = match self.names {
            Names::InAnyCase => ".",
            Names::ByCase => "/",
        };
        shorten(&path.names.join(separator))
    }
}

/// All of them, as simple as it can be said.
fn all(parts: Vec<Condition>) -> Condition {
    let mut kept = Vec::with_capacity(parts.len());
    for part in parts {
        match part {
            Condition::Always(true) => {}
            Condition::Always(false) => return part,
            Condition::And(inner) => kept.extend(inner),
            _ => kept.push(part),
        }
    }
    match kept.len() {
        0 => Condition::Always(true),
        1 => kept.remove(0),
        _ => Condition::And(kept),
    }
}

/// One of them, as simple as it can be said.
fn any(parts: Vec<Condition>) -> Condition {
    let mut kept = Vec::with_capacity(parts.len());
    for part in parts {
        match part {
            Condition::Always(false) => {}
            Condition::Always(true) => return part,
            Condition::Or(inner) => kept.extend(inner),
            _ => kept.push(part),
        }
    }
    match kept.len() {
        0 => Condition::Always(false),
        1 => kept.remove(0),
        _ => Condition::Or(kept),
    }
}

/// A comparison is not turned into its opposite: of null neither holds.
fn not(part: Condition) -> Condition {
    match part {
        Condition::Always(holds) => Condition::Always(!holds),
        Condition::Not(inner) => *inner,
        other => Condition::Not(Box::new(other)),
    }
}

fn is_text(property: &Property) -> bool {
    property.kind == Type::String && !property.is_array
}

fn is_system(name: &str) -> bool {
    SYSTEM
        .iter()
        .any(|system| system.eq_ignore_ascii_case(name))
}

/// The properties that WMI gives every instance. A projection may name them;
/// conditions, only those that the class decides.
const SYSTEM: [&str; 10] = [
    "__CLASS",
    "__DERIVATION",
    "__DYNASTY",
    "__GENUS",
    "__NAMESPACE",
    "__PATH",
    "__PROPERTY_COUNT",
    "__RELPATH",
    "__SERVER",
    "__SUPERCLASS",
];

#[cfg(test)]
mod tests;
