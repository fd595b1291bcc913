//! What of a condition on jobs the store can look for by itself.
//!
//! The selection is a box around the jobs that the condition holds for; it may
//! hold others, so the condition is evaluated on each instance afterwards.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::SLICE;
use crate::bits::JobId;
use crate::bits::Owner;
use crate::bits::Priority;
use crate::bits::State;
use crate::bits::Timestamp;
use crate::cim::Class;
use crate::cim::Comparison;
use crate::cim::Condition;
use crate::cim::Instance;
use crate::cim::Literal;
use crate::cim::NotInSchema;
use crate::cim::Value;
use crate::provider::Error;
use crate::store::Among;
use crate::store::Selection;
use crate::store::Span;

/// What finds the jobs that a condition holds for.
pub(super) struct Sieve<'c> {
    /// What the store shall look for.
    pub(super) selection: Selection,
    /// What decides, and the properties that it looks at.
    condition: Option<(&'c Condition, BTreeSet<&'c str>)>,
    /// Jobs that are looked at between two turns of others.
    pub(super) slice: usize,
}

impl<'c> Sieve<'c> {
    /// It lets everything through.
    pub(super) const fn all() -> Self {
        Self {
            selection: Selection::all(),
            condition: None,
            slice: SLICE,
        }
    }

    /// For `condition`. `owners` are all who own jobs; none when they are too
    /// many to look at.
    ///
    /// # Errors
    ///
    /// [`NotInSchema`] when the class of jobs lacks what is looked at.
    pub(super) fn new(
        condition: &'c Condition,
        class: &Arc<Class>,
        owners: Option<&[Owner]>,
    ) -> Result<Self, NotInSchema> {
        let steps: usize = comparisons(condition).iter().map(|(_, steps)| steps).sum();
        Ok(Self {
            selection: of(condition, class, owners)?,
            condition: Some((condition, properties(condition))),
            slice: (SLICE / (1 + steps / STEPS)).max(1),
        })
    }

    /// The condition holds for the instance that `make` makes of the properties
    /// that are wanted.
    ///
    /// # Errors
    ///
    /// Those of `make`.
    pub(super) fn passes(
        &self,
        make: impl FnOnce(&dyn Fn(&str) -> bool) -> Result<Instance, Error>,
    ) -> Result<bool, Error> {
        let Some((condition, properties)) = &self.condition else {
            return Ok(true);
        };
        // Most of what is looked at here is not wanted: only as much of the
        // instance is made as the condition sees.
        let instance = make(&|name| properties.contains(name))?;
        Ok(condition.matches(&instance))
    }

    /// How many jobs to look at first when `wanted` are.
    pub(super) fn first_slice(&self, wanted: usize) -> usize {
        match self.condition {
            None => wanted.min(self.slice),
            Some(_) => wanted.max(FIRST_SLICE).min(self.slice),
        }
    }

    /// How many to look at after `slice` when `wanted` are still.
    pub(super) fn next_slice(&self, slice: usize, wanted: usize) -> usize {
        match self.condition {
            None => wanted.min(self.slice),
            // The store's selection may be wide, and the condition narrow.
            Some(_) => (slice * 2).min(self.slice),
        }
    }
}

/// A box around the jobs that `condition` holds for. `owners` are all who own
/// jobs; none when they are too many to look at.
///
/// # Errors
///
/// [`NotInSchema`] when the class of jobs lacks what is looked at.
pub(in crate::provider) fn of(
    condition: &Condition,
    class: &Arc<Class>,
    owners: Option<&[Owner]>,
) -> Result<Selection, NotInSchema> {
    let mut sample = Sample {
        instance: Instance::new(class),
        owners,
    };
    sample.selection(condition, true)
}

/// The properties that `condition` looks at.
fn properties(condition: &Condition) -> BTreeSet<&str> {
    let all = comparisons(condition);
    all.into_iter().map(|(property, _)| property).collect()
}

/// How many owners `condition` may be tried on; none when it does not look at
/// them.
pub(super) fn most_owners(condition: &Condition) -> Option<usize> {
    let all = comparisons(condition);
    let of_owner = all.iter().filter(|(property, _)| *property == "Owner");
    let steps: usize = of_owner.map(|(_, steps)| steps).sum();
    let most = MOST_TRIES.checked_div(steps)?;
    Some(most.min(MOST_OWNERS))
}

/// What `condition` is made of: which property each comparison looks at, and
/// what that costs.
fn comparisons(condition: &Condition) -> Vec<(&str, usize)> {
    let mut all = Vec::new();
    let mut parts = vec![condition];
    while let Some(part) = parts.pop() {
        match part {
            Condition::Always(_) => {}
            Condition::And(more) | Condition::Or(more) => parts.extend(more),
            Condition::Not(part) => parts.push(part),
            Condition::Compare { property, .. } | Condition::IsNull(property) => {
                all.push((property.as_str(), 1));
            }
            Condition::Like { property, pattern } => {
                all.push((property.as_str(), 1 + pattern.cost()));
            }
        }
    }
    all
}

/// An instance on which parts of a condition are tried with every value that
/// a property can have. So they mean here what they mean everywhere.
struct Sample<'o> {
    instance: Instance,
    owners: Option<&'o [Owner]>,
}

