//! The header blocks of a request, checked once ([MS-WSMV] 3.1.4.1.1 to .12).

use std::time::Duration;

use crate::bits::Language;
use crate::cim::xml::Arrays;
use crate::config::WsmanSettings;
use crate::soap::Addressing;
use crate::soap::Envelope;
use crate::soap::is_anonymous;
use crate::soap::must_understand;
use crate::xml::Element;
use crate::xml::ns;

use super::Encoding;
use super::duration;
use super::error::Error;
use super::error::shorten;
use super::selector;
use super::selector::Selector;

/// Where an answer goes and what it refers to: known before anything else is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Origin<'e> {
    /// The request's `MessageID`, to be repeated octet by octet.
    pub(super) message_id: Option<&'e str>,
    /// The host as the client addressed it.
    pub(super) machine: &'e str,
    /// The client writes WS-Addressing 1.0 of the W3C.
    pub(super) is_addressing10: bool,
    /// `wsman:Locale`: in which language he wants sentences.
    pub(super) language: Language,
}

/// One option of `wsman:OptionSet`; a name may stand more than once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct ClientOption<'e> {
    /// Opaque: Windows' names have colons.
    pub(super) name: &'e str,
    /// Trimmed; empty when it is nil.
    pub(super) value: &'e str,
    /// The client would rather have a fault than an answer that does not heed
    /// it.
    pub(super) must_comply: bool,
}

/// A request whose header blocks are right.
#[derive(Debug)]
pub(super) struct Request<'e> {
    /// For the answer.
    pub(super) origin: Origin<'e>,
    /// `a:Action`.
    pub(super) action: &'e str,
    /// `wsman:ResourceURI`; empty when it is missing.
    pub(super) resource_uri: &'e str,
    /// `wsman:SelectorSet`.
    pub(super) selectors: Vec<Selector<'e>>,
    /// `wsman:OperationTimeout`, cut to the setting.
    pub(super) timeout: Duration,
    /// The same as the client wrote it.
    pub(super) wished_timeout: Option<Duration>,
    /// Octets of the encoded answer.
    pub(super) max_octets: usize,
    /// How the answer is encoded.
    pub(super) encoding: Encoding,
    /// `wsman:FragmentTransfer`: the expression.
    pub(super) fragment: Option<&'e str>,
    /// `wsman:OptionSet`.
    pub(super) options: Vec<ClientOption<'e>>,
    /// `ActivityId`, for the log.
    pub(super) activity_id: Option<&'e str>,
    /// `wsman:RequestEPR` is there.
    pub(super) wants_epr: bool,
    /// `wsman:RequestTotalItemsCountEstimate` is there.
    pub(super) wants_count: bool,
    /// What lies in the body.
    pub(super) body: Option<&'e Element<'e>>,
}

impl<'e> Origin<'e> {
    /// Reads what an answer needs, as far as the envelope has it.
    pub(super) fn read(envelope: &'e Envelope<'_>, addressing: &Addressing<'e>) -> Self {
        let is_addressing10 = envelope
            .headers()
            .iter()
            .any(|block| block.local() == "Action" && block.ns() == ns::ADDRESSING10);
        let language = envelope
            .headers()
            .iter()
            .find(|block| block.is(ns::WSMAN, "Locale"))
            .and_then(|block| block.attribute(ns::XML, "lang"))
            .map_or_else(Language::default, Language::from_tag);
        Self {
            language,
            message_id: addressing
                .message_id
                .filter(|id| !id.is_empty() && id.len() <= MAX_ID),
            machine: addressing.to.map_or("", host),
            is_addressing10,
        }
    }
}

impl<'e> Request<'e> {
    /// Checks the header blocks of `envelope`.
    ///
    /// # Errors
    ///
    /// [`Error`], by the first block that is wrong.
    pub(super) fn read(
        envelope: &'e Envelope<'e>,
        addressing: &Addressing<'e>,
        origin: Origin<'e>,
        settings: &WsmanSettings,
        encoding: Encoding,
    ) -> Result<Self, Error> {
        let ceiling = Duration::from_millis(settings.max_timeout_ms);
        let mut request = Self {
            origin,
            action: "",
            resource_uri: "",
            selectors: Vec::new(),
            timeout: ceiling,
            wished_timeout: None,
            max_octets: max_octets(settings),
            encoding,
            fragment: None,
            options: Vec::new(),
            activity_id: None,
            wants_epr: false,
            wants_count: false,
            body: envelope.payload(),
        };
        let mut seen = Seen::default();
        for block in envelope.headers() {
            request.take(block, &mut seen)?;
        }
        if envelope.encoding_style().is_some() {
            return Err(Error::EncodingStyle);
        }
        request.check_addressing(addressing)?;
        if let Some(wished) = request.wished_timeout {
            request.timeout = wished.min(ceiling);
        }
        Ok(request)
    }

