//! Instances and method output to XML, and XML to values (DSP0230, [MS-WSMV]
//! 2.2.4; shapes as Windows sends them).
//!
//! Writing: properties in alphabetical order ignoring case, every one of them
//! always there, null as `xsi:nil`; prefixes are declared on the root, so that
//! a leaf has no attribute but `xsi:nil`. An array without elements is written
//! as null, unless the client wants arrays to be precise.
//!
//! Reading: names in any case and order; namespaces are ignored, as is
//! `xsi:type`, whose prefix clients leave undeclared.

mod creation;

use std::sync::Arc;

pub(crate) use creation::read_creation;

use super::Class;
use super::Instance;
use super::Method;
use super::Property;
use super::Type;
use super::Value;
use super::Values;
use super::catalog::embedded;
use crate::xml::Element;
use crate::xml::Writer;
use crate::xml::ns;

/// Which properties are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Extent {
    /// All.
    Whole,
    /// Those with `[Bulk]` as null.
    WithoutBulk,
}

/// How arrays that have no elements are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Arrays {
    /// As null, whether they are null or empty.
    Plain,
    /// Null ones marked `IsNullArray`, empty ones not at all: what
    /// `msftwinrm:UsePreciseArrays` asks for.
    Precise,
}

/// Writes `instance` as an element in the namespace `base` + class name.
pub(crate) fn write_instance(
    writer: &mut Writer,
    instance: &Instance,
    base: &str,
    extent: Extent,
    arrays: Arrays,
) {
    let class = instance.class();
    let qname = ["p:", &class.name];
    open(writer, &qname, class, base);
    writer.raw(" xsi:type=\"p:");
    writer.raw(&class.name);
    writer.raw("_Type\">");
    for &at in &class.order {
        let (Some(property), Some(value)) = (class.properties.get(at), instance.values().get(at))
        else {
            continue;
        };
        let value = match extent {
            Extent::WithoutBulk if property.is_bulk => None,
            Extent::WithoutBulk | Extent::Whole => value.as_ref(),
        };
        if arrays == Arrays::Precise && property.is_array {
            write_precise(writer, class, property, value);
        } else {
            write_property(writer, class, property, value);
        }
    }
    close(writer, &qname);
}

/// Begins `<qname>` with the prefixes of an instance of `class` and of its
/// parts declared; the names and `base` are plain, so nothing is escaped.
/// [`close`] ends it.
pub(crate) fn open(writer: &mut Writer, qname: &[&str], class: &Class, base: &str) {
    writer.raw("<");
    for part in qname {
        writer.raw(part);
    }
    writer.raw(concat!(
        " xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"",
        " xmlns:cim=\"http://schemas.dmtf.org/wbem/wscim/1/common\" xmlns:p=\""
    ));
    writer.raw(base);
    writer.raw(&class.name);
    for (at, name) in embedded(class).enumerate() {
        writer.raw("\" xmlns:p");
        unsigned(writer, u64::try_from(at).unwrap_or(0) + 1);
        writer.raw("=\"");
        writer.raw(base);
        writer.raw(name);
    }
    writer.raw("\"");
}

/// Ends what [`open`] began.
pub(crate) fn close(writer: &mut Writer, qname: &[&str]) {
    writer.raw("</");
    for part in qname {
        writer.raw(part);
    }
    writer.raw(">");
}

/// Writes one property: an element for each value of an array.
pub(crate) fn write_property(
    writer: &mut Writer,
    class: &Class,
    property: &Property,
    value: Option<&Value>,
) {
    let inner = inner_prefix(class, property);
    let inner = inner.as_deref().unwrap_or_default();
    match value {
        Some(Value::Array(values)) if !values.is_empty() => {
            for value in values {
                write_value(writer, "p", &property.name, Some(value), inner);
            }
        }
        Some(Value::Array(_)) | None => write_value(writer, "p", &property.name, None, inner),
        value => write_value(writer, "p", &property.name, value, inner),
    }
}

