//! The SOAP envelope, its addressing, and faults as values.
