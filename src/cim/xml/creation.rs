//! A new instance from its representation: what a Create may give.

use std::sync::Arc;

use super::Expected;
use super::ReadError;
use super::is_nil;
use super::read_value;
use super::shorten;
use crate::cim::Class;
use crate::cim::Instance;
use crate::cim::Property;
use crate::cim::Type;
use crate::cim::Value;
use crate::cim::Values;
use crate::xml::Element;
use crate::xml::ns;

/// Reads what a client gives of a new instance of `class`: properties with
/// `[write]` or `[Initial]`. Null is the same as nothing, of any property.
/// `parts` are the classes embedded in it.
///
/// # Errors
///
/// [`ReadError`]; [`ReadError::Fixed`] for a key or a property that only the
/// service sets, [`ReadError::Missing`] for a `[required]` one that is not
/// there, of embedded instances too.
pub(crate) fn read_creation(
    class: &Class,
    parts: &[Arc<Class>],
    root: &Element<'_>,
) -> Result<Values, ReadError> {
    read(class, parts, root, |property| {
        property.is_writable || property.is_initial
    })
}

/// Reads a whole instance: what [`super::write_instance`] writes.
///
/// # Errors
///
/// [`ReadError`].
#[cfg(test)]
pub(crate) fn read_instance(
    class: &Arc<Class>,
    parts: &[Arc<Class>],
    root: &Element<'_>,
) -> Result<Instance, ReadError> {
    let values = read(class, parts, root, |_| true)?;
    Ok(instance(class, values))
}

/// `may_give` says which properties may have a value.
fn read(
    class: &Class,
    parts: &[Arc<Class>],
    root: &Element<'_>,
    may_give: fn(&Property) -> bool,
) -> Result<Values, ReadError> {
    let mut values = Values::new();
    for element in root.children() {
        // What older Windows adds to a representation.
        if element.is(ns::CIM, "Location") {
            continue;
        }
        let (_, property) = class
            .property(element.local())
            .ok_or_else(|| ReadError::Unknown(shorten(element.local())))?;
        if is_nil(element) {
            continue;
        }
        if !may_give(property) {
            return Err(ReadError::Fixed(property.name.clone()));
        }
        let value = match &property.kind {
            Type::Instance(class) => Some(part(class, parts, &property.name, element, may_give)?),
            kind => read_value(element, &property.name, kind)?,
        };
        if property.is_array {
            values.push(&property.name, value);
        } else if values.contains(&property.name) {
            return Err(ReadError::Twice(property.name.clone()));
        } else {
            values.insert(&property.name, value);
        }
    }
    let missing = class.properties.iter().find(|property| {
        property.is_required && may_give(property) && values.value(&property.name).is_none()
    });
    match missing {
        Some(property) => Err(ReadError::Missing(property.name.clone())),
        None => Ok(values),
    }
}

/// Reads an embedded instance of `class`, the value of what is called `name`.
fn part(
    class: &str,
    parts: &[Arc<Class>],
    name: &str,
    element: &Element<'_>,
    may_give: fn(&Property) -> bool,
) -> Result<Value, ReadError> {
    let part = parts.iter().find(|part| part.name == class);
    let part = part.ok_or_else(|| ReadError::Unknown(shorten(class)))?;
    if element.children().is_empty() {
        return Err(ReadError::Type {
            name: name.to_owned(),
            expected: Expected::Instance,
        });
    }
    // Parts have no parts: the catalog sees to that.
    let values = read(part, &[], element, may_give)?;
    Ok(Value::Instance(Box::new(instance(part, values))))
}

/// Reads an instance of `class` that a method is given as `name`.
///
/// # Errors
///
/// As [`read_creation`].
pub(super) fn read_argument(
    class: &str,
    parts: &[Arc<Class>],
    name: &str,
    element: &Element<'_>,
) -> Result<Value, ReadError> {
    part(class, parts, name, element, |property| {
        property.is_writable || property.is_initial
    })
}

/// The instance with these values, which were read by its class.
fn instance(class: &Arc<Class>, values: Values) -> Instance {
    let mut instance = Instance::new(class);
    for (name, value) in values {
        if let Some(value) = value {
            instance
                .set(&name, value)
                .expect("name and type were taken from the class");
        }
    }
    instance
}

#[cfg(test)]
mod tests;
