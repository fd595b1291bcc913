//! XML in, within limits, and out.
//!
//! [`parse`] reads one whole document into a tree of [`Element`]s that borrow
//! from the text: XML 1.0 with namespaces, without document type declarations,
//! so that the only entities are the five predefined ones. [`Writer`] is its
//! counterpart. Neither does I/O; what an element means is for others to say.
//!
//! Prefixes must resolve where they stand in the name of an element. In the
//! name of an attribute an undeclared prefix is tolerated, and in the *value*
//! of an attribute a prefix is plain text: the CIM cmdlets send
//! `xsi:type="cim:cimString"` without declaring `cim`.

pub(crate) mod ns;

mod element;
mod escape;
mod reader;
mod scan;
mod writer;

pub(crate) use element::Element;
pub(crate) use reader::Error;
pub(crate) use reader::Limits;
pub(crate) use reader::parse;
pub(crate) use writer::Writer;
