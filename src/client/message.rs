//! The requests, shaped as Windows shapes them (reference: DSP0226, [MS-WSMV]
//! 3.1.4.1): pure, but for the identifier that each message gets.

use std::fmt::Display;

use uuid::Uuid;

use super::LARGE;
use crate::xml::Writer;
use crate::xml::ns;

/// A class, or one instance of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Resource {
    uri: String,
    selectors: Vec<(String, String)>,
}

impl Resource {
    /// The class that `uri` names.
    pub(crate) fn class(uri: &str) -> Self {
        Self {
            uri: uri.to_owned(),
            selectors: Vec::new(),
        }
    }

    /// The instance of the class that has this key.
    pub(crate) fn instance(uri: &str, key: &str, value: &str) -> Self {
        Self {
            uri: uri.to_owned(),
            selectors: vec![(key.to_owned(), value.to_owned())],
        }
    }

    /// The name of the class: the last segment of its URI.
    fn name(&self) -> &str {
        self.uri.rsplit('/').next().unwrap_or_default()
    }
}

/// An argument of a method: its name and its value, several for an array,
/// none for null. It may be a password, so it does not show.
#[derive(Clone)]
pub(crate) struct Argument<'a> {
    name: &'a str,
    values: Vec<Given>,
}

/// A value as it is sent.
#[derive(Clone)]
enum Given {
    Text(String),
    /// An embedded instance: its properties.
    Instance(Vec<(&'static str, String)>),
}

impl<'a> Argument<'a> {
    /// One value.
    pub(crate) fn new(name: &'a str, value: impl Display) -> Self {
        Self {
            name,
            values: vec![Given::Text(value.to_string())],
        }
    }

    /// An array.
    pub(crate) fn array(name: &'a str, values: impl IntoIterator<Item = impl Display>) -> Self {
        Self {
            name,
            values: values
                .into_iter()
                .map(|value| Given::Text(value.to_string()))
                .collect(),
        }
    }

    /// An array of instances, each given by its properties.
    pub(crate) fn instances(
        name: &'a str,
        instances: impl IntoIterator<Item = Vec<(&'static str, String)>>,
    ) -> Self {
        Self {
            name,
            values: instances.into_iter().map(Given::Instance).collect(),
        }
    }
}

pub(super) fn identify() -> String {
    let mut w = Writer::with_capacity(512);
    w.start("s:Envelope");
    w.attribute("xmlns:s", ns::SOAP);
    w.attribute("xmlns:wsmid", ns::WSMID);
    w.start("s:Header");
    w.end();
    w.start("s:Body");
    w.start("wsmid:Identify");
    w.finish()
}

pub(super) fn get(to: &str, resource: &Resource, octets: u32) -> String {
    let mut w = begin(to, resource, TRANSFER_GET, octets);
    body(&mut w);
    w.finish()
}

pub(super) fn get_fragment(to: &str, resource: &Resource, path: &str) -> String {
    let mut w = begin(to, resource, TRANSFER_GET, LARGE);
    fragment_header(&mut w, path);
    body(&mut w);
    w.finish()
}

pub(super) fn put(to: &str, resource: &Resource, properties: &[(&str, String)]) -> String {
    let mut w = begin(to, resource, TRANSFER_PUT, LARGE);
    body(&mut w);
    w.start(&format!("p:{}", resource.name()));
    w.attribute("xmlns:p", &resource.uri);
    for (name, value) in properties {
        w.leaf(&format!("p:{name}"), value);
    }
    w.finish()
}

pub(super) fn put_fragment(to: &str, resource: &Resource, property: &str, value: &str) -> String {
    let mut w = begin(to, resource, TRANSFER_PUT, LARGE);
    fragment_header(&mut w, property);
    body(&mut w);
    w.start("w:XmlFragment");
    w.attribute("xmlns:p", &resource.uri);
    w.leaf(&format!("p:{property}"), value);
    w.finish()
}

pub(super) fn enumerate(to: &str, class: &Resource, query: Option<&str>, most: u32) -> String {
    let mut w = begin(to, class, ENUMERATE, LARGE);
    body(&mut w);
    w.start("n:Enumerate");
    w.attribute("xmlns:n", ns::ENUMERATION);
    w.start("w:OptimizeEnumeration");
    w.end();
    w.leaf("w:MaxElements", &most.to_string());
    if let Some(query) = query {
        w.start("w:Filter");
        w.attribute("Dialect", WQL);
        w.text(query);
        w.end();
    }
    w.finish()
}

pub(super) fn pull(to: &str, class: &Resource, context: &str, most: u32) -> String {
    let mut w = begin(to, class, PULL, LARGE);
    body(&mut w);
    w.start("n:Pull");
    w.attribute("xmlns:n", ns::ENUMERATION);
    w.leaf("n:EnumerationContext", context);
    w.leaf("n:MaxElements", &most.to_string());
    w.finish()
}

pub(super) fn release(to: &str, class: &Resource, context: &str) -> String {
    let mut w = begin(to, class, RELEASE, LARGE);
    body(&mut w);
    w.start("n:Release");
    w.attribute("xmlns:n", ns::ENUMERATION);
    w.leaf("n:EnumerationContext", context);
    w.finish()
}

pub(super) fn invoke(
    to: &str,
    resource: &Resource,
    method: &str,
    arguments: &[Argument<'_>],
) -> String {
    let mut w = begin(to, resource, &format!("{}/{method}", resource.uri), LARGE);
    body(&mut w);
    w.start(&format!("p:{method}_INPUT"));
    w.attribute("xmlns:p", &resource.uri);
    for argument in arguments {
        let name = format!("p:{}", argument.name);
        for value in &argument.values {
            match value {
                Given::Text(text) => w.leaf(&name, text),
                Given::Instance(properties) => {
                    w.start(&name);
                    for (name, text) in properties {
                        w.leaf(&format!("p:{name}"), text);
                    }
                    w.end();
                }
            }
        }
    }
    w.finish()
}

pub(super) fn delete(to: &str, resource: &Resource) -> String {
    let mut w = begin(to, resource, TRANSFER_DELETE, LARGE);
    body(&mut w);
    w.finish()
}

/// Writes the envelope up to the header blocks that every request has; the
/// header is still open.
fn begin(to: &str, resource: &Resource, action: &str, octets: u32) -> Writer {
    let mut w = Writer::with_capacity(2_048);
    w.start("s:Envelope");
    w.attribute("xmlns:s", ns::SOAP);
    w.attribute("xmlns:a", ns::ADDRESSING);
    w.attribute("xmlns:w", ns::WSMAN);
    w.start("s:Header");
    w.leaf("a:To", to);
    understood(&mut w, "w:ResourceURI", &resource.uri);
    w.start("a:ReplyTo");
    understood(&mut w, "a:Address", ns::ANONYMOUS);
    w.end();
    understood(&mut w, "a:Action", action);
    understood(&mut w, "w:MaxEnvelopeSize", &octets.to_string());
    let mut id = [0; uuid::fmt::Hyphenated::LENGTH];
    let id = Uuid::new_v4().hyphenated().encode_upper(&mut id);
    w.start("a:MessageID");
    w.text("uuid:");
    w.text(id);
    w.end();
    w.start("w:Locale");
    w.attribute("xml:lang", "en-US");
    w.attribute("s:mustUnderstand", "false");
    w.end();
    if !resource.selectors.is_empty() {
        w.start("w:SelectorSet");
        for (name, value) in &resource.selectors {
            w.start("w:Selector");
            w.attribute("Name", name);
            w.text(value);
            w.end();
        }
        w.end();
    }
    w.leaf("w:OperationTimeout", "PT60.000S");
    w
}

fn fragment_header(w: &mut Writer, path: &str) {
    w.start("w:FragmentTransfer");
    w.attribute("s:mustUnderstand", "true");
    w.attribute("Dialect", XPATH);
    w.text(path);
    w.end();
}

fn understood(w: &mut Writer, qname: &str, text: &str) {
    w.start(qname);
    w.attribute("s:mustUnderstand", "true");
    w.text(text);
    w.end();
}

/// Ends the header and begins the body.
fn body(w: &mut Writer) {
    w.end();
    w.start("s:Body");
}

const TRANSFER_GET: &str = "http://schemas.xmlsoap.org/ws/2004/09/transfer/Get";
const TRANSFER_PUT: &str = "http://schemas.xmlsoap.org/ws/2004/09/transfer/Put";
const TRANSFER_DELETE: &str = "http://schemas.xmlsoap.org/ws/2004/09/transfer/Delete";
const WQL: &str = "http://schemas.microsoft.com/wbem/wsman/1/WQL";
const ENUMERATE: &str = "http://schemas.xmlsoap.org/ws/2004/09/enumeration/Enumerate";
const PULL: &str = "http://schemas.xmlsoap.org/ws/2004/09/enumeration/Pull";
const RELEASE: &str = "http://schemas.xmlsoap.org/ws/2004/09/enumeration/Release";
const XPATH: &str = "http://www.w3.org/TR/1999/REC-xpath-19991116";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soap::Addressing;
    use crate::soap::Envelope;
    use crate::xml::Element;
    use crate::xml::Limits;

    const LIMITS: Limits = Limits {
        octets: 10_000,
        depth: 20,
        elements: 100,
        attributes: 10,
    };

    #[test]
    fn a_call_names_its_method_and_escapes_its_arguments() {
        let resource = Resource::instance("urn:x/Job", "JobId", "{1}");
        let arguments = [
            Argument::new("remoteUrl", "http://h/?a&b"),
            Argument::array("CertHash", [1_u8, 255]),
        ];
        let text = invoke("https://h/wsman", &resource, "AddFile", &arguments);
        let envelope = Envelope::parse(&text, &LIMITS).expect("own output");
        let addressing = Addressing::read(&envelope).expect("no duplicate");
        assert_eq!(addressing.action, Some("urn:x/Job/AddFile"));
        assert_eq!(addressing.reply_to, Some(ns::ANONYMOUS));
        let set = envelope
            .header(ns::WSMAN, "SelectorSet")
            .expect("selectors");
        assert_eq!(set.children()[0].attribute("", "Name"), Some("JobId"));
        let input = envelope.payload().expect("an input");
        assert!(input.is("urn:x/Job", "AddFile_INPUT"));
        let values: Vec<_> = input.children().iter().map(Element::text).collect();
        assert_eq!(values, ["http://h/?a&b", "1", "255"]);
    }

    #[test]
    fn a_fragment_is_asked_for_by_a_block_that_must_be_understood() {
        let resource = Resource::instance("urn:x/Job", "JobId", "{1}");
        let text = get_fragment("https://h/wsman", &resource, "State");
        let envelope = Envelope::parse(&text, &LIMITS).expect("own output");
        let block = envelope.header(ns::WSMAN, "FragmentTransfer").expect("it");
        assert!(crate::soap::must_understand(block));
        assert_eq!(block.text(), "State");
        assert!(envelope.body().is_empty());
    }
}
