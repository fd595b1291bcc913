//! `wsman:FragmentTransfer`: part of an instance, by a path of names, one
//! position and `text()` (DSP0226 7.7, the level 1 that Windows takes).

use crate::cim::Class;
use crate::cim::Instance;
use crate::cim::Property;
use crate::cim::Type;
use crate::cim::Value;
use crate::cim::xml;
use crate::xml::Writer;

use super::error::Error;
use super::error::shorten;

/// An expression, checked against a class.
#[derive(Debug)]
pub(super) struct Fragment<'c> {
    /// The property that it leads through.
    pub(super) property: &'c Property,
    /// One value of an array, counted from 1.
    pub(super) position: Option<usize>,
    /// The property of an embedded instance that it leads to, by name.
    pub(super) inner: Option<String>,
    /// Only the text is meant.
    pub(super) is_text: bool,
}

impl<'c> Fragment<'c> {
    /// Reads `State`, `State/text()`, `Files[2]`, `Files[2]/LocalFile`. Names
    /// are compared by case; a prefix before one has no effect.
    ///
    /// # Errors
    ///
    /// [`Error::FragmentPath`] for everything else, and for names that the
    /// class does not have.
    pub(super) fn parse(class: &'c Class, expression: &str) -> Result<Self, Error> {
        let refused = || Error::FragmentPath(shorten(expression));
        let mut steps = expression.split('/').map(str::trim);
        let (name, position) = step(steps.next().unwrap_or_default()).ok_or_else(refused)?;
        let (_, property) = class
            .property(name)
            .filter(|(_, property)| property.name == name)
            .ok_or_else(refused)?;
        let mut fragment = Self {
            property,
            position,
            inner: None,
            is_text: false,
        };
        for next in steps {
            if fragment.is_text {
                return Err(refused());
            }
            match (next, &property.kind) {
                ("text()", _) => fragment.is_text = true,
                (_, Type::Instance(_)) if fragment.inner.is_none() => {
                    let Some((name, None | Some(1))) = step(next) else {
                        return Err(refused());
                    };
                    fragment.inner = Some(name.to_owned());
                }
                _ => return Err(refused()),
            }
        }
        Ok(fragment)
    }

    /// Writes `wsman:XmlFragment` with what is there of it.
    ///
    /// # Errors
    ///
    /// [`Error::FragmentPath`] when embedded instances have no such property.
    pub(super) fn write(
        &self,
        writer: &mut Writer,
        instance: &Instance,
        base: &str,
    ) -> Result<(), Error> {
        let class = instance.class();
        let qname = ["wsman:XmlFragment"];
        xml::open(writer, &qname, class, base);
        writer.raw(">");
        let value = instance.value(&self.property.name);
        match (self.position, value) {
            (None, Some(Value::Array(values))) if !values.is_empty() => {
                for value in values {
                    self.write_one(writer, class, Some(value))?;
                }
            }
            (Some(position), Some(Value::Array(values))) => {
                let value = position.checked_sub(1).and_then(|at| values.get(at));
                if value.is_some() {
                    self.write_one(writer, class, value)?;
                }
            }
            (None | Some(1), value) => self.write_one(writer, class, value)?,
            (Some(_), _) => {}
        }
        xml::close(writer, &qname);
        Ok(())
    }

    fn write_one(
        &self,
        writer: &mut Writer,
        class: &Class,
        value: Option<&Value>,
    ) -> Result<(), Error> {
        let (Some(inner), Some(Value::Instance(part))) = (&self.inner, value) else {
            if self.is_text {
                if let Some(value) = value {
                    xml::write_text(writer, value);
                }
            } else if self.inner.is_none() {
                xml::write_property(writer, class, self.property, value);
            }
            return Ok(());
        };
        let (_, property) = part
            .class()
            .property(inner)
            .filter(|(_, property)| property.name == *inner)
            .ok_or_else(|| Error::FragmentPath(shorten(inner)))?;
        match (part.value(inner), self.is_text) {
            (Some(value), true) => xml::write_text(writer, value),
            (None, true) => {}
            (value, false) => {
                xml::write_inner_property(writer, class, self.property, &property.name, value);
            }
        }
        Ok(())
    }
}

/// A name and perhaps a position: `p:Files[2]`.
fn step(text: &str) -> Option<(&str, Option<usize>)> {
    let (name, position) = match text.split_once('[') {
        None => (text, None),
        Some((name, rest)) => {
            let digits = rest.strip_suffix(']')?.trim();
            let position: usize = digits.parse().ok().filter(|position| *position > 0)?;
            (name.trim(), Some(position))
        }
    };
    let name = name.split_once(':').map_or(name, |(_, local)| local);
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (!name.is_empty() && name.chars().all(is_name)).then_some((name, position))
}
