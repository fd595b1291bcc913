//! What reads a request takes any text, within its limits: the fuzz targets of
//! `tests/fuzz/` in small.

use proptest::prelude::*;

use crate::cim::Catalog;
use crate::cim::Instance;
use crate::config::WsmanSettings;
use crate::soap::Addressing;
use crate::soap::Envelope;
use crate::soap::Fault;
use crate::wsman::Encoding;
use crate::wsman::fragment::Fragment;
use crate::wsman::request::Origin;
use crate::wsman::request::Request;
use crate::wsman::selector;
use crate::xml;
use crate::xml::Writer;
use crate::xml::ns;

use super::LIMITS;

/// Header blocks and pieces of them, most of them known.
const BLOCKS: &str = "(<a:(To|Action|MessageID|ReplyTo|FaultTo)>(x|uuid:1| |<a:Address>x</a:Address>){0,2}\
    </a:(To|Action|MessageID|ReplyTo|FaultTo)>|<w:(OperationTimeout|MaxEnvelopeSize|ResourceURI)>\
    (PT1S|-PT1S|P|9999999999999999999999|8192|x){1,2}</w:(OperationTimeout|MaxEnvelopeSize|\
    ResourceURI)>|<w:SelectorSet><w:Selector Name='[a-c]'>x</w:Selector></w:SelectorSet>\
    |<w:Option/>|<q s:mustUnderstand='(1|true|x)'/>|<s:Fault/>|é| ){0,6}";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_header_blocks_are_a_request_or_an_error(blocks in BLOCKS, body in "[ -~]{0,20}") {
        let text = format!(
            "<s:Envelope xmlns:s='{}' xmlns:a='{}' xmlns:w='{}'><s:Header>{blocks}</s:Header>\
             <s:Body>{blocks}{body}</s:Body></s:Envelope>",
            ns::SOAP,
            ns::ADDRESSING,
            ns::WSMAN,
        );
        let settings = WsmanSettings::default();
        if let Ok(envelope) = Envelope::parse(&text, &LIMITS) {
            let _ = Fault::parse(&envelope);
            if let Ok(addressing) = Addressing::read(&envelope) {
                let origin = Origin::read(&envelope, &addressing);
                let read = Request::read(&envelope, &addressing, origin, &settings, Encoding::Utf8);
                if let Ok(request) = read {
                    prop_assert!(request.timeout.as_millis() <= settings.max_timeout_ms.into());
                    prop_assert!(request.max_octets >= 8_192);
                }
            }
        }
    }

    #[test]
    fn any_selectors_are_few_and_differ_or_an_error(
        names in prop::collection::vec("[a-zA-Z_]{0,2}", 0..40),
        value in "[ -~&&[^<&]]{0,20}",
    ) {
        let selectors = names
            .iter()
            .map(|name| format!("<w:Selector Name='{name}'>{value}</w:Selector>"));
        let inner = selectors.collect::<Vec<_>>().concat();
        let text = format!("<w:SelectorSet xmlns:w='{}'>{inner}</w:SelectorSet>", ns::WSMAN);
        let set = xml::parse(&text, &LIMITS).expect("well-formed");
        if let Ok(selectors) = selector::read(&set) {
            prop_assert_eq!(selectors.len(), names.len());
            prop_assert!(selectors.len() <= 32);
            let mut seen: Vec<_> = names.iter().map(|name| name.to_ascii_lowercase()).collect();
            seen.sort();
            seen.dedup();
            prop_assert_eq!(seen.len(), names.len());
        }
    }

    #[test]
    fn any_path_of_a_fragment_is_written_or_refused(
        path in "(State|Files|LocalFile|DisplayName|text\\(\\)|p:|/|\\[|\\]|[0-9]{1,20}| |é|x){0,6}",
        any in ".{0,20}",
    ) {
        let catalog = Catalog::of_bits().expect("schemas are correct");
        let class = catalog.class("root/microsoft/bits", "BitsClientJob").expect("defined");
        let instance = Instance::new(class);
        for path in [&path, &any] {
            let mut writer = Writer::with_capacity(256);
            if let Ok(fragment) = Fragment::parse(class, catalog.classes(), path) {
                fragment.write(&mut writer, &instance, "urn:x/");
            }
        }
    }
}
