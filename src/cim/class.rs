//! What a class is made of.

use super::Value;

/// A class as its MOF defines it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Class {
    /// Its canonical name.
    pub(crate) name: String,
    /// Its namespace, with forward slashes: `root/microsoft/bits`.
    pub(crate) namespace: String,
    /// The classes that it is derived from, the nearest first.
    pub(crate) derivation: Vec<String>,
    /// Qualifiers of the class itself.
    pub(crate) qualifiers: Vec<Qualifier>,
    /// Those inherited first, then in the order of the MOF.
    pub(crate) properties: Vec<Property>,
    /// Those inherited first, then in the order of the MOF.
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
    /// `[required]`: an instance cannot be created without it.
    pub(crate) is_required: bool,
    /// `[Initial]` (ours): may be given when an instance is created, though it
    /// is not written after.
    pub(crate) is_initial: bool,
    /// `[Bulk]` (ours): left nil where the instance would not fit into the
    /// client's envelope with it.
    pub(crate) is_bulk: bool,
    /// Which class brought it in, and whether this one only inherits it.
    pub(crate) origin: Origin,
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
    /// Which class brought it in, and whether this one only inherits it.
    pub(crate) origin: Origin,
    /// All of them, those above included.
    pub(crate) qualifiers: Vec<Qualifier>,
}

/// Where a property or method of a class comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Origin {
    /// The class that brought it in.
    pub(crate) class: String,
    /// It is inherited as it was; one that is overridden is not.
    pub(crate) is_propagated: bool,
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
    /// It is inherited as it was.
    pub(crate) is_propagated: bool,
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

    /// The class is the one with this name, in any case, or derived from it.
    pub(crate) fn is_a(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
            || self
                .derivation
                .iter()
                .any(|superclass| superclass.eq_ignore_ascii_case(name))
    }

    /// `[abstract]`: it has no instances but those of classes derived from it.
    pub(crate) fn is_abstract(&self) -> bool {
        is_set(&self.qualifiers, "abstract")
    }

    /// Puts the properties into the order in which Windows writes them.
    pub(super) fn sort(&mut self) {
        self.order = (0..self.properties.len()).collect();
        self.order
            .sort_by_cached_key(|at| self.properties[*at].name.to_ascii_lowercase());
    }
}

impl Property {
    /// A property of the class `origin` that is what its qualifiers say.
    pub(super) fn new(
        name: String,
        kind: Type,
        is_array: bool,
        origin: Origin,
        qualifiers: Vec<Qualifier>,
    ) -> Self {
        Self {
            name,
            kind,
            is_array,
            is_key: is_set(&qualifiers, "key"),
            is_writable: is_set(&qualifiers, "write"),
            is_required: is_set(&qualifiers, "required"),
            is_initial: is_set(&qualifiers, "Initial"),
            is_bulk: is_set(&qualifiers, "Bulk"),
            origin,
            qualifiers,
        }
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

/// The boolean qualifier with this name is there and true.
pub(super) fn is_set(qualifiers: &[Qualifier], name: &str) -> bool {
    qualifiers.iter().any(|qualifier| {
        qualifier.name.eq_ignore_ascii_case(name) && qualifier.values == [Value::Boolean(true)]
    })
}
