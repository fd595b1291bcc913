//! Documents with a schema: XML whose elements are known, and so are their
//! order and their values.
//!
//! [`Schema`] is read from an XSD, of which it understands what such documents
//! need: elements in sequence, attributes, and simple types of text, numbers
//! and truth. A [`Node`] is the value of an element; [`read()`] takes one out of
//! XML against its [`Declaration`], [`write()`] puts it there. What a document
//! means is for others to say.

mod node;
mod pattern;
mod read;
mod schema;
mod simple;
mod write;

#[cfg(test)]
mod tests;

pub(crate) use node::Content;
pub(crate) use node::Node;
pub(crate) use read::ReadError;
pub(crate) use read::read;
pub(crate) use schema::Access;
pub(crate) use schema::Declaration;
pub(crate) use schema::Kind;
pub(crate) use schema::Schema;
pub(crate) use simple::Wanted;
pub(crate) use write::Root;
pub(crate) use write::write;
