//! A fault as a value: what went wrong, in the words of SOAP 1.2 part 1
//! section 5.4, of DSP0226 section 14 and of [MS-WSMV] 2.2.4.43.

use super::Envelope;
use crate::xml::Element;
use crate::xml::Writer;
use crate::xml::ns;

/// One fault, to be written into a body or read from one.
///
/// Every field is as it goes over the wire; which error becomes which fault
/// is the caller's to know.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Fault {
    /// Whose mistake it is.
    pub(crate) code: Code,
    /// What it is, more closely.
    pub(crate) subcode: Option<Subcode>,
    /// The `wsa:Action` of the answer.
    pub(crate) action: String,
    /// The sentence for people.
    pub(crate) reason: String,
    /// The language of the sentence, as in `xml:lang`; may be empty.
    pub(crate) lang: String,
    /// The URI in `wsman:FaultDetail`.
    pub(crate) detail: Option<String>,
    /// The number in `f:WSManFault`: a WS-Management code, a Win32 code or an
    /// HRESULT. Nothing leaves the element out.
    pub(crate) wsman_code: Option<u32>,
    /// The host in `f:WSManFault`, as the client named it.
    pub(crate) machine: String,
    /// The sentence in `f:WSManFault`; the reason when nothing is given.
    pub(crate) message: Option<String>,
    /// What the resource itself had to say.
    pub(crate) provider: Option<ProviderFault>,
    /// More elements for `s:Detail`, as XML that declares its prefixes.
    pub(crate) extra: Option<String>,
}

/// `s:Code`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Code {
    /// The request is at fault.
    Sender,
    /// The service is.
    Receiver,
    /// A header block that must be understood was not.
    MustUnderstand,
    /// The envelope is not SOAP 1.2.
    VersionMismatch,
    /// The encoding of the message is not known.
    DataEncodingUnknown,
}

/// `s:Subcode`: a qualified name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Subcode {
    /// The prefix to write; one that is not `s`, `a`, `wsman` or `f` is
    /// declared beside it.
    pub(crate) prefix: String,
    /// The namespace; empty when a fault was read whose prefix is unknown.
    pub(crate) ns: String,
    /// The name.
    pub(crate) local: String,
}

/// `f:ProviderFault`, with the error within.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct ProviderFault {
    /// The provider's name.
    pub(crate) provider: String,
    /// Where the provider comes from.
    pub(crate) path: String,
    /// The inner code, often an HRESULT.
    pub(crate) code: u32,
    /// The inner sentence.
    pub(crate) message: String,
    /// The host in the inner fault.
    pub(crate) machine: String,
    /// What lies in `f:ExtendedError`, as XML that declares its prefixes. Not
    /// kept when a fault is read.
    pub(crate) extended_error: Option<String>,
}

impl Fault {
    /// A fault with its code, subcode and sentence, and nothing else.
    pub(crate) fn new(code: Code, subcode: Option<Subcode>, reason: impl Into<String>) -> Self {
        Self {
            code,
            subcode,
            action: ADDRESSING_FAULT.to_owned(),
            reason: reason.into(),
            lang: "en-US".to_owned(),
            detail: None,
            wsman_code: None,
            machine: String::new(),
            message: None,
            provider: None,
            extra: None,
        }
    }

