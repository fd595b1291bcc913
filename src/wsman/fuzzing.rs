//! The decoders of requests, for the fuzz targets: what `dispatch` and the
//! operations do with foreign text, without a service behind it.

use std::sync::Arc;
use std::sync::LazyLock;

use crate::cim::Catalog;
use crate::cim::Class;
use crate::cim::Instance;
use crate::cim::Value;
use crate::cim::xml;
use crate::config::WsmanSettings;
use crate::document;
use crate::document::Declaration;
use crate::document::Node;
use crate::document::Root;
use crate::document::Schema;
use crate::provider::ConfigError;
use crate::soap::Addressing;
use crate::soap::Envelope;
use crate::xml::Element;
use crate::xml::Limits;
use crate::xml::Writer;
use crate::xml::ns;

use super::Encoding;
use super::dispatch;
use super::error::Error;
use super::filter;
use super::filter::Filter;
use super::fragment::Fragment;
use super::identify;
use super::listing;
use super::reply;
use super::request::Origin;
use super::request::Request;
use super::resource::Resource;
use super::selector;

/// See [`crate::fuzzing::envelope`].
pub(crate) fn envelope(text: &str, encoding: Encoding) {
    let settings = WsmanSettings::default();
    match Envelope::parse(text, &dispatch::xml_limits(&settings)) {
        Ok(envelope) => read(&envelope, &settings, encoding),
        Err(error) => refuse(&Error::Envelope(error), &Origin::default()),
    }
}

fn read(envelope: &Envelope<'_>, settings: &WsmanSettings, encoding: Encoding) {
    if identify::is_asked(envelope) {
        return;
    }
    let addressing = match Addressing::read(envelope) {
        Ok(addressing) => addressing,
        Err(duplicate) => return refuse(&duplicate.into(), &Origin::default()),
    };
    let origin = Origin::read(envelope, &addressing);
    let request = match Request::read(envelope, &addressing, origin, settings, encoding) {
        Ok(request) => request,
        Err(error) => return refuse(&error, &origin),
    };
    if let Err(error) = operate(&request) {
        refuse(&error, &origin);
    }
}

/// What any operation may read of a request.
fn operate(request: &Request<'_>) -> Result<(), Error> {
    let class = job();
    let uri = Resource::parse(request.resource_uri);
    let keys = selector::keys(class, &request.selectors);
    let fragment = request.fragment.map_or(Ok(()), |path| {
        Fragment::parse(class, parts(), path).map(|_| ())
    });
    if let Some(body) = request.body {
        let names = request.modified();
        xml::read_changes(class, body, names.as_deref()).map_err(Error::Representation)?;
        for method in &class.methods {
            xml::read_arguments(method, parts(), Some(body)).map_err(Error::Arguments)?;
        }
        for part in body.children() {
            // Whatever it is: each must stand any element.
            let _ = listing::number(part, "a number");
            let _ = listing::lifetime(part);
            hold(part);
        }
    }
    uri?;
    keys?;
    fragment
}

/// See [`crate::fuzzing::wql`].
pub(crate) fn wql(query: &str) {
    let mut writer = Writer::with_capacity(query.len());
    writer.start("wsman:Filter");
    writer.attribute("xmlns:wsman", ns::WSMAN);
    writer.attribute("Dialect", "http://schemas.microsoft.com/wbem/wsman/1/WQL");
    writer.text(query);
    filter(&writer.finish());
}

/// See [`crate::fuzzing::filter`].
pub(crate) fn filter(text: &str) {
    if let Ok(element) = crate::xml::parse(text, &LIMITS) {
        hold(&element);
    }
}

/// Reads a filter and holds it against an instance.
fn hold(element: &Element<'_>) {
    let Ok(Filter::Select(select)) = filter::read(element) else {
        return;
    };
    let instance = instance();
    let Ok(bound) = select.bind(instance.class()) else {
        return;
    };
    if let Some(condition) = &bound.condition {
        condition.matches(instance);
    }
    for column in bound.columns.iter().flatten() {
        let property = instance.class().property(column);
        assert!(property.is_some(), "a column is a property");
    }
}