/// Writes an array so that null and no elements can be told apart.
fn write_precise(writer: &mut Writer, class: &Class, property: &Property, value: Option<&Value>) {
    match value {
        Some(Value::Array(values)) if values.is_empty() => {}
        None => {
            writer.start_in("p", &property.name);
            writer.attribute("xsi:nil", "true");
            // Declared here: few answers have it.
            writer.attribute("xmlns:m", ns::MS);
            writer.attribute("m:IsNullArray", "true");
            writer.end();
        }
        value => write_property(writer, class, property, value),
    }
}

/// Writes the properties of `instance` that `columns` names, in that order and
/// without namespace, embedded instances too: what a projection gives
/// ([MS-WSMV] footnotes 58 to 60). The prefix `xsi` must be declared outside.
pub(crate) fn write_row(
    writer: &mut Writer,
    instance: &Instance,
    columns: &[String],
    extent: Extent,
) {
    for name in columns {
        let Some((at, property)) = instance.class().property(name) else {
            continue;
        };
        let value = match extent {
            Extent::WithoutBulk if property.is_bulk => None,
            Extent::WithoutBulk | Extent::Whole => {
                instance.values().get(at).and_then(Option::as_ref)
            }
        };
        write_cell(writer, &property.name, value);
    }
}

/// One property of a row, or of an instance embedded in it: an element for
/// each value of an array.
fn write_cell(writer: &mut Writer, name: &str, value: Option<&Value>) {
    if let Some(Value::Array(values)) = value
        && !values.is_empty()
    {
        for value in values {
            write_cell(writer, name, Some(value));
        }
        return;
    }
    writer.start(name);
    match value {
        None | Some(Value::Array(_)) => writer.attribute("xsi:nil", "true"),
        Some(Value::Instance(instance)) => {
            let class = instance.class();
            writer.text("");
            for &at in &class.order {
                if let (Some(property), Some(value)) =
                    (class.properties.get(at), instance.values().get(at))
                {
                    write_cell(writer, &property.name, value.as_ref());
                }
            }
        }
        Some(value) => {
            writer.text("");
            write_text(writer, value);
        }
    }
    writer.end();
}

/// Writes one property of an instance embedded in `outer`, a property of
/// `class`.
pub(crate) fn write_inner_property(
    writer: &mut Writer,
    class: &Class,
    outer: &Property,
    name: &str,
    value: Option<&Value>,
) {
    let prefix = inner_prefix(class, outer);
    write_value(writer, prefix.as_deref().unwrap_or("p"), name, value, "");
}

/// The prefix of the instances embedded in a property.
fn inner_prefix(class: &Class, property: &Property) -> Option<String> {
    match &property.kind {
        Type::Instance(name) => embedded(class)
            .position(|other| other == name)
            .map(|at| format!("p{}", at + 1)),
        _ => None,
    }
}

/// Writes the text of a value alone, as `text()` asks for it; nothing for an
/// embedded instance.
pub(crate) fn write_text(writer: &mut Writer, value: &Value) {
    match value {
        Value::Boolean(true) => writer.raw("true"),
        Value::Boolean(false) => writer.raw("false"),
        Value::Uint8(number) => unsigned(writer, u64::from(*number)),
        Value::Uint16(number) => unsigned(writer, u64::from(*number)),
        Value::Uint32(number) => unsigned(writer, u64::from(*number)),
        Value::Uint64(number) => unsigned(writer, *number),
        Value::Sint8(number) => signed(writer, i64::from(*number)),
        Value::Sint16(number) => signed(writer, i64::from(*number)),
        Value::Sint32(number) => signed(writer, i64::from(*number)),
        Value::Sint64(number) => signed(writer, *number),
        Value::String(text) => writer.text(text),
        Value::Instance(_) => {}
        Value::Array(values) => {
            for value in values {
                write_text(writer, value);
            }
        }
    }
}