    /// Writes `s:Fault`, for the body. The prefixes `s`, `a` and `wsman` must
    /// be declared outside, the others are declared here.
    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.start("s:Fault");
        writer.start("s:Code");
        writer.leaf("s:Value", self.code.qname());
        if let Some(subcode) = &self.subcode {
            writer.start("s:Subcode");
            writer.start("s:Value");
            if !matches!(subcode.prefix.as_str(), "s" | "a" | "wsman") {
                writer.attribute(&format!("xmlns:{}", subcode.prefix), &subcode.ns);
            }
            writer.text(&subcode.prefix);
            writer.text(":");
            writer.text(&subcode.local);
            writer.end();
            writer.end();
        }
        writer.end();
        writer.start("s:Reason");
        writer.start("s:Text");
        writer.attribute("xml:lang", &self.lang);
        writer.text(&self.reason);
        writer.end();
        writer.end();
        if self.detail.is_some() || self.wsman_code.is_some() || self.extra.is_some() {
            writer.start("s:Detail");
            if let Some(detail) = &self.detail {
                writer.leaf("wsman:FaultDetail", detail);
            }
            if let Some(code) = self.wsman_code {
                self.write_wsman_fault(writer, code);
            }
            if let Some(extra) = &self.extra {
                writer.raw(extra);
            }
            writer.end();
        }
        writer.end();
    }

    fn write_wsman_fault(&self, writer: &mut Writer, code: u32) {
        writer.start("f:WSManFault");
        writer.attribute("xmlns:f", ns::WSMANFAULT);
        writer.attribute("Code", &code.to_string());
        writer.attribute("Machine", &self.machine);
        writer.start("f:Message");
        match &self.provider {
            None => writer.text(self.message.as_ref().unwrap_or(&self.reason)),
            Some(provider) => {
                writer.start("f:ProviderFault");
                writer.attribute("provider", &provider.provider);
                writer.attribute("path", &provider.path);
                writer.start("f:WSManFault");
                writer.attribute("Code", &provider.code.to_string());
                writer.attribute("Machine", &provider.machine);
                writer.leaf("f:Message", &provider.message);
                writer.end();
                if let Some(error) = &provider.extended_error {
                    writer.start("f:ExtendedError");
                    writer.raw(error);
                    writer.end();
                }
                writer.end();
            }
        }
        writer.end();
        writer.end();
    }

    /// Reads the fault that `envelope` carries; nothing when it carries none.
    ///
    /// What Windows and others leave out or put elsewhere is borne: an answer
    /// that is a fault is never taken for anything else.
    pub(crate) fn parse(envelope: &Envelope<'_>) -> Option<Self> {
        let element = envelope.payload().filter(|p| p.is(ns::SOAP, "Fault"))?;
        let code = element.child(ns::SOAP, "Code");
        let value = code.and_then(|c| c.child(ns::SOAP, "Value"));
        let subcode = code.and_then(|c| c.child(ns::SOAP, "Subcode"));
        let text = element
            .child(ns::SOAP, "Reason")
            .and_then(|r| r.child(ns::SOAP, "Text"));
        let detail = element.child(ns::SOAP, "Detail");
        let mut fault = Self::new(
            value.map_or(Code::Receiver, |v| Code::parse(v.text())),
            None,
            text.map_or("", |t| t.text().trim()),
        );
        text.and_then(|t| t.attribute(ns::XML, "lang"))
            .unwrap_or_default()
            .clone_into(&mut fault.lang);
        if let Some(subcode) = subcode
            && let Some(value) = subcode.child(ns::SOAP, "Value")
        {
            let scope = [
                Some(value),
                Some(subcode),
                code,
                Some(element),
                envelope.body_element(),
                Some(envelope.root()),
            ];
            fault.subcode = Some(Subcode::read(value.text(), &scope));
        }
        if let Some(action) = super::Addressing::read(envelope)
            .ok()
            .and_then(|a| a.action)
        {
            action.clone_into(&mut fault.action);
        }
        if let Some(detail) = detail {
            fault.read_detail(detail);
        }
        Some(fault)
    }

    fn read_detail(&mut self, detail: &Element<'_>) {
        self.detail = detail
            .child(ns::WSMAN, "FaultDetail")
            .map(|d| d.text().trim().to_owned());
        let Some(wsman) = detail.child(ns::WSMANFAULT, "WSManFault") else {
            return;
        };
        self.wsman_code = number(wsman);
        wsman
            .attribute("", "Machine")
            .unwrap_or_default()
            .clone_into(&mut self.machine);
        let Some(message) = wsman.child(ns::WSMANFAULT, "Message") else {
            return;
        };
        let Some(provider) = message.child(ns::WSMANFAULT, "ProviderFault") else {
            self.message = Some(message.text().trim().to_owned());
            return;
        };
        let inner = provider.child(ns::WSMANFAULT, "WSManFault");
        let sentence = inner.and_then(|i| i.child(ns::WSMANFAULT, "Message"));
        let attribute = |name| provider.attribute("", name).unwrap_or_default().to_owned();
        self.provider = Some(ProviderFault {
            provider: attribute("provider"),
            path: attribute("path"),
            code: inner.and_then(number).or(self.wsman_code).unwrap_or(0),
            message: sentence.unwrap_or(provider).text().trim().to_owned(),
            machine: inner
                .and_then(|i| i.attribute("", "Machine"))
                .unwrap_or_default()
                .to_owned(),
            extended_error: None,
        });
    }
}

impl Code {
    /// The value as it is written.
    pub(crate) fn qname(self) -> &'static str {
        match self {
            Self::Sender => "s:Sender",
            Self::Receiver => "s:Receiver",
            Self::MustUnderstand => "s:MustUnderstand",
            Self::VersionMismatch => "s:VersionMismatch",
            Self::DataEncodingUnknown => "s:DataEncodingUnknown",
        }
    }

    /// Reads a value, whatever its prefix; what is not known counts as the
    /// service's fault.
    fn parse(text: &str) -> Self {
        let text = text.trim();
        match text.rsplit_once(':').map_or(text, |(_, local)| local) {
            "Sender" => Self::Sender,
            "MustUnderstand" => Self::MustUnderstand,
            "VersionMismatch" => Self::VersionMismatch,
            "DataEncodingUnknown" => Self::DataEncodingUnknown,
            _ => Self::Receiver,
        }
    }
}

impl Subcode {
    /// A name with its prefix and namespace.
    pub(crate) fn new(prefix: &str, ns: &str, local: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
            ns: ns.to_owned(),
            local: local.to_owned(),
        }
    }

    fn read(text: &str, scope: &[Option<&Element<'_>>]) -> Self {
        let text = text.trim();
        let (prefix, local) = text.rsplit_once(':').unwrap_or(("", text));
        let ns = scope
            .iter()
            .flatten()
            .find_map(|element| element.declaration(prefix));
        Self::new(prefix, ns.unwrap_or_default(), local)
    }
}

