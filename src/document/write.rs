//! A [`Node`] in, XML out, in the order of its declaration.

use crate::xml::Writer;

use super::node::Content;
use super::node::Node;
use super::schema::Access;
use super::schema::Declaration;
use super::schema::Kind;

/// How the outermost element is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Root<'a> {
    /// Prefix of every element; empty: none.
    pub(crate) prefix: &'a str,
    /// Namespace of every element.
    pub(crate) namespace: &'a str,
    /// `xml:lang`.
    pub(crate) language: &'a str,
}

/// Writes a document. What is write-only is left out, and so is what the
/// declaration does not know.
pub(crate) fn write(writer: &mut Writer, declaration: &Declaration, node: &Node, root: Root<'_>) {
    start(writer, root.prefix, &node.name);
    if root.prefix.is_empty() {
        writer.attribute("xmlns", root.namespace);
    } else {
        writer.attribute(&["xmlns:", root.prefix].concat(), root.namespace);
    }
    attributes(writer, declaration, node);
    writer.attribute("xml:lang", root.language);
    content(writer, declaration, node, root.prefix);
    writer.end();
}

fn content(writer: &mut Writer, declaration: &Declaration, node: &Node, prefix: &str) {
    match (&declaration.kind, &node.content) {
        (Kind::Simple(_), Content::Text(text)) => writer.text(text),
        (Kind::Sequence(declared), Content::Children(_)) => {
            for declaration in declared {
                if declaration.access == Access::WriteOnly {
                    continue;
                }
                let same = |child: &&Node| child.name == declaration.name;
                for child in node.children().iter().filter(same) {
                    start(writer, prefix, &child.name);
                    attributes(writer, declaration, child);
                    content(writer, declaration, child, prefix);
                    writer.end();
                }
            }
        }
        (Kind::Simple(_), Content::Children(_)) | (Kind::Sequence(_), Content::Text(_)) => {}
    }
}

fn attributes(writer: &mut Writer, declaration: &Declaration, node: &Node) {
    for attribute in &declaration.attributes {
        if let Some(value) = node.attribute(&attribute.name) {
            writer.attribute(&attribute.name, value);
        }
    }
}

fn start(writer: &mut Writer, prefix: &str, name: &str) {
    if prefix.is_empty() {
        writer.start(name);
    } else {
        writer.start_in(prefix, name);
    }
}
