//! Identify: who answers here (DSP0226 11, [MS-WSMV] 3.1.4.1.23).

use crate::soap::Envelope;
use crate::xml::Limits;
use crate::xml::Writer;
use crate::xml::ns;

use super::Answer;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum To<'a> {
    /// Somebody who has logged on: he is told by which profiles one can.
    Known(&'a [&'static str]),
    /// Anybody: the version is masked, the ways to log on are left out.
    Anybody,
}

/// The request is told by its body: it has no action.
pub(super) fn is_asked(envelope: &Envelope<'_>) -> bool {
    envelope
        .payload()
        .is_some_and(|payload| payload.is(ns::WSMID, "Identify"))
}

/// The answer, without addressing. Its texts are ours: none needs escaping.
pub(super) fn answer(to: To<'_>) -> Answer {
    let mut writer = Writer::with_capacity(1_024);
    writer.start("s:Envelope");
    writer.attribute("xml:lang", "en-US");
    writer.attribute("xmlns:s", ns::SOAP);
    writer.raw("<s:Header/>");
    writer.start("s:Body");
    writer.start("wsmid:IdentifyResponse");
    writer.attribute("xmlns:wsmid", ns::WSMID);
    writer.raw_leaf("wsmid:ProtocolVersion", ns::WSMAN);
    writer.raw_leaf("wsmid:ProductVendor", VENDOR);
    match to {
        To::Known(profiles) => {
            writer.raw_leaf("wsmid:ProductVersion", VERSION);
            writer.start("wsmid:SecurityProfiles");
            for profile in profiles {
                writer.raw_leaf("wsmid:SecurityProfileName", profile);
            }
            writer.end();
        }
        To::Anybody => writer.raw_leaf("wsmid:ProductVersion", MASKED_VERSION),
    }
    Answer {
        status: 200,
        envelope: Some(writer.finish()),
    }
}

/// What an envelope of somebody unknown may cost: it can ask for nothing else.
pub(super) const LIMITS: Limits = Limits {
    octets: 16 * 1_024,
    depth: 8,
    elements: 64,
    attributes: 64,
};

const VENDOR: &str = "bitsd";

/// The shape of Windows, which scripts take apart.
const VERSION: &str = concat!("OS: ", env!("CARGO_PKG_VERSION"), " SP: 0.0 Stack: 3.0");

const MASKED_VERSION: &str = "OS: 0.0.0 SP: 0.0 Stack: 3.0";