/// The code of a `f:WSManFault`; negative where a client's library wrote it
/// as a signed number.
fn number(wsman: &Element<'_>) -> Option<u32> {
    let text = wsman.attribute("", "Code")?.trim();
    text.parse::<u32>()
        .ok()
        .or_else(|| text.parse::<i32>().ok().map(i32::cast_unsigned))
}

/// The action of faults of WS-Addressing and of SOAP itself.
const ADDRESSING_FAULT: &str = "http://schemas.xmlsoap.org/ws/2004/08/addressing/fault";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml::Limits;

    const LIMITS: Limits = Limits {
        octets: 10_000,
        depth: 20,
        elements: 100,
        attributes: 10,
    };

    fn round_trip(fault: &Fault) -> Option<Fault> {
        let mut writer = Writer::with_capacity(1000);
        writer.start("s:Envelope");
        writer.attribute("xmlns:s", ns::SOAP);
        writer.attribute("xmlns:a", ns::ADDRESSING);
        writer.attribute("xmlns:wsman", ns::WSMAN);
        writer.start("s:Header");
        writer.leaf("a:Action", &fault.action);
        writer.end();
        writer.start("s:Body");
        fault.write(&mut writer);
        let text = writer.finish();
        let envelope = Envelope::parse(&text, &LIMITS).expect("own output");
        Fault::parse(&envelope)
    }

    #[test]
    fn a_fault_is_read_as_it_was_written() {
        let mut fault = Fault::new(
            Code::Sender,
            Some(Subcode::new("wsman", ns::WSMAN, "InvalidSelectors")),
            "no <such> key",
        );
        fault.detail = Some("urn:UnexpectedSelectors".to_owned());
        fault.wsman_code = Some(2_150_858_843);
        fault.machine = "h".to_owned();
        fault.message = Some("other words".to_owned());
        assert_eq!(round_trip(&fault), Some(fault));
    }

    #[test]
    fn a_provider_fault_is_read_as_it_was_written() {
        let subcode = Subcode::new("n", ns::ENUMERATION, "TimedOut");
        let mut fault = Fault::new(Code::Receiver, Some(subcode), "r");
        fault.wsman_code = Some(0x8020_0001);
        fault.provider = Some(ProviderFault {
            provider: "BITS".to_owned(),
            path: "p".to_owned(),
            code: 0x8020_0001,
            message: "the job is not there".to_owned(),
            machine: "h".to_owned(),
            extended_error: None,
        });
        assert_eq!(round_trip(&fault).as_ref(), Some(&fault));
        let mut extended = fault.clone();
        if let Some(provider) = &mut extended.provider {
            provider.extended_error = Some("<x xmlns=\"urn:x\">1</x>".to_owned());
        }
        extended.extra = Some("<f:Message xmlns:f=\"urn:x\">2</f:Message>".to_owned());
        assert_eq!(round_trip(&extended), Some(fault));
    }

    #[test]
    fn a_fault_of_windows_is_read() {
        let text = "<s:Envelope xml:lang=\"en-US\" xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\" \
            xmlns:w=\"http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd\"><s:Header/><s:Body><s:Fault>\
            <s:Code><s:Value>s:Sender</s:Value><s:Subcode><s:Value>w:AccessDenied</s:Value></s:Subcode></s:Code>\
            <s:Reason><s:Text xml:lang=\"\">Access is denied. </s:Text></s:Reason>\
            <s:Detail><f:WSManFault xmlns:f=\"http://schemas.microsoft.com/wbem/wsman/1/wsmanfault\" \
            Code=\"5\" Machine=\"10.0.0.1\"><f:Message><f:ProviderFault provider=\"Shell\" path=\"x.dll\">gone\
            </f:ProviderFault></f:Message></f:WSManFault></s:Detail></s:Fault></s:Body></s:Envelope>";
        let envelope = Envelope::parse(text, &LIMITS).expect("an envelope");
        let fault = Fault::parse(&envelope).expect("a fault");
        assert_eq!(fault.code, Code::Sender);
        assert_eq!(
            fault.subcode,
            Some(Subcode::new("w", ns::WSMAN, "AccessDenied"))
        );
        assert_eq!(fault.reason, "Access is denied.");
        assert_eq!(fault.wsman_code, Some(5));
        let provider = fault.provider.expect("a provider fault");
        assert_eq!((provider.code, provider.message.as_str()), (5, "gone"));
    }

    #[test]
    fn a_body_without_a_fault_has_none() {
        let text = format!("<e:Envelope xmlns:e='{}'><e:Body/></e:Envelope>", ns::SOAP);
        let envelope = Envelope::parse(&text, &LIMITS).expect("an envelope");
        assert_eq!(Fault::parse(&envelope), None);
    }
}
