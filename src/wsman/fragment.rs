//! `wsman:FragmentTransfer`: part of an instance (DSP0226 7.7 and its `XPath`
//! level 1, as far as Windows takes it).
//!
//! ```text
//! path = step *( "/" step ) [ "/" ( "text()" | "@" name ) ]
//! step = "." | name [ "[" position "]" ]
//! ```
//!
//! The path begins at the instance, or with the name of its class, and leads
//! through a property into embedded instances. Names are compared by case;
//! prefixes have no effect. The one attribute is `xsi:nil`: it is there where a
//! property is null. The instance itself is no fragment.

use std::sync::Arc;

use crate::cim::Class;
use crate::cim::Instance;
use crate::cim::Property;
use crate::cim::Type;
use crate::cim::Value;
use crate::cim::Values;
use crate::cim::xml;
use crate::xml::Element;
use crate::xml::Writer;
use crate::xml::ns;

use super::error::Error;
use super::error::FragmentError;
use super::error::shorten;
use super::request::Request;
use super::target::Target;

/// An expression, checked against a class.
#[derive(Debug)]
pub(super) struct Fragment<'c> {
    /// The property that it leads through.
    pub(super) property: &'c Property,
    /// One value of an array, counted from 1.
    position: Option<usize>,
    /// The property of embedded instances that it leads to, and the position
    /// of one value of that.
    inner: Option<(&'c Property, Option<usize>)>,
    end: End,
}

/// What of the value is meant.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    /// The element.
    Element,
    /// `text()`: its text.
    Text,
    /// `@xsi:nil`: whether it is null.
    Nil,
}

impl<'c> Fragment<'c> {
    /// The fragment that `request` is about, if it is about one.
    ///
    /// # Errors
    ///
    /// [`Error::FragmentPath`].
    pub(super) fn of(request: &Request<'_>, target: Target<'c>) -> Result<Option<Self>, Error> {
        request
            .fragment
            .map(|expression| Self::parse(target.class(), &target.served.parts, expression))
            .transpose()
    }

    /// Reads `State`, `State/text()`, `Files[2]`, `Job/Files[2]/LocalFile[1]`.
    ///
    /// # Errors
    ///
    /// [`Error::FragmentPath`] for everything else, and for names that the
    /// class does not have.
    pub(super) fn parse(
        class: &'c Class,
        parts: &'c [Arc<Class>],
        expression: &str,
    ) -> Result<Self, Error> {
        let refused = || Error::FragmentPath(shorten(expression));
        if expression.len() > MAX_OCTETS {
            return Err(refused());
        }
        let mut steps = expression
            .split('/')
            .map(str::trim)
            .filter(|step| *step != ".");
        let mut first = steps.next().and_then(step).ok_or_else(refused)?;
        if let (name, None | Some(1)) = first
            && name == class.name
            && property(class, name).is_none()
        {
            first = steps.next().and_then(step).ok_or_else(refused)?;
        }
        let mut fragment = Self {
            property: property(class, first.0).ok_or_else(refused)?,
            position: first.1,
            inner: None,
            end: End::Element,
        };
        for next in steps {
            if fragment.end != End::Element {
                return Err(refused());
            }
            if is_text(next) {
                fragment.end = End::Text;
            } else if let Some(name) = next.strip_prefix('@') {
                let is_nil = step(name).is_some_and(|step| step == ("nil", None));
                fragment.end = is_nil.then_some(End::Nil).ok_or_else(refused)?;
            } else {
                let inner = fragment.descend(parts, next).ok_or_else(refused)?;
                fragment.inner = Some(inner);
            }
        }
        Ok(fragment)
    }

    /// A step into embedded instances, which have none of their own.
    fn descend(
        &self,
        parts: &'c [Arc<Class>],
        text: &str,
    ) -> Option<(&'c Property, Option<usize>)> {
        let Type::Instance(part) = &self.property.kind else {
            return None;
        };
        if self.inner.is_some() {
            return None;
        }
        let part = parts.iter().find(|class| class.name == *part)?;
        let (name, position) = step(text)?;
        Some((property(part, name)?, position))
    }

    /// It leads to one value of an array that may have many.
    pub(super) fn is_one_of_many(&self) -> bool {
        self.property.is_array && self.position.is_some()
    }

    /// The names of the properties that it takes to answer it; with the keys
    /// if the address of the instance is wanted too.
    pub(super) fn properties(&self, target: Target<'_>, with_keys: bool) -> Vec<String> {
        let keys = target.class().keys().filter(|_| with_keys);
        let names = std::iter::once(self.property).chain(keys);
        names.map(|property| property.name.clone()).collect()
    }

    /// Writes `wsman:XmlFragment` with what is there of it.
    pub(super) fn write(&self, writer: &mut Writer, instance: &Instance, base: &str) {
        let class = instance.class();
        let qname = ["wsman:XmlFragment"];
        xml::open(writer, &qname, class, base);
        writer.raw(">");
        for value in picked(instance.value(&self.property.name), self.position) {
            match (self.inner, value) {
                (None, value) => self.write_end(writer, value, |writer| {
                    xml::write_property(writer, class, self.property, value);
                }),
                (Some((inner, position)), Some(Value::Instance(part))) => {
                    for value in picked(part.value(&inner.name), position) {
                        self.write_end(writer, value, |writer| {
                            let (outer, name) = (self.property, &inner.name);
                            xml::write_inner_property(writer, class, outer, name, value);
                        });
                    }
                }
                (Some(_), _) => {}
            }
        }
        xml::close(writer, &qname);
    }

