//! What a class is made of.

use super::Value;

/// A class as its MOF defines it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Class {
    /// Its canonical name.
    pub(crate) name: String,
    /// Its namespace, with forward slashes: `root/microsoft/bits`.
    pub(crate) namespace: String,
    /// Qualifiers of the class itself.
    pub(crate) qualifiers: Vec<Qualifier>,
    /// In the order of the MOF.
    pub(crate) properties: Vec<Property>,
    /// In the order of the MOF.
    pub(crate) methods: Vec<Method>,
    /// Places of the properties in alphabetical order, ignoring case: the
    /// order in which they are written.
    pub(crate) order: Vec<usize>,
}

/// A property of a class.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a qualifier of its own"
)]
pub(crate) struct Property {
    /// Its canonical name.
    pub(crate) name: String,
    /// The type of its value, or of its elements.
    pub(crate) kind: Type,
    /// It holds any number of values.
    pub(crate) is_array: bool,
    /// `[key]`.
    pub(crate) is_key: bool,
    /// `[write]`.
    pub(crate) is_writable: bool,
    /// `[Bulk]` (ours): left nil where the instance would not fit into the
    /// client's envelope with it.
    pub(crate) is_bulk: bool,
    /// All of them, those above included.
    pub(crate) qualifiers: Vec<Qualifier>,
}

/// A method of a class.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Method {
    /// Its canonical name.
    pub(crate) name: String,
    /// `[static]`: called on the class, without key selectors.
    pub(crate) is_static: bool,
    /// The type of `ReturnValue`.
    pub(crate) returns: Type,
    /// In the order of the MOF.
    pub(crate) parameters: Vec<Parameter>,
    /// All of them, those above included.
    pub(crate) qualifiers: Vec<Qualifier>,
}

/// A parameter of a method.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a qualifier of its own"
)]
pub(crate) struct Parameter {
    /// Its canonical name.
    pub(crate) name: String,
    /// The type of its value, or of its elements.
    pub(crate) kind: Type,
    /// It holds any number of values.
    pub(crate) is_array: bool,
    /// `[in]`.
    pub(crate) is_in: bool,
    /// `[out]`.
    pub(crate) is_out: bool,
    /// `[optional]` (ours, after WMI's): may be absent or null.
    pub(crate) is_optional: bool,
    /// All of them, those above included.
    pub(crate) qualifiers: Vec<Qualifier>,
}

/// The type of a value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Type {
    /// `true` or `false`.
    Boolean,
    /// 8 bits.
    Uint8,
    /// 16 bits.
    Uint16,
    /// 32 bits.
    Uint32,
    /// 64 bits.
    Uint64,
    /// 8 bits.
    Sint8,
    /// 16 bits.
    Sint16,
    /// 32 bits.
    Sint32,
    /// 64 bits.
    Sint64,
    /// Text.
    String,
    /// An embedded instance of the class with this name.
    Instance(String),
}

/// A qualifier and its value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Qualifier {
    /// As written.
    pub(crate) name: String,
    /// One value, or those of an array.
    pub(crate) values: Vec<Value>,
    /// The value was written as an array.
    pub(crate) is_array: bool,
}

impl Class {
    /// The property with this name in any case, and its place.
    pub(crate) fn property(&self, name: &str) -> Option<(usize, &Property)> {
        let mut properties = self.properties.iter().enumerate();
        // Most ask by the canonical name, and that is found faster.
        properties
            .clone()
            .find(|(_, property)| property.name == name)
            .or_else(|| properties.find(|(_, property)| property.name.eq_ignore_ascii_case(name)))
    }

    /// The method with this name in any case.
    pub(crate) fn method(&self, name: &str) -> Option<&Method> {
        self.methods
            .iter()
            .find(|method| method.name.eq_ignore_ascii_case(name))
    }

    /// The properties that name an instance.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &Property> {
        self.properties.iter().filter(|property| property.is_key)
    }
}

impl Method {
    /// The parameter with this name in any case.
    pub(crate) fn parameter(&self, name: &str) -> Option<&Parameter> {
        self.parameters
            .iter()
            .find(|parameter| parameter.name.eq_ignore_ascii_case(name))
    }
}
