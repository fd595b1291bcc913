//! Classes to CIM-XML (DSP0201), in the shape that Windows answers class
//! metadata in ([MS-WSMV] 3.1.4.1.38): no namespace, booleans in upper case, a
//! flavor where it is not the usual one.
//!
//! INVARIANT: what is written here of a property (its name, type, array or not,
//! key or not) is what [`super::xml`] writes of instances: typed clients cast
//! the one by the other.

use super::Class;
use super::Method;
use super::Origin;
use super::Parameter;
use super::Property;
use super::Qualifier;
use super::Type;
use super::Value;
use super::flavor::flavor;
use super::xml;
use crate::xml::Writer;

/// What of a class is written; by default, its own elements and no more.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of its own"
)]
pub(crate) struct Detail {
    /// `DERIVATION`: all superclasses, not the next one alone.
    pub(crate) hierarchy: bool,
    /// The properties, methods and qualifiers that it inherits.
    pub(crate) inherited: bool,
    /// `QUALIFIER`.
    pub(crate) qualifiers: bool,
    /// `CLASSORIGIN`.
    pub(crate) class_origin: bool,
}

/// Writes `<CLASS>`.
pub(crate) fn write_class(writer: &mut Writer, class: &Class, detail: Detail) {
    writer.start("CLASS");
    writer.attribute("NAME", &class.name);
    if let Some(superclass) = class.derivation.first() {
        writer.attribute("SUPERCLASS", superclass);
        if detail.hierarchy {
            writer.attribute("DERIVATION", &class.derivation.join(","));
        }
    }
    write_qualifiers(writer, &class.qualifiers, detail);
    for property in &class.properties {
        if detail.inherited || !property.origin.is_propagated {
            write_property(writer, property, detail);
        }
    }
    for method in &class.methods {
        if detail.inherited || !method.origin.is_propagated {
            write_method(writer, method, detail);
        }
    }
    writer.end();
}

/// Writes `<CLASSNAME>`.
pub(crate) fn write_class_name(writer: &mut Writer, class: &Class) {
    writer.start("CLASSNAME");
    writer.attribute("NAME", &class.name);
    writer.end();
}

/// Writes `<LOCALCLASSPATH>`: the name of a class with its namespace.
pub(crate) fn write_class_path(writer: &mut Writer, class: &Class) {
    writer.start("LOCALCLASSPATH");
    writer.start("LOCALNAMESPACEPATH");
    for part in class.namespace.split('/') {
        writer.start("NAMESPACE");
        writer.attribute("NAME", part);
        writer.end();
    }
    writer.end();
    write_class_name(writer, class);
    writer.end();
}

fn write_property(writer: &mut Writer, property: &Property, detail: Detail) {
    writer.start(if property.is_array {
        "PROPERTY.ARRAY"
    } else {
        "PROPERTY"
    });
    writer.attribute("NAME", &property.name);
    write_origin(writer, &property.origin, detail);
    writer.attribute("TYPE", type_name(&property.kind));
    write_qualifiers(writer, &property.qualifiers, detail);
    writer.end();
}

fn write_method(writer: &mut Writer, method: &Method, detail: Detail) {
    writer.start("METHOD");
    writer.attribute("NAME", &method.name);
    writer.attribute("TYPE", type_name(&method.returns));
    write_origin(writer, &method.origin, detail);
    write_qualifiers(writer, &method.qualifiers, detail);
    for (parameter, id) in method.parameters.iter().zip(0..) {
        write_parameter(writer, parameter, id, detail);
    }
    writer.end();
}

fn write_parameter(writer: &mut Writer, parameter: &Parameter, id: i32, detail: Detail) {
    writer.start(if parameter.is_array {
        "PARAMETER.ARRAY"
    } else {
        "PARAMETER"
    });
    writer.attribute("NAME", &parameter.name);
    writer.attribute("TYPE", type_name(&parameter.kind));
    if detail.qualifiers {
        // A parameter has its place among all of them, whatever its direction,
        // and a direction, whether the MOF names it or not.
        write_qualifier(writer, &qualifier("ID", Value::Sint32(id)));
        for (name, is_set) in [("IN", parameter.is_in), ("OUT", parameter.is_out)] {
            if is_set {
                write_qualifier(writer, &qualifier(name, Value::Boolean(true)));
            }
        }
        for qualifier in &parameter.qualifiers {
            let is_written = ["in", "out", "ID"]
                .iter()
                .any(|name| qualifier.name.eq_ignore_ascii_case(name));
            if !is_written {
                write_qualifier(writer, qualifier);
            }
        }
    }
    writer.end();
}