    fn write_end(
        &self,
        writer: &mut Writer,
        value: Option<&Value>,
        element: impl FnOnce(&mut Writer),
    ) {
        match (self.end, value) {
            (End::Element, _) => element(writer),
            (End::Text, Some(value)) => xml::write_text(writer, value),
            (End::Nil, None) => writer.raw("true"),
            (End::Text, None) | (End::Nil, Some(_)) => {}
        }
    }

    /// Reads the new value of a fragment from the body of a Put.
    ///
    /// # Errors
    ///
    /// [`Error::KeyChanged`], [`Error::ReadOnly`]; [`Error::Fragment`] for a
    /// body that does not hold the fragment, and for a part that cannot be set
    /// by itself; [`Error::Representation`] for a wrong value.
    pub(super) fn read(&self, body: &Element<'_>) -> Result<Values, Error> {
        let property = self.property;
        if property.is_key {
            return Err(Error::KeyChanged(property.name.clone()));
        }
        if !property.is_writable {
            return Err(Error::ReadOnly(property.name.clone()));
        }
        if self.inner.is_some() {
            return Err(Error::Fragment(FragmentError::Embedded));
        }
        // What is one of many when it is read may be another one when it is
        // written.
        if self.is_one_of_many() {
            return Err(Error::Fragment(FragmentError::Array));
        }
        if self.position.is_some_and(|position| position > 1) {
            return Err(Error::Fragment(FragmentError::Position));
        }
        if !body.is(ns::WSMAN, "XmlFragment") {
            return Err(Error::Fragment(FragmentError::Missing));
        }
        let read = |element| xml::read_property(property, element).map_err(Error::Representation);
        // wsl and Windows leave the child without a namespace.
        let is_named = body
            .children()
            .iter()
            .all(|element| element.local() == property.name);
        let value = match (self.end, body.children()) {
            (End::Text, []) if !property.is_array => read(body)?,
            (End::Element, [element]) if is_named && !property.is_array => read(element)?,
            (End::Element, elements @ [_, ..]) if is_named && property.is_array => {
                let values: Vec<Option<Value>> =
                    elements.iter().map(read).collect::<Result<_, _>>()?;
                let values: Vec<Value> = values.into_iter().flatten().collect();
                (!values.is_empty()).then_some(Value::Array(values))
            }
            (End::Nil, _) => return Err(Error::Fragment(FragmentError::Attribute)),
            (End::Text | End::Element, _) => {
                return Err(Error::Fragment(FragmentError::Other));
            }
        };
        let mut values = Values::new();
        values.insert(&property.name, value);
        Ok(values)
    }
}

/// The values at a position; all without one. Null is one value.
fn picked(value: Option<&Value>, position: Option<usize>) -> Vec<Option<&Value>> {
    match (value, position) {
        (Some(Value::Array(values)), None) if !values.is_empty() => {
            values.iter().map(Some).collect()
        }
        (Some(Value::Array(values)), Some(position)) => {
            let at = position.checked_sub(1);
            at.and_then(|at| values.get(at))
                .map(Some)
                .into_iter()
                .collect()
        }
        // An array without elements is null, here too.
        (Some(Value::Array(_)), None) => vec![None],
        (value, None | Some(1)) => vec![value],
        (_, Some(_)) => Vec::new(),
    }
}

/// The property of that very name.
fn property<'c>(class: &'c Class, name: &str) -> Option<&'c Property> {
    let (_, property) = class.property(name)?;
    (property.name == name).then_some(property)
}

/// `text()`, with blanks anywhere between its parts.
fn is_text(step: &str) -> bool {
    step.chars()
        .filter(|c| !c.is_whitespace())
        .eq("text()".chars())
        && step.starts_with("text")
}

/// A name and perhaps a position: `p:Files[2]`.
fn step(text: &str) -> Option<(&str, Option<usize>)> {
    let (name, position) = match text.split_once('[') {
        None => (text, None),
        Some((name, rest)) => {
            let digits = rest.strip_suffix(']')?.trim();
            let is_number = digits.bytes().all(|octet| octet.is_ascii_digit());
            let position: usize = digits.parse().ok().filter(|number| *number > 0)?;
            (name.trim(), is_number.then_some(Some(position))?)
        }
    };
    let is_name = |name: &str| {
        !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    let name = match name.split_once(':') {
        None => name,
        Some((prefix, local)) if is_name(&prefix.replace(['-', '.'], "")) => local,
        Some(_) => return None,
    };
    is_name(name).then_some((name, position))
}

/// Octets of an expression: names of classes and properties are shorter.
const MAX_OCTETS: usize = 1_024;

#[cfg(test)]
mod tests;