/// Writes `<p:Method_OUTPUT>`: out-parameters in the order of the class, then
/// `ReturnValue` 0.
pub(crate) fn write_output(
    writer: &mut Writer,
    class: &Class,
    method: &Method,
    output: &Values,
    base: &str,
) {
    let qname = ["p:", &method.name, "_OUTPUT"];
    open(writer, &qname, class, base);
    writer.raw(">");
    for parameter in method.parameters.iter().filter(|p| p.is_out) {
        match output.value(&parameter.name) {
            Some(Value::Array(values)) if !values.is_empty() => {
                for value in values {
                    write_value(writer, "p", &parameter.name, Some(value), "");
                }
            }
            Some(Value::Array(_)) | None => write_value(writer, "p", &parameter.name, None, ""),
            value => write_value(writer, "p", &parameter.name, value, ""),
        }
    }
    writer.raw("<p:ReturnValue>0</p:ReturnValue>");
    close(writer, &qname);
}

/// One element; `inner` is the prefix of an embedded instance.
fn write_value(writer: &mut Writer, prefix: &str, name: &str, value: Option<&Value>, inner: &str) {
    writer.start_in(prefix, name);
    match value {
        None => writer.attribute("xsi:nil", "true"),
        Some(Value::Instance(instance)) if !inner.is_empty() => {
            let class = instance.class();
            writer.attribute("xsi:type", &[inner, ":", &class.name, "_Type"].concat());
            writer.text("");
            for &at in &class.order {
                let (Some(property), Some(value)) =
                    (class.properties.get(at), instance.values().get(at))
                else {
                    continue;
                };
                match value {
                    Some(Value::Array(values)) if !values.is_empty() => {
                        for value in values {
                            write_value(writer, inner, &property.name, Some(value), "");
                        }
                    }
                    Some(Value::Array(_)) => write_value(writer, inner, &property.name, None, ""),
                    value => write_value(writer, inner, &property.name, value.as_ref(), ""),
                }
            }
        }
        Some(value) => {
            writer.text("");
            write_text(writer, value);
        }
    }
    writer.end();
}

fn signed(writer: &mut Writer, number: i64) {
    if number < 0 {
        writer.raw("-");
    }
    unsigned(writer, number.unsigned_abs());
}

/// Decimal digits without an allocation.
fn unsigned(writer: &mut Writer, mut number: u64) {
    let mut digits = [b'0'; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    writer.raw(std::str::from_utf8(&digits[at..]).unwrap_or("0"));
}

/// What a representation asks for.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Changes {
    /// New values of writable properties, by canonical name.
    pub(crate) values: Values,
    /// Key properties as they were written, by canonical name.
    pub(crate) keys: Vec<(String, String)>,
}

/// An element says something that the class does not allow.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum ReadError {
    /// The class or method has nothing of that name.
    #[error("{0} is not known")]
    Unknown(String),
    /// The text is not of the type.
    #[error("{name} is not {expected}")]
    Type {
        /// The property or parameter.
        name: String,
        /// What it must be.
        expected: Expected,
    },
    /// It holds one value, and stands more than once.
    #[error("{0} stands more than once")]
    Twice(String),
    /// It must be given, and is not.
    #[error("{0} is missing")]
    Missing(String),
    /// It cannot be given: a key, or what only the service sets.
    #[error("{0} cannot be given")]
    Fixed(String),
}

/// What a value must be, for people.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Expected {
    /// Text without elements.
    #[error("a simple value")]
    Simple,
    /// A boolean.
    #[error("true or false")]
    Boolean,
    /// A number from 0, of so many bits.
    #[error("a number of {0} bits")]
    Unsigned(u8),
    /// A number of so many bits, one of them for the sign.
    #[error("a signed number of {0} bits")]
    Signed(u8),
    /// An instance of the class that is embedded.
    #[error("an embedded instance")]
    Instance,
    /// Something else: nobody gives an instance.
    #[error("a value that can be given")]
    Givable,
}

