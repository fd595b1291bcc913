//! Values, and instances checked against their class.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Class;
use super::Type;

/// A value that is not null.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// `true` or `false`.
    Boolean(bool),
    /// 8 bits.
    Uint8(u8),
    /// 16 bits.
    Uint16(u16),
    /// 32 bits.
    Uint32(u32),
    /// 64 bits.
    Uint64(u64),
    /// 8 bits.
    Sint8(i8),
    /// 16 bits.
    Sint16(i16),
    /// 32 bits.
    Sint32(i32),
    /// 64 bits.
    Sint64(i64),
    /// Text.
    String(String),
    /// An embedded instance.
    Instance(Box<Instance>),
    /// The elements of an array, of one type.
    Array(Vec<Value>),
}

/// An instance of a class: a value or null for each property.
#[derive(Clone, Debug)]
pub(crate) struct Instance {
    class: Arc<Class>,
    values: Vec<Option<Value>>,
    /// Place after the property that was set last: providers fill an instance
    /// in the order of its class, and find the next one without a search.
    next: usize,
}

/// Named values: what a Put sets, what a method takes and gives. The names are
/// the canonical ones; a null value stands as `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Values(BTreeMap<String, Option<Value>>);

/// The class has no such property, or one of another type.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{class} has no property {property} of that type")]
pub(crate) struct NotInSchema {
    /// The class.
    pub(crate) class: String,
    /// The property.
    pub(crate) property: String,
}

impl Value {
    /// The value is one of `kind`, or an array of such values.
    pub(crate) fn fits(&self, kind: &Type, is_array: bool) -> bool {
        match (self, kind) {
            (Self::Array(values), _) => {
                is_array && values.iter().all(|value| value.fits(kind, false))
            }
            (Self::Boolean(_), Type::Boolean)
            | (Self::Uint8(_), Type::Uint8)
            | (Self::Uint16(_), Type::Uint16)
            | (Self::Uint32(_), Type::Uint32)
            | (Self::Uint64(_), Type::Uint64)
            | (Self::Sint8(_), Type::Sint8)
            | (Self::Sint16(_), Type::Sint16)
            | (Self::Sint32(_), Type::Sint32)
            | (Self::Sint64(_), Type::Sint64)
            | (Self::String(_), Type::String) => !is_array,
            (Self::Instance(instance), Type::Instance(class)) => {
                !is_array && instance.class.name == *class
            }
            _ => false,
        }
    }
}

impl Instance {
    /// An instance with every property null.
    pub(crate) fn new(class: &Arc<Class>) -> Self {
        Self {
            class: Arc::clone(class),
            values: class.properties.iter().map(|_| None).collect(),
            next: 0,
        }
    }

    /// Its class.
    pub(crate) fn class(&self) -> &Arc<Class> {
        &self.class
    }

    /// Gives a property a value.
    ///
    /// # Errors
    ///
    /// [`NotInSchema`] when the class has no such property, or one of another
    /// type.
    pub(crate) fn set(&mut self, name: &str, value: Value) -> Result<(), NotInSchema> {
        let next = self.class.properties.get(self.next);
        let found = match next.filter(|property| property.name == name) {
            Some(property) => Some((self.next, property)),
            None => self.class.property(name),
        };
        match found {
            Some((at, property)) if value.fits(&property.kind, property.is_array) => {
                self.values[at] = Some(value);
                self.next = at + 1;
                Ok(())
            }
            _ => Err(NotInSchema {
                class: self.class.name.clone(),
                property: name.to_owned(),
            }),
        }
    }

    /// Makes a property null.
    #[cfg(test)]
    pub(crate) fn clear(&mut self, name: &str) {
        if let Some((at, _)) = self.class.property(name) {
            self.values[at] = None;
        }
    }

    /// The value of a property, by name in any case; none when it is null or
    /// not there.
    pub(crate) fn value(&self, name: &str) -> Option<&Value> {
        self.class
            .property(name)
            .and_then(|(at, _)| self.values[at].as_ref())
    }

    /// The values in the order of the class's properties.
    pub(crate) fn values(&self) -> &[Option<Value>] {
        &self.values
    }
}

impl PartialEq for Instance {
    fn eq(&self, other: &Self) -> bool {
        self.class == other.class && self.values == other.values
    }
}

impl Values {
    /// No values.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds a value under its canonical name.
    pub(crate) fn insert(&mut self, name: &str, value: Option<Value>) {
        self.0.insert(name.to_owned(), value);
    }

    /// Adds an element to the array under its canonical name; a null element
    /// leaves the array as it is.
    pub(super) fn push(&mut self, name: &str, element: Option<Value>) {
        match (self.0.get_mut(name), element) {
            (Some(Some(Value::Array(elements))), Some(element)) => elements.push(element),
            (_, Some(element)) => self.insert(name, Some(Value::Array(vec![element]))),
            (Some(_), None) => {}
            (None, None) => self.insert(name, None),
        }
    }

    /// The value under this canonical name; none when it is null or absent.
    pub(crate) fn value(&self, name: &str) -> Option<&Value> {
        self.0.get(name).and_then(Option::as_ref)
    }

    /// Takes the value under this canonical name out; none when it is null or
    /// absent.
    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).flatten()
    }

    /// There is an entry, null or not.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Every entry, in the order of the names.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, Option<&Value>)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_ref()))
    }
}

impl IntoIterator for Values {
    type Item = (String, Option<Value>);
    type IntoIter = std::collections::btree_map::IntoIter<String, Option<Value>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