/// See [`crate::fuzzing::selectors`].
pub(crate) fn selectors(text: &str) {
    let Ok(set) = crate::xml::parse(text, &LIMITS) else {
        return;
    };
    match selector::read(&set) {
        Ok(selectors) => {
            if let Err(error) = selector::keys(job(), &selectors) {
                refuse(&error, &Origin::default());
            }
        }
        Err(error) => refuse(&error, &Origin::default()),
    }
}

/// See [`crate::fuzzing::fragment`].
pub(crate) fn fragment(expression: &str) {
    let instance = instance();
    let mut writer = Writer::with_capacity(1_024);
    let written = Fragment::parse(instance.class(), parts(), expression)
        .map(|fragment| fragment.write(&mut writer, instance, "urn:x/"));
    match written {
        Ok(()) => {
            // The envelope declares the prefix otherwise.
            let start = format!("<wsman:XmlFragment xmlns:wsman=\"{}\"", ns::WSMAN);
            let text = writer.finish().replacen("<wsman:XmlFragment", &start, 1);
            assert!(crate::xml::parse(&text, &LIMITS).is_ok(), "{text}");
        }
        Err(error) => refuse(&error, &Origin::default()),
    }
}

/// See [`crate::fuzzing::document`].
pub(crate) fn document(text: &str) {
    let Ok(element) = crate::xml::parse(text, &LIMITS) else {
        return;
    };
    for name in ["Config", "Listener", "CertMapping", "PlugInConfiguration"] {
        let declaration = configuration().element(name);
        let declaration = declaration.expect("a test holds that it is declared");
        match document::read(declaration, &element) {
            // What is write-only is there the first time alone.
            Ok(node) => assert_eq!(
                written_again(declaration, &node),
                written(declaration, &node)
            ),
            Err(error) => refuse(&ConfigError::from(error).into(), &Origin::default()),
        }
    }
}

fn written(declaration: &Declaration, node: &Node) -> String {
    let mut writer = Writer::with_capacity(1_024);
    let root = Root {
        prefix: "cfg",
        namespace: "urn:x",
        language: "en-US",
    };
    document::write(&mut writer, declaration, node, root);
    writer.finish()
}

/// What is written of it once it was written and read.
fn written_again(declaration: &Declaration, node: &Node) -> String {
    let text = written(declaration, node);
    let element = crate::xml::parse(&text, &LIMITS).expect("it is XML");
    let again = document::read(declaration, &element).expect("it is as declared");
    written(declaration, &again)
}

/// The documents of `winrm/config`.
fn configuration() -> &'static Schema {
    static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
        let xsd = include_str!("../../schemas/winrm-config.xsd");
        Schema::parse(xsd).expect("a test holds that schemas/ is right")
    });
    &SCHEMA
}

/// The fault of `error` is an envelope again.
fn refuse(error: &Error, origin: &Origin<'_>) {
    let answer = reply::fault_answer(error, origin, None);
    let text = answer.envelope.unwrap_or_default();
    assert!(Envelope::parse(&text, &LIMITS).is_ok(), "{text}");
}

/// The class with the most of everything.
fn job() -> &'static Class {
    instance().class()
}

/// The classes that are embedded in it.
fn parts() -> &'static [Arc<Class>] {
    static PARTS: LazyLock<Vec<Arc<Class>>> = LazyLock::new(|| {
        let catalog = Catalog::of_bits().expect("a test holds that schemas/ is right");
        catalog.classes().to_vec()
    });
    &PARTS
}

/// A job with two files.
fn instance() -> &'static Instance {
    static INSTANCE: LazyLock<Instance> = LazyLock::new(|| {
        let catalog = Catalog::of_bits().expect("a test holds that schemas/ is right");
        let new = |name| {
            let class = catalog.class("root/microsoft/bits", name);
            Instance::new(class.expect("it is in schemas/"))
        };
        let file = Value::Instance(Box::new(new("BitsClientFile")));
        let mut job = new("BitsClientJob");
        for (name, value) in [
            ("DisplayName", Value::from("a <job>")),
            ("State", Value::Uint16(3)),
            ("Files", Value::Array(vec![file.clone(), file])),
        ] {
            job.set(name, value).expect("it is in schemas/");
        }
        job
    });
    &INSTANCE
}

/// Of a part that comes without its envelope, and of answers.
const LIMITS: Limits = Limits {
    octets: 1_048_576,
    depth: 64,
    elements: 100_000,
    attributes: 64,
};