/// Reads a representation, whole or partial: writable properties are taken,
/// keys set aside, read-only properties passed over, for they move between a
/// client's Get and its Put. With `only`, elements that it does not name are
/// passed over too, and a read-only property that it does name is one that the
/// client means to change.
///
/// # Errors
///
/// [`ReadError`] for what the class does not have, and for wrong values;
/// [`ReadError::Fixed`] for a read-only property that `only` names.
pub(crate) fn read_changes(
    class: &Class,
    root: &Element<'_>,
    only: Option<&[&str]>,
) -> Result<Changes, ReadError> {
    let mut changes = Changes::default();
    for element in root.children() {
        // What older Windows adds to a representation.
        if element.is(ns::CIM, "Location") {
            continue;
        }
        let found = class.property(element.local());
        let is_wanted = only.is_none_or(|names| {
            names
                .iter()
                .any(|name| name.eq_ignore_ascii_case(element.local()))
        });
        let Some((_, property)) = found else {
            if is_wanted {
                return Err(ReadError::Unknown(shorten(element.local())));
            }
            continue;
        };
        if property.is_key {
            let text = element.text().trim().to_owned();
            changes.keys.push((property.name.clone(), text));
        }
        if property.is_writable && is_wanted {
            let slot = Slot {
                name: &property.name,
                kind: &property.kind,
                is_array: property.is_array,
            };
            slot.take(element, &mut changes.values)?;
        } else if is_wanted && only.is_some() && !property.is_key && !is_nil(element) {
            return Err(ReadError::Fixed(property.name.clone()));
        }
    }
    Ok(changes)
}

/// Reads one property from its element.
///
/// # Errors
///
/// [`ReadError::Type`].
pub(crate) fn read_property(
    property: &Property,
    element: &Element<'_>,
) -> Result<Option<Value>, ReadError> {
    read_value(element, &property.name, &property.kind)
}

/// Reads the arguments of a method; no root means no arguments. `parts` are the
/// classes that it takes instances of.
///
/// # Errors
///
/// [`ReadError`]; a parameter that is not optional must be there, but may be
/// null.
pub(crate) fn read_arguments(
    method: &Method,
    parts: &[Arc<Class>],
    root: Option<&Element<'_>>,
) -> Result<Values, ReadError> {
    let mut values = Values::new();
    for element in root.map_or(&[][..], Element::children) {
        let Some(parameter) = method.parameter(element.local()).filter(|p| p.is_in) else {
            return Err(ReadError::Unknown(shorten(element.local())));
        };
        let slot = Slot {
            name: &parameter.name,
            kind: &parameter.kind,
            is_array: parameter.is_array,
        };
        match &parameter.kind {
            Type::Instance(class) if !is_nil(element) => {
                let value = creation::read_argument(class, parts, &parameter.name, element)?;
                slot.put(Some(value), &mut values)?;
            }
            _ => slot.take(element, &mut values)?,
        }
    }
    for parameter in &method.parameters {
        if parameter.is_in && !parameter.is_optional && !values.contains(&parameter.name) {
            return Err(ReadError::Missing(parameter.name.clone()));
        }
    }
    Ok(values)
}

/// A place for a value: a property or a parameter.
struct Slot<'c> {
    name: &'c str,
    kind: &'c Type,
    is_array: bool,
}

impl Slot<'_> {
    fn take(&self, element: &Element<'_>, values: &mut Values) -> Result<(), ReadError> {
        let value = read_value(element, self.name, self.kind)?;
        self.put(value, values)
    }

    fn put(&self, value: Option<Value>, values: &mut Values) -> Result<(), ReadError> {
        if self.is_array {
            values.push(self.name, value);
            return Ok(());
        }
        if values.contains(self.name) {
            return Err(ReadError::Twice(self.name.to_owned()));
        }
        values.insert(self.name, value);
        Ok(())
    }
}

