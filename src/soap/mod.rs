//! The SOAP 1.2 envelope, its addressing, and faults as values.
//!
//! This module knows the form of a message: which header blocks there are and
//! what lies in the body. Which operation a body asks for, and which error
//! becomes which fault, is known to others.

mod addressing;
mod envelope;
mod fault;

pub(crate) use addressing::Addressing;
pub(crate) use addressing::Duplicate;
pub(crate) use addressing::is_anonymous;
pub(crate) use envelope::Envelope;
pub(crate) use envelope::Error;
pub(crate) use envelope::must_understand;
pub(crate) use fault::Code;
pub(crate) use fault::Fault;
pub(crate) use fault::ProviderFault;
pub(crate) use fault::Subcode;