    fn take(&mut self, block: &'e Element<'e>, seen: &mut Seen) -> Result<(), Error> {
        let is_known = match (block.ns(), block.local()) {
            (ns::ADDRESSING | ns::ADDRESSING10, local) => ADDRESSING_BLOCKS.contains(&local),
            (ns::WSMAN, "ResourceURI") => {
                seen.once("ResourceURI")?;
                self.resource_uri = block.text().trim();
                if self.resource_uri.len() > MAX_URI {
                    return Err(Error::UriTooLong("ResourceURI"));
                }
                true
            }
            (ns::WSMAN, "SelectorSet") => {
                seen.once("SelectorSet")?;
                self.selectors = selector::read(block)?;
                true
            }
            (ns::WSMAN, "OperationTimeout") => {
                seen.once("OperationTimeout")?;
                let timeout = duration::parse(block.text()).ok_or(Error::TimeoutInvalid)?;
                self.wished_timeout = Some(timeout);
                true
            }
            (ns::WSMAN, "MaxEnvelopeSize") => {
                seen.once("MaxEnvelopeSize")?;
                let octets = octets(block.text().trim())?;
                if octets < MIN_ENVELOPE {
                    return Err(Error::EnvelopeTooSmall);
                }
                self.max_octets = self.max_octets.min(octets);
                true
            }
            (ns::WSMAN, "Locale") if must_understand(block) => return Err(Error::Locale),
            (ns::MS, "DataLocale") if must_understand(block) => return Err(Error::DataLocale),
            (ns::WSMAN, "FragmentTransfer") => {
                seen.once("FragmentTransfer")?;
                self.take_fragment(block)?;
                true
            }
            (ns::WSMAN, "OptionSet") => {
                seen.once("OptionSet")?;
                self.take_options(block)?;
                true
            }
            (ns::WSMAN, "RequestEPR") => {
                self.wants_epr = true;
                true
            }
            (ns::WSMAN, "RequestTotalItemsCountEstimate") => {
                self.wants_count = true;
                true
            }
            (ns::MS, "ActivityId") => {
                let id = block.text().trim();
                if id.chars().count() > MAX_ID {
                    return Err(Error::HeaderInvalid("ActivityId"));
                }
                self.activity_id = Some(id);
                true
            }
            (ns::WSMAN, "Locale") | (ns::MS, "DataLocale" | "SessionId") => true,
            // A robust connection and so on: left alone unless the client
            // insists.
            _ => false,
        };
        if !is_known && must_understand(block) {
            return Err(Error::NotUnderstood {
                namespace: shorten(block.ns()),
                local: shorten(block.local()),
            });
        }
        Ok(())
    }

    /// [MS-WSMV] 3.1.4.1.18: the block must be marked mustUnderstand.
    fn take_fragment(&mut self, block: &'e Element<'e>) -> Result<(), Error> {
        if !must_understand(block) {
            return Err(Error::HeaderInvalid("FragmentTransfer"));
        }
        let dialect = block.attribute("", "Dialect").map_or("", str::trim);
        if !dialect.is_empty() && dialect != XPATH {
            return Err(Error::FragmentDialect);
        }
        self.fragment = Some(block.text().trim());
        Ok(())
    }

    fn take_options(&mut self, set: &'e Element<'e>) -> Result<(), Error> {
        for option in set.children() {
            if !option.is(ns::WSMAN, "Option") {
                continue;
            }
            if self.options.len() == MAX_OPTIONS {
                return Err(Error::TooManyOptions);
            }
            let must_comply = option.attribute("", "MustComply").map_or("", str::trim);
            let name = option.attribute("", "Name").unwrap_or_default().trim();
            if name.is_empty() {
                return Err(Error::NamelessOption);
            }
            self.options.push(ClientOption {
                name,
                value: option.text().trim(),
                must_comply: matches!(must_comply, "true" | "1"),
            });
        }
        Ok(())
    }

    /// The properties that a Put means, if the client names them: Windows
    /// lists those that a CIM client changed.
    pub(super) fn modified(&self) -> Option<Vec<&'e str>> {
        let named: Vec<_> = self
            .options
            .iter()
            .filter(|option| option.name == MODIFIED_PROPERTIES)
            .map(|option| option.value)
            .collect();
        (!named.is_empty()).then_some(named)
    }

    /// How the client wants arrays without elements.
    pub(super) fn arrays(&self) -> Arrays {
        let is_precise = self.options.iter().any(|option| {
            option.name == PRECISE_ARRAYS && option.value.eq_ignore_ascii_case("true")
        });
        if is_precise {
            Arrays::Precise
        } else {
            Arrays::Plain
        }
    }

    /// A missing `ReplyTo` is taken as the anonymous one: there is no other.
    fn check_addressing(&mut self, addressing: &Addressing<'e>) -> Result<(), Error> {
        self.action = addressing
            .action
            .filter(|action| !action.is_empty())
            .ok_or(Error::HeaderRequired("Action"))?;
        match addressing.to {
            None | Some("") => return Err(Error::HeaderRequired("To")),
            Some(to) if to.len() > MAX_URI => return Err(Error::UriTooLong("To")),
            Some(_) => {}
        }
        match addressing.message_id {
            Some(id) if !id.is_empty() && id.len() <= MAX_ID => {}
            Some(_) | None => return Err(Error::HeaderInvalid("MessageID")),
        }
        for (name, address) in [
            ("ReplyTo", addressing.reply_to),
            ("FaultTo", addressing.fault_to),
        ] {
            if address.is_some_and(|address| !is_anonymous(address)) {
                return Err(Error::NotAnonymous(name));
            }
        }
        Ok(())
    }
}