fn is_nil(element: &Element<'_>) -> bool {
    element
        .attribute(ns::XSI, "nil")
        .is_some_and(|nil| matches!(nil.trim(), "true" | "1"))
}

fn read_value(element: &Element<'_>, name: &str, kind: &Type) -> Result<Option<Value>, ReadError> {
    if is_nil(element) {
        return Ok(None);
    }
    let wrong = |expected| ReadError::Type {
        name: name.to_owned(),
        expected,
    };
    if !element.children().is_empty() {
        return Err(wrong(Expected::Simple));
    }
    let text = element.text();
    let trimmed = text.trim();
    let value = match kind {
        Type::String => Value::String(text.to_owned()),
        Type::Boolean => Value::Boolean(match trimmed {
            "1" => true,
            "0" => false,
            word if word.eq_ignore_ascii_case("true") => true,
            word if word.eq_ignore_ascii_case("false") => false,
            _ => return Err(wrong(Expected::Boolean)),
        }),
        Type::Uint8 => Value::Uint8(trimmed.parse().map_err(|_| wrong(Expected::Unsigned(8)))?),
        Type::Uint16 => Value::Uint16(trimmed.parse().map_err(|_| wrong(Expected::Unsigned(16)))?),
        Type::Uint32 => Value::Uint32(trimmed.parse().map_err(|_| wrong(Expected::Unsigned(32)))?),
        Type::Uint64 => Value::Uint64(trimmed.parse().map_err(|_| wrong(Expected::Unsigned(64)))?),
        Type::Sint8 => Value::Sint8(trimmed.parse().map_err(|_| wrong(Expected::Signed(8)))?),
        Type::Sint16 => Value::Sint16(trimmed.parse().map_err(|_| wrong(Expected::Signed(16)))?),
        Type::Sint32 => Value::Sint32(trimmed.parse().map_err(|_| wrong(Expected::Signed(32)))?),
        Type::Sint64 => Value::Sint64(trimmed.parse().map_err(|_| wrong(Expected::Signed(64)))?),
        // No class has one that is written after creation.
        Type::Instance(_) => return Err(wrong(Expected::Givable)),
    };
    Ok(Some(value))
}

/// A name that a client made up, cut to what fits into a sentence.
fn shorten(name: &str) -> String {
    name.chars().take(MAX_NAME).collect()
}