fn write_origin(writer: &mut Writer, origin: &Origin, detail: Detail) {
    if detail.class_origin {
        writer.attribute("CLASSORIGIN", &origin.class);
    }
    if origin.is_propagated {
        writer.attribute("PROPAGATED", "true");
    }
}

fn write_qualifiers(writer: &mut Writer, qualifiers: &[Qualifier], detail: Detail) {
    if !detail.qualifiers {
        return;
    }
    for qualifier in qualifiers {
        if detail.inherited || !qualifier.is_propagated {
            write_qualifier(writer, qualifier);
        }
    }
}

fn write_qualifier(writer: &mut Writer, qualifier: &Qualifier) {
    let flavor = flavor(&qualifier.name);
    if flavor.is_private {
        return;
    }
    writer.start("QUALIFIER");
    // Clients look for the name in the first attribute.
    writer.attribute("NAME", &qualifier.name);
    writer.attribute("TYPE", qualifier_type(qualifier));
    if qualifier.is_propagated {
        writer.attribute("PROPAGATED", "true");
    }
    if !flavor.is_overridable {
        writer.attribute("OVERRIDABLE", "false");
    }
    if !flavor.to_subclass {
        writer.attribute("TOSUBCLASS", "false");
    }
    if flavor.to_instance {
        writer.attribute("TOINSTANCE", "true");
    }
    if flavor.is_translatable {
        writer.attribute("TRANSLATABLE", "true");
    }
    if qualifier.is_array {
        writer.start("VALUE.ARRAY");
    }
    for value in &qualifier.values {
        writer.start("VALUE");
        writer.text("");
        match value {
            Value::Boolean(true) => writer.raw("TRUE"),
            Value::Boolean(false) => writer.raw("FALSE"),
            value => xml::write_text(writer, value),
        }
        writer.end();
    }
    if qualifier.is_array {
        writer.end();
    }
    writer.end();
}

fn qualifier(name: &str, value: Value) -> Qualifier {
    Qualifier {
        name: name.to_owned(),
        values: vec![value],
        is_array: false,
        is_propagated: false,
    }
}

/// The type of a qualifier's value: WMI has no integer ones but `sint32`,
/// where the number fits.
fn qualifier_type(qualifier: &Qualifier) -> &'static str {
    let fits = |value: &Value| match value {
        Value::Uint64(number) => i32::try_from(*number).is_ok(),
        Value::Sint64(number) => i32::try_from(*number).is_ok(),
        _ => true,
    };
    match qualifier.values.first() {
        Some(Value::Boolean(_)) => "boolean",
        Some(Value::Uint64(_) | Value::Sint64(_)) => {
            let is_signed = |value: &Value| matches!(value, Value::Sint64(_));
            if qualifier.values.iter().all(fits) {
                "sint32"
            } else if qualifier.values.iter().any(is_signed) {
                "sint64"
            } else {
                "uint64"
            }
        }
        Some(Value::Sint32(_)) => "sint32",
        _ => "string",
    }
}

/// An embedded instance is a string with the qualifier `EmbeddedInstance`.
fn type_name(kind: &Type) -> &'static str {
    match kind {
        Type::Boolean => "boolean",
        Type::Uint8 => "uint8",
        Type::Uint16 => "uint16",
        Type::Uint32 => "uint32",
        Type::Uint64 => "uint64",
        Type::Sint8 => "sint8",
        Type::Sint16 => "sint16",
        Type::Sint32 => "sint32",
        Type::Sint64 => "sint64",
        Type::String | Type::Instance(_) => "string",
    }
}

#[cfg(test)]
mod tests {
    use crate::cim::Catalog;

    use super::*;

    const ALL: Detail = Detail {
        hierarchy: true,
        inherited: true,
        qualifiers: true,
        class_origin: true,
    };

