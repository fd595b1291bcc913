//! The namespaces and reserved addresses of WS-Management and of its Windows
//! dialect (DSP0226, [MS-WSMV] 2.2.1).

/// SOAP 1.2, the only envelope that WS-Management speaks.
pub(crate) const SOAP: &str = "http://www.w3.org/2003/05/soap-envelope";
/// SOAP 1.1, answered by a version mismatch.
#[cfg(test)]
pub(crate) const SOAP11: &str = "http://schemas.xmlsoap.org/soap/envelope/";
/// WS-Addressing of August 2004.
pub(crate) const ADDRESSING: &str = "http://schemas.xmlsoap.org/ws/2004/08/addressing";
/// WS-Addressing 1.0 of the W3C, which a few clients write.
pub(crate) const ADDRESSING10: &str = "http://www.w3.org/2005/08/addressing";
/// WS-Transfer.
pub(crate) const TRANSFER: &str = "http://schemas.xmlsoap.org/ws/2004/09/transfer";
/// WS-Enumeration.
pub(crate) const ENUMERATION: &str = "http://schemas.xmlsoap.org/ws/2004/09/enumeration";
/// WS-Eventing.
pub(crate) const EVENTING: &str = "http://schemas.xmlsoap.org/ws/2004/08/eventing";
/// WS-Management itself.
pub(crate) const WSMAN: &str = "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd";
/// Identify.
pub(crate) const WSMID: &str = "http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd";
/// The CIM binding (DSP0227).
pub(crate) const CIMBINDING: &str = "http://schemas.dmtf.org/wbem/wsman/1/cimbinding.xsd";
/// WS-CIM common types (DSP0230).
pub(crate) const CIM: &str = "http://schemas.dmtf.org/wbem/wscim/1/common";
/// Microsoft's header blocks and attributes.
pub(crate) const MS: &str = "http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd";
/// `WSManFault` and `ProviderFault`.
pub(crate) const WSMANFAULT: &str = "http://schemas.microsoft.com/wbem/wsman/1/wsmanfault";
/// XML Schema instance: `xsi:nil`, `xsi:type`.
pub(crate) const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";
/// What the prefix `xml` is always bound to.
pub(crate) const XML: &str = "http://www.w3.org/XML/1998/namespace";
/// The anonymous address: the answer goes back the way the request came.
pub(crate) const ANONYMOUS: &str =
    "http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous";