impl Sample<'_> {
    /// A box around the jobs for which `condition` is `wanted`.
    fn selection(&mut self, condition: &Condition, wanted: bool) -> Result<Selection, NotInSchema> {
        match condition {
            Condition::Always(holds) => Ok(constant(*holds == wanted)),
            Condition::Not(part) => self.selection(part, !wanted),
            Condition::And(parts) | Condition::Or(parts) => {
                let is_all = matches!(condition, Condition::And(_)) == wanted;
                parts.iter().try_fold(constant(is_all), |selection, part| {
                    let part = self.selection(part, wanted)?;
                    Ok(if is_all {
                        selection.intersect(part)
                    } else {
                        selection.cover(part)
                    })
                })
            }
            Condition::Compare { property, .. }
            | Condition::Like { property, .. }
            | Condition::IsNull(property) => self.of_property(property, condition, wanted),
        }
    }

    fn of_property(
        &mut self,
        property: &str,
        condition: &Condition,
        wanted: bool,
    ) -> Result<Selection, NotInSchema> {
        let mut selection = Selection::all();
        match property {
            "JobId" => selection.keys = keys(condition, wanted),
            "State" => {
                let number = |state: State| Value::Uint16(state as u16);
                selection.states = self.among(property, &State::ALL, number, condition, wanted)?;
            }
            "Priority" => {
                let number = |priority: Priority| Value::Uint32(priority as u32);
                selection.priorities =
                    self.among(property, &PRIORITIES, number, condition, wanted)?;
            }
            "Owner" => {
                if let Some(owners) = self.owners {
                    let name = |owner: Owner| Value::String(owner.as_str().to_owned());
                    selection.owners = self.among(property, owners, name, condition, wanted)?;
                }
            }
            "JobCreationTime" => selection.created_at = span(condition, wanted),
            "JobLastModificationTime" => selection.modified_at = span(condition, wanted),
            "JobCompletionTime" => selection.transferred_at = span(condition, wanted),
            _ => {}
        }
        Ok(selection)
    }

    /// The values of `property` with which `condition` is `wanted`.
    fn among<T: Ord + Clone>(
        &mut self,
        property: &str,
        values: &[T],
        value: impl Fn(T) -> Value,
        condition: &Condition,
        wanted: bool,
    ) -> Result<Among<T>, NotInSchema> {
        let mut fitting = BTreeSet::new();
        for one in values {
            self.instance.set(property, value(one.clone()))?;
            if condition.matches(&self.instance) == wanted {
                fitting.insert(one.clone());
            }
        }
        // Another owner may come before the store is asked: he is let in, or
        // not, by the condition itself.
        Ok(if fitting.len() == values.len() {
            Among::Any
        } else {
            Among::Only(fitting)
        })
    }
}

/// All jobs or none.
fn constant(holds: bool) -> Selection {
    if holds {
        Selection::all()
    } else {
        Selection::none()
    }
}

/// The keys that `condition` leaves, when they can be counted out.
///
/// The condition compares text. Whatever is equal to the shown form of a key
/// can be read as that key; that more can (without braces) does no harm.
fn keys(condition: &Condition, wanted: bool) -> Among<JobId> {
    let Condition::Compare {
        operator,
        literal: Literal::String(text) | Literal::Exact(text),
        ..
    } = condition
    else {
        return Among::Any;
    };
    match (operator, wanted) {
        (Comparison::Equal, true) | (Comparison::NotEqual, false) => {
            Among::Only(text.parse().into_iter().collect())
        }
        _ => Among::Any,
    }
}

/// The instants that `condition` leaves of a time, which is never null.
fn span(condition: &Condition, wanted: bool) -> Span {
    let Condition::Compare {
        operator,
        literal: Literal::Integer(literal),
        ..
    } = condition
    else {
        return Span::EVER;
    };
    let (from, to) = match (operator, wanted) {
        (Comparison::Equal, true) | (Comparison::NotEqual, false) => (*literal, *literal),
        (Comparison::Less, true) | (Comparison::GreaterOrEqual, false) => {
            (i128::MIN, literal.saturating_sub(1))
        }
        (Comparison::LessOrEqual, true) | (Comparison::Greater, false) => (i128::MIN, *literal),
        (Comparison::Greater, true) | (Comparison::LessOrEqual, false) => {
            (literal.saturating_add(1), i128::MAX)
        }
        (Comparison::GreaterOrEqual, true) | (Comparison::Less, false) => (*literal, i128::MAX),
        (Comparison::NotEqual, true) | (Comparison::Equal, false) => return Span::EVER,
    };
    let (first, last) = (i128::from(u64::MIN), i128::from(u64::MAX));
    if from > last || to < first {
        return Span::NEVER;
    }
    let instant = |ticks: i128| {
        let ticks = ticks.clamp(first, last);
        Timestamp::from_ticks(u64::try_from(ticks).expect("between 0 and the largest"))
    };
    Span {
        from: instant(from),
        to: instant(to),
    }
}

const PRIORITIES: [Priority; 4] = [
    Priority::Foreground,
    Priority::High,
    Priority::Normal,
    Priority::Low,
];

/// Jobs that a page looks at first, at least: with a narrow selection all of
/// them pass, and no more than these are read in vain.
const FIRST_SLICE: usize = 16;

/// Steps of a condition that cost about as much as a job itself: most filters
/// have fewer. The largest pattern takes milliseconds for one long text.
const STEPS: usize = 64;

/// Owners that a condition is tried on: each takes about a microsecond, on
/// every page. Where there are more, the store does not look for owners.
const MOST_OWNERS: usize = 1_024;

/// Steps of all these tries together, where a filter has many for each.
const MOST_TRIES: usize = 16_384;

#[cfg(test)]
mod tests;