/// Characters of a client's word that an error repeats.
const MAX_NAME: usize = 128;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::cim::Catalog;
    use crate::xml::Limits;
    use crate::xml::parse;

    use super::*;

    const LIMITS: Limits = Limits {
        octets: 10_000,
        depth: 10,
        elements: 100,
        attributes: 10,
    };

    fn job() -> Arc<Class> {
        let catalog = Catalog::bundled().expect("schemas are correct");
        let class = catalog.class("root/microsoft/bits", "BitsClientJob");
        Arc::clone(class.expect("defined"))
    }

    fn arguments(method: &str, inner: &str) -> Result<Values, ReadError> {
        let class = job();
        let text = format!("<i xmlns:xsi='{}'>{inner}</i>", ns::XSI);
        let root = parse(&text, &LIMITS).expect("correct XML");
        read_arguments(class.method(method).expect("defined"), &[], Some(&root))
    }

    #[test]
    fn numbers_are_written_in_full() {
        for (value, wanted) in [
            (Value::Uint64(u64::MAX), "18446744073709551615"),
            (Value::Uint64(0), "0"),
            (Value::Sint64(i64::MIN), "-9223372036854775808"),
            (Value::Sint8(-1), "-1"),
            (Value::Uint32(10), "10"),
            (Value::Boolean(true), "true"),
        ] {
            let mut writer = Writer::with_capacity(32);
            write_text(&mut writer, &value);
            assert_eq!(writer.finish(), wanted);
        }
    }

    proptest! {
        #[test]
        fn a_number_of_any_length_is_written_as_others_write_it(number: u64, cut in 0_u32..64) {
            let number = number >> cut;
            let mut writer = Writer::with_capacity(32);
            unsigned(&mut writer, number);
            prop_assert_eq!(writer.finish(), number.to_string());
        }
    }

    #[test]
    fn an_instance_that_was_written_is_read_as_it_was() {
        let class = job();
        let mut instance = Instance::new(&class);
        for (name, value) in [
            ("JobId", Value::from("{1}")),
            ("DisplayName", Value::from(" a & b ")),
            ("Priority", Value::Uint32(3)),
        ] {
            instance.set(name, value).expect("in the schema");
        }
        let mut writer = Writer::with_capacity(4_096);
        write_instance(
            &mut writer,
            &instance,
            "urn:x/",
            Extent::Whole,
            Arrays::Plain,
        );
        let text = writer.finish();
        let root = parse(&text, &LIMITS).expect("our own XML");
        let changes = read_changes(&class, &root, None).expect("our own instance");
        assert_eq!(changes.keys, [("JobId".to_owned(), "{1}".to_owned())]);
        for property in &class.properties {
            assert_eq!(
                changes.values.contains(&property.name),
                property.is_writable,
                "{}",
                property.name
            );
            if property.is_writable {
                let value = instance.value(&property.name);
                assert_eq!(changes.values.value(&property.name), value);
            }
        }
    }

    #[test]
    fn an_array_without_elements_is_written_as_null() {
        let class = job();
        let mut instance = Instance::new(&class);
        instance
            .set("Files", Value::Array(Vec::new()))
            .expect("in the schema");
        let mut writer = Writer::with_capacity(4_096);
        write_instance(
            &mut writer,
            &instance,
            "urn:x/",
            Extent::Whole,
            Arrays::Plain,
        );
        assert!(writer.finish().contains("<p:Files xsi:nil=\"true\"/>"));
    }

    #[test]
    fn a_parameter_may_be_null_but_not_missing_unless_optional() {
        let both = "<ProxyUsage> 2 </ProxyUsage><proxylist xsi:nil='true'/>";
        let values = arguments("SetProxySettings", both).expect("correct");
        assert_eq!(values.value("ProxyUsage"), Some(&Value::Uint32(2)));
        assert!(values.contains("ProxyList") && !values.contains("ProxyBypassList"));
        assert_eq!(
            arguments("SetProxySettings", "<ProxyList>x</ProxyList>"),
            Err(ReadError::Missing("ProxyUsage".to_owned()))
        );
    }

    #[test]
    fn an_array_of_one_null_is_null() {
        let rest = "<CertStoreLocation>0</CertStoreLocation><StoreName>MY</StoreName>";
        let nil = format!("{rest}<CertHash xsi:nil='1'/>");
        let values = arguments("SetClientCertificateById", &nil).expect("correct");
        assert!(values.contains("CertHash") && values.value("CertHash").is_none());
        let wrong = format!("{rest}<CertHash>256</CertHash>");
        assert!(matches!(
            arguments("SetClientCertificateById", &wrong),
            Err(ReadError::Type { .. })
        ));
    }

    proptest! {
        #[test]
        fn arbitrary_text_is_read_or_refused(text in "\\PC*", name in "[A-Za-z]{1,12}") {
            let class = job();
            let escaped = text.replace('&', "&amp;").replace('<', "&lt;");
            for property in [name.as_str(), "Priority", "Files", "Description"] {
                let text = format!("<i><{property}>{escaped}</{property}></i>");
                let Ok(root) = parse(&text, &LIMITS) else {
                    continue;
                };
                let _ = read_changes(&class, &root, None);
                for method in &class.methods {
                    let _ = read_arguments(method, &[], Some(&root));
                }
            }
        }
    }
}
