//! What a failed request was about, in the words of WMI's provider: read from
//! the envelope only when there is a fault to write.

use crate::soap::Addressing;
use crate::soap::Envelope;
use crate::xml::Element;
use crate::xml::Writer;
use crate::xml::ns;

use super::super::error::shorten;
use super::super::resource;
use super::super::resource::Form;
use super::super::resource::Resource;
use super::super::selector;
use super::super::selector::CIM_NAMESPACE;
use super::super::selector::Selector;

/// The class that the request named, and what was asked of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Subject {
    /// The family of URIs that the client speaks.
    pub(super) form: Form,
    namespace: String,
    operation: &'static str,
    parameter: String,
}

impl Subject {
    /// Reads what `envelope` asks for; nothing when it names no class.
    pub(super) fn read(envelope: &Envelope<'_>) -> Option<Self> {
        let block = |name| {
            let mut blocks = envelope.headers().iter();
            blocks.find(move |block: &&Element<'_>| block.is(ns::WSMAN, name))
        };
        let selectors = block("SelectorSet")
            .and_then(|set| selector::read(set).ok())
            .unwrap_or_default();
        let resource = Resource::parse(block("ResourceURI")?.text().trim()).ok()?;
        let selected = |name| selector::value(&selectors, name).unwrap_or_default();
        let (form, namespace, class, what) = match resource {
            Resource::Class(uri) => match uri.form {
                Form::Wmi => (Form::Wmi, uri.namespace, uri.class, What::Instances),
                Form::Dmtf => {
                    let namespace = resource::namespace(selected(CIM_NAMESPACE));
                    (Form::Dmtf, namespace, uri.class, What::Instances)
                }
            },
            Resource::Schema => (
                Form::Dmtf,
                resource::namespace(selected(CIM_NAMESPACE)),
                selected("ClassName").to_owned(),
                What::Classes,
            ),
            Resource::Config(_) | Resource::Shell => return None,
        };
        let action = Addressing::read(envelope).ok()?.action?;
        let filter = filter(envelope).filter(|_| what == What::Instances);
        let operation = operation(action, what, filter.is_some());
        let parameter = match filter {
            Some(query) if !query.is_empty() => query.to_owned(),
            _ if what == What::Classes => class,
            _ => path(&class, &selectors),
        };
        Some(Self {
            form,
            namespace: shorten(&namespace),
            operation,
            parameter: shorten(&parameter),
        })
    }

    /// `p:__ExtendedStatus`: what WMI says of an error with this status, as the
    /// instance that Windows sends in the client's family of URIs.
    pub(super) fn extended_status(&self, provider: &str, status: u32) -> String {
        let uri = [&resource::base(self.form, &self.namespace), EXTENDED_STATUS].concat();
        let mut writer = Writer::with_capacity(768);
        writer.start_in("p", EXTENDED_STATUS);
        writer.attribute("xmlns:p", &uri);
        writer.attribute("xmlns:xsi", ns::XSI);
        if self.form == Form::Dmtf {
            writer.attribute("xmlns:cim", ns::CIM);
        }
        writer.attribute("xsi:type", "p:__ExtendedStatus_Type");
        let status = status.to_string();
        for (name, kind, value) in [
            // The sentence stands beside this already.
            ("p:Description", "cim:cimString", None),
            ("p:Operation", "cim:cimString", Some(self.operation)),
            ("p:ParameterInfo", "cim:cimString", Some(&*self.parameter)),
            ("p:ProviderName", "cim:cimString", Some(provider)),
            ("p:StatusCode", "cim:cimUnsignedInt", Some(&*status)),
        ] {
            writer.start(name);
            if self.form == Form::Dmtf {
                writer.attribute("xsi:type", kind);
            }
            match value {
                Some(value) => writer.text(value),
                None => writer.attribute("xsi:nil", "true"),
            }
            writer.end();
        }
        writer.finish()
    }
}

/// Whether a request is for instances of a class or for the class itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum What {
    Instances,
    Classes,
}

/// The text of the filter that the body asks by; empty for one of elements.
fn filter<'e>(envelope: &'e Envelope<'_>) -> Option<&'e str> {
    let body = envelope.payload()?;
    let filter = body
        .child(ns::WSMAN, "Filter")
        .or_else(|| body.child(ns::ENUMERATION, "Filter"))?;
    Some(filter.text().trim())
}

