//! WS-Addressing of August 2004, as WS-Management uses it (DSP0226, 5).

use super::Envelope;
use crate::xml::Element;
use crate::xml::ns;

/// The message information headers of a request or an answer, trimmed.
///
/// The namespace of the W3C's WS-Addressing 1.0 is read as well: clients in
/// the "1.1" mode of some toolkits write it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Addressing<'e> {
    /// What is to be done; compared by case.
    pub(crate) action: Option<&'e str>,
    /// Where the message goes.
    pub(crate) to: Option<&'e str>,
    /// The sender's name for the message, to be repeated octet by octet.
    pub(crate) message_id: Option<&'e str>,
    /// The address in `ReplyTo`; empty when the block has none.
    pub(crate) reply_to: Option<&'e str>,
    /// The address in `FaultTo`; empty when the block has none.
    pub(crate) fault_to: Option<&'e str>,
    /// The message that this one answers.
    pub(crate) relates_to: Option<&'e str>,
}

/// A header block that may be there once is there twice.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the header block {0} is there twice")]
pub(crate) struct Duplicate(pub(crate) &'static str);

impl<'e> Addressing<'e> {
    /// Reads the header blocks of `envelope`.
    ///
    /// # Errors
    ///
    /// [`Duplicate`]; what is missing is left to the operation.
    pub(crate) fn read(envelope: &'e Envelope<'_>) -> Result<Self, Duplicate> {
        let mut found = Self::default();
        for block in envelope.headers() {
            if !matches!(block.ns(), ns::ADDRESSING | ns::ADDRESSING10) {
                continue;
            }
            let (slot, name, value) = match block.local() {
                "Action" => (&mut found.action, "Action", block.text()),
                "To" => (&mut found.to, "To", block.text()),
                "MessageID" => (&mut found.message_id, "MessageID", block.text()),
                "RelatesTo" => (&mut found.relates_to, "RelatesTo", block.text()),
                "ReplyTo" => (&mut found.reply_to, "ReplyTo", address(block)),
                "FaultTo" => (&mut found.fault_to, "FaultTo", address(block)),
                _ => continue,
            };
            if slot.is_some() {
                return Err(Duplicate(name));
            }
            *slot = Some(value.trim());
        }
        Ok(found)
    }
}

/// Whether `address` is the anonymous one; samples of Microsoft's add a slash.
pub(crate) fn is_anonymous(address: &str) -> bool {
    let address = address.trim();
    let address = address.strip_suffix('/').unwrap_or(address);
    address == ns::ANONYMOUS || address == ANONYMOUS10
}

/// The address of an endpoint reference.
fn address<'e>(reference: &'e Element<'_>) -> &'e str {
    reference
        .children()
        .iter()
        .find(|c| c.local() == "Address" && c.ns() == reference.ns())
        .map_or("", Element::text)
}

/// The anonymous address of WS-Addressing 1.0.
const ANONYMOUS10: &str = "http://www.w3.org/2005/08/addressing/anonymous";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml::Limits;

    const LIMITS: Limits = Limits {
        octets: 10_000,
        depth: 10,
        elements: 100,
        attributes: 10,
    };

    #[test]
    fn blocks_are_read_once_and_trimmed() {
        let text = |extra: &str| {
            format!(
                "<s:Envelope xmlns:s='{}' xmlns:a='{}'><s:Header><a:To>\n http://h/wsman </a:To>\
                 <a:ReplyTo><a:Address> {}/ </a:Address></a:ReplyTo><a:Action>x</a:Action>{extra}\
                 </s:Header><s:Body/></s:Envelope>",
                ns::SOAP,
                ns::ADDRESSING,
                ns::ANONYMOUS
            )
        };
        let once = text("");
        let envelope = Envelope::parse(&once, &LIMITS).expect("an envelope");
        let addressing = Addressing::read(&envelope).expect("no duplicate");
        assert_eq!(addressing.to, Some("http://h/wsman"));
        assert!(addressing.reply_to.is_some_and(is_anonymous));
        assert_eq!(addressing.action, Some("x"));
        assert_eq!(addressing.message_id, None);
        let twice = text("<a:To>y</a:To>");
        let envelope = Envelope::parse(&twice, &LIMITS).expect("an envelope");
        assert_eq!(Addressing::read(&envelope), Err(Duplicate("To")));
    }
}