    fn written(text: &str, name: &str, detail: Detail) -> String {
        let text = format!("#pragma namespace(\"root/x\")\n{text}");
        let catalog = Catalog::of_mof(&text).expect("correct MOF");
        let class = catalog.class("root/x", name).expect("defined");
        let mut writer = Writer::with_capacity(4_096);
        write_class(&mut writer, class, detail);
        writer.finish()
    }

    const BOTH: &str = "
        [abstract, Version(\"1 & 2\")] class Base { [key, read, Description(\"k\")] string Id;
            [static] uint32 Make([in, out] uint8 Octets[], string Name, [out] boolean Done); };
        [dynamic, provider(\"x\"), Order{-1, 2}] class Derived : Base {
            [Bulk, EmbeddedInstance(\"Part\")] string Parts[];
            [write, MaxLen(5000000000)] uint64 Size; [Description(\"o\")] string id; };
        class Part { sint8 N; };";

    #[test]
    fn a_class_is_written_as_windows_writes_it() {
        assert_eq!(
            written(BOTH, "Derived", ALL),
            concat!(
                "<CLASS NAME=\"Derived\" SUPERCLASS=\"Base\" DERIVATION=\"Base\">",
                "<QUALIFIER NAME=\"dynamic\" TYPE=\"boolean\" TOSUBCLASS=\"false\" ",
                "TOINSTANCE=\"true\"><VALUE>TRUE</VALUE></QUALIFIER>",
                "<QUALIFIER NAME=\"provider\" TYPE=\"string\" TOSUBCLASS=\"false\" ",
                "TOINSTANCE=\"true\"><VALUE>x</VALUE></QUALIFIER>",
                "<QUALIFIER NAME=\"Order\" TYPE=\"sint32\"><VALUE.ARRAY><VALUE>-1</VALUE>",
                "<VALUE>2</VALUE></VALUE.ARRAY></QUALIFIER>",
                "<PROPERTY NAME=\"Id\" CLASSORIGIN=\"Base\" TYPE=\"string\">",
                "<QUALIFIER NAME=\"Description\" TYPE=\"string\" TRANSLATABLE=\"true\">",
                "<VALUE>o</VALUE></QUALIFIER>",
                "<QUALIFIER NAME=\"key\" TYPE=\"boolean\" PROPAGATED=\"true\" ",
                "OVERRIDABLE=\"false\" TOINSTANCE=\"true\"><VALUE>TRUE</VALUE></QUALIFIER>",
                "<QUALIFIER NAME=\"read\" TYPE=\"boolean\" PROPAGATED=\"true\">",
                "<VALUE>TRUE</VALUE></QUALIFIER></PROPERTY>",
                "<PROPERTY.ARRAY NAME=\"Parts\" CLASSORIGIN=\"Derived\" TYPE=\"string\">",
                "<QUALIFIER NAME=\"EmbeddedInstance\" TYPE=\"string\"><VALUE>Part</VALUE>",
                "</QUALIFIER></PROPERTY.ARRAY>",
                "<PROPERTY NAME=\"Size\" CLASSORIGIN=\"Derived\" TYPE=\"uint64\">",
                "<QUALIFIER NAME=\"write\" TYPE=\"boolean\"><VALUE>TRUE</VALUE></QUALIFIER>",
                "<QUALIFIER NAME=\"MaxLen\" TYPE=\"uint64\"><VALUE>5000000000</VALUE>",
                "</QUALIFIER></PROPERTY>",
                "<METHOD NAME=\"Make\" TYPE=\"uint32\" CLASSORIGIN=\"Base\" PROPAGATED=\"true\">",
                "<QUALIFIER NAME=\"static\" TYPE=\"boolean\" PROPAGATED=\"true\">",
                "<VALUE>TRUE</VALUE></QUALIFIER>",
                "<PARAMETER.ARRAY NAME=\"Octets\" TYPE=\"uint8\">",
                "<QUALIFIER NAME=\"ID\" TYPE=\"sint32\" OVERRIDABLE=\"false\" ",
                "TOSUBCLASS=\"false\" TOINSTANCE=\"true\"><VALUE>0</VALUE></QUALIFIER>",
                "<QUALIFIER NAME=\"IN\" TYPE=\"boolean\" TOSUBCLASS=\"false\">",
                "<VALUE>TRUE</VALUE></QUALIFIER>",
                "<QUALIFIER NAME=\"OUT\" TYPE=\"boolean\" TOSUBCLASS=\"false\">",
                "<VALUE>TRUE</VALUE></QUALIFIER></PARAMETER.ARRAY>",
                "<PARAMETER NAME=\"Name\" TYPE=\"string\">",
                "<QUALIFIER NAME=\"ID\" TYPE=\"sint32\" OVERRIDABLE=\"false\" ",
                "TOSUBCLASS=\"false\" TOINSTANCE=\"true\"><VALUE>1</VALUE></QUALIFIER>",
                "<QUALIFIER NAME=\"IN\" TYPE=\"boolean\" TOSUBCLASS=\"false\">",
                "<VALUE>TRUE</VALUE></QUALIFIER></PARAMETER>",
                "<PARAMETER NAME=\"Done\" TYPE=\"boolean\">",
                "<QUALIFIER NAME=\"ID\" TYPE=\"sint32\" OVERRIDABLE=\"false\" ",
                "TOSUBCLASS=\"false\" TOINSTANCE=\"true\"><VALUE>2</VALUE></QUALIFIER>",
                "<QUALIFIER NAME=\"OUT\" TYPE=\"boolean\" TOSUBCLASS=\"false\">",
                "<VALUE>TRUE</VALUE></QUALIFIER></PARAMETER></METHOD></CLASS>",
            )
        );
    }

    #[test]
    fn each_option_leaves_its_part_away() {
        assert_eq!(
            written(BOTH, "Derived", Detail::default()),
            concat!(
                "<CLASS NAME=\"Derived\" SUPERCLASS=\"Base\">",
                "<PROPERTY NAME=\"Id\" TYPE=\"string\"/>",
                "<PROPERTY.ARRAY NAME=\"Parts\" TYPE=\"string\"/>",
                "<PROPERTY NAME=\"Size\" TYPE=\"uint64\"/></CLASS>",
            )
        );
        let inherited = Detail {
            inherited: true,
            ..Detail::default()
        };
        let text = written(BOTH, "Derived", inherited);
        assert!(text.contains("<METHOD NAME=\"Make\" TYPE=\"uint32\" PROPAGATED=\"true\">"));
        assert!(text.contains("<PARAMETER NAME=\"Done\" TYPE=\"boolean\"/>"));
        let qualified = Detail {
            qualifiers: true,
            ..Detail::default()
        };
        let text = written(BOTH, "Derived", qualified);
        assert!(text.contains("NAME=\"Description\"") && !text.contains("NAME=\"key\""));
        let base = written(BOTH, "Base", ALL);
        assert!(base.starts_with(
            "<CLASS NAME=\"Base\"><QUALIFIER NAME=\"abstract\" TYPE=\"boolean\" \
             TOSUBCLASS=\"false\"><VALUE>TRUE</VALUE></QUALIFIER>\
             <QUALIFIER NAME=\"Version\" TYPE=\"string\" TOSUBCLASS=\"false\" \
             TRANSLATABLE=\"true\"><VALUE>1 &amp; 2</VALUE></QUALIFIER>"
        ));
        assert!(!base.contains("PROPAGATED"));
    }

    #[test]
    fn no_class_of_ours_shows_what_is_private() {
        let catalog = Catalog::bundled().expect("schemas are correct");
        for class in catalog.classes() {
            let mut writer = Writer::with_capacity(4_096);
            write_class(&mut writer, class, ALL);
            let text = writer.finish();
            for name in ["Bulk", "Initial"] {
                assert!(
                    !text.contains(&format!("NAME=\"{name}\"")),
                    "{}",
                    class.name
                );
            }
        }
    }

    #[test]
    fn a_path_names_every_namespace_on_the_way() {
        let catalog = Catalog::bundled().expect("schemas are correct");
        let mut writer = Writer::with_capacity(256);
        write_class_path(&mut writer, &catalog.classes()[0]);
        assert_eq!(
            writer.finish(),
            "<LOCALCLASSPATH><LOCALNAMESPACEPATH><NAMESPACE NAME=\"root\"/>\
             <NAMESPACE NAME=\"microsoft\"/><NAMESPACE NAME=\"bits\"/></LOCALNAMESPACEPATH>\
             <CLASSNAME NAME=\"BitsClientFile\"/></LOCALCLASSPATH>"
        );
    }
}