/// The call on WMI that an action is: it has queries for filters of any dialect.
fn operation(action: &str, what: What, is_filtered: bool) -> &'static str {
    let name = action.rsplit('/').next().unwrap_or_default();
    if action.starts_with(ns::ENUMERATION) {
        return match what {
            What::Instances if is_filtered => "ExecQuery",
            What::Instances => "CreateInstanceEnum",
            What::Classes => "CreateClassEnum",
        };
    }
    if !action.starts_with(ns::TRANSFER) {
        return "ExecMethod";
    }
    match name {
        // WMI makes and changes an instance by the same call.
        "Put" | "Create" => "PutInstance",
        "Delete" => "DeleteInstance",
        _ => "GetObject",
    }
}

/// `Class.Key="value",Other="value"`, as the client selected it.
fn path(class: &str, selectors: &[Selector<'_>]) -> String {
    let mut path = class.to_owned();
    let keys = selectors
        .iter()
        .filter(|selector| !selector.name.eq_ignore_ascii_case(CIM_NAMESPACE));
    for (at, selector) in keys.enumerate() {
        path.push(if at == 0 { '.' } else { ',' });
        path.push_str(selector.name);
        path.push_str("=\"");
        for c in selector.value.chars() {
            if matches!(c, '"' | '\\') {
                path.push('\\');
            }
            path.push(c);
        }
        path.push('"');
    }
    path
}

const EXTENDED_STATUS: &str = "__ExtendedStatus";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::xml;
    use crate::xml::Limits;

    const LIMITS: Limits = Limits {
        octets: 20_000,
        depth: 10,
        elements: 100,
        attributes: 10,
    };

    #[test]
    fn a_path_escapes_what_would_end_it() {
        let selector = |name, value| Selector { name, value };
        let selectors = [
            selector("__CimNamespace", "root/x"),
            selector("A", "a\"b\\"),
            selector("B", "2"),
        ];
        assert_eq!(path("C", &selectors), r#"C.A="a\"b\\",B="2""#);
        assert_eq!(path("C", &[]), "C");
    }

    #[test]
    fn every_action_is_a_call_on_wmi() {
        let transfer = |name| [ns::TRANSFER, "/", name].concat();
        let enumerate = [ns::ENUMERATION, "/Enumerate"].concat();
        for (action, what, is_filtered, call) in [
            (transfer("Get"), What::Instances, false, "GetObject"),
            (transfer("Get"), What::Classes, false, "GetObject"),
            (transfer("Put"), What::Instances, false, "PutInstance"),
            (transfer("Create"), What::Instances, false, "PutInstance"),
            (transfer("Delete"), What::Instances, false, "DeleteInstance"),
            (enumerate.clone(), What::Instances, true, "ExecQuery"),
            (enumerate.clone(), What::Classes, false, "CreateClassEnum"),
            (enumerate, What::Instances, false, "CreateInstanceEnum"),
            ("urn:x/Do".to_owned(), What::Instances, false, "ExecMethod"),
        ] {
            assert_eq!(operation(&action, what, is_filtered), call, "{action}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn whatever_a_request_is_about_fits_into_a_fault(
            uri in "[ -~]{0,40}|[&/é]{300,900}",
            text in "\\PC{0,40}|[&<\"]{300,900}",
            is_dmtf in any::<bool>(),
        ) {
            let mut writer = Writer::with_capacity(0);
            writer.start("s:Envelope");
            writer.attribute("xmlns:s", ns::SOAP);
            writer.attribute("xmlns:a", ns::ADDRESSING);
            writer.attribute("xmlns:w", ns::WSMAN);
            writer.start("s:Header");
            writer.leaf("a:Action", &[ns::ENUMERATION, "/", &text].concat());
            let base = if is_dmtf { "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/" } else { "wmi/" };
            writer.leaf("w:ResourceURI", &[base, &uri].concat());
            writer.start("w:SelectorSet");
            writer.start("w:Selector");
            writer.attribute("Name", &text);
            writer.text(&text);
            writer.end();
            writer.end();
            writer.end();
            writer.start("s:Body");
            writer.start("w:Enumerate");
            writer.leaf("w:Filter", &text);
            let request = writer.finish();
            let envelope = Envelope::parse(&request, &LIMITS).expect("our own");
            if let Some(subject) = Subject::read(&envelope) {
                let status = subject.extended_status("x", u32::MAX);
                prop_assert!(xml::parse(&status, &LIMITS).is_ok(), "{status}");
                prop_assert!(status.len() < 3_500, "{}", status.len());
            }
        }
    }
}