/// Octets of an answer when the client does not say.
pub(super) fn max_octets(settings: &WsmanSettings) -> usize {
    let octets = u64::from(settings.max_envelope_size_kb) * 1_024;
    usize::try_from(octets).unwrap_or(usize::MAX)
}

/// The number in `MaxEnvelopeSize`, of any length: a larger one than there can
/// be is as good as the largest.
fn octets(text: &str) -> Result<usize, Error> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|octet| octet.is_ascii_digit()) {
        return Err(Error::HeaderInvalid("MaxEnvelopeSize"));
    }
    Ok(digits.parse().unwrap_or(usize::MAX))
}

/// Blocks that may be there once.
#[derive(Default)]
struct Seen(Vec<&'static str>);

impl Seen {
    fn once(&mut self, name: &'static str) -> Result<(), Error> {
        if self.0.contains(&name) {
            return Err(Error::HeaderTwice(name));
        }
        self.0.push(name);
        Ok(())
    }
}

/// The host of an address such as `http://host:5985/wsman`.
fn host(address: &str) -> &str {
    let Some((_, rest)) = address.split_once("://") else {
        return "";
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let end = match authority.rfind(']') {
        Some(bracket) => bracket + 1,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let host = authority.get(..end).unwrap_or_default();
    if host.len() > MAX_HOST || address.starts_with(ns::ADDRESSING) {
        return "";
    }
    host
}

const ADDRESSING_BLOCKS: [&str; 7] = [
    "Action",
    "To",
    "MessageID",
    "ReplyTo",
    "FaultTo",
    "RelatesTo",
    "From",
];

const MODIFIED_PROPERTIES: &str = "wmiarray:__MIInstanceModifiedPropertiesList";

const PRECISE_ARRAYS: &str = "msftwinrm:UsePreciseArrays";

/// The only dialect of fragments.
const XPATH: &str = "http://www.w3.org/TR/1999/REC-xpath-19991116";

/// The least that a client may ask for, in octets ([MS-WSMV] 2.2.4.24).
const MIN_ENVELOPE: usize = 8_192;

/// Octets of `MessageID` and characters of `ActivityId` ([MS-WSMV] footnote 47).
const MAX_ID: usize = 2_048;

/// Options of one request: a CIM client names each property that it changed.
const MAX_OPTIONS: usize = 256;

/// Octets of a resource URI and of the address in `To`.
const MAX_URI: usize = 2_048;

/// Octets of a DNS name.
const MAX_HOST: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_activity_may_be_insisted_on_and_is_kept_for_the_log() {
        let text = format!(
            "<s:Envelope xmlns:s='{}' xmlns:a='{}' xmlns:p='{}'><s:Header><a:To>http://h/</a:To>\
             <a:Action>urn:x</a:Action><a:MessageID>1</a:MessageID>\
             <p:ActivityId s:mustUnderstand='true'> {{1}} </p:ActivityId></s:Header><s:Body/>\
             </s:Envelope>",
            ns::SOAP,
            ns::ADDRESSING,
            ns::MS,
        );
        let settings = WsmanSettings::default();
        let limits = super::super::dispatch::xml_limits(&settings);
        let envelope = Envelope::parse(&text, &limits).expect("an envelope");
        let addressing = Addressing::read(&envelope).expect("no duplicate");
        let origin = Origin::read(&envelope, &addressing);
        let request = Request::read(&envelope, &addressing, origin, &settings, Encoding::Utf8);
        assert_eq!(request.expect("a request").activity_id, Some("{1}"));
    }

    #[test]
    fn an_envelope_size_is_a_number_of_any_length() {
        for (text, wanted) in [
            ("512000", Some(512_000)),
            ("+8192", Some(8_192)),
            ("0", Some(0)),
            ("99999999999999999999999", Some(usize::MAX)),
            ("-1", None),
            ("8 192", None),
            ("8192.0", None),
            ("+", None),
            ("", None),
        ] {
            assert_eq!(octets(text).ok(), wanted, "{text}");
        }
    }

    #[test]
    fn the_host_is_cut_out_of_the_address() {
        for (address, wanted) in [
            ("http://h:5985/wsman", "h"),
            ("HTTPS://10.0.0.1/wsman?PSVersion=5", "10.0.0.1"),
            ("https://[::1]:5986/wsman", "[::1]"),
            ("/wsman", ""),
            (ns::ANONYMOUS, ""),
        ] {
            assert_eq!(host(address), wanted, "{address}");
        }
    }
}
