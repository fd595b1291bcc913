//! XML in, a [`Node`] out, against its declaration.

use crate::xml::Element;

use super::node::Content;
use super::node::Node;
use super::schema::Declaration;
use super::schema::Kind;
use super::simple::Wanted;

/// Why an element is not what its declaration says.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum ReadError {
    /// The document begins with another element.
    #[error("the element {0} is required")]
    Root(String),
    /// There is no such element or attribute.
    #[error("{0} is not known here")]
    Unknown(String),
    /// It may be there once.
    #[error("{0} is there twice")]
    Twice(String),
    /// Elements where a value belongs.
    #[error("{0} must hold a value")]
    NoValue(String),
    /// An attribute that must be there is not.
    #[error("{0} is missing")]
    Missing(String),
    /// A value that it cannot have.
    #[error("{name}: {wanted}")]
    Value {
        /// Which.
        name: String,
        /// What is allowed.
        wanted: Wanted,
    },
}

/// Reads an element that a document begins with. Parts may be missing and in
/// any order, names are compared in any case and by their local part, values
/// may have white space around them ([MS-WSMV] 4.2 shows such documents).
///
/// # Errors
///
/// [`ReadError`], by the first thing that is wrong.
pub(crate) fn read(declaration: &Declaration, element: &Element<'_>) -> Result<Node, ReadError> {
    if !element.local().eq_ignore_ascii_case(&declaration.name) {
        return Err(ReadError::Root(declaration.name.clone()));
    }
    node(declaration, element)
}

fn node(declaration: &Declaration, element: &Element<'_>) -> Result<Node, ReadError> {
    let mut attributes = Vec::new();
    for attribute in &declaration.attributes {
        match element.attribute("", &attribute.name) {
            Some(text) => {
                let value = attribute.simple.normal(text);
                attributes.push((attribute.name.clone(), in_(&attribute.name, value)?));
            }
            None if attribute.is_required => {
                return Err(ReadError::Missing(attribute.name.clone()));
            }
            None => {}
        }
    }
    let content = match &declaration.kind {
        Kind::Simple(_) if !element.children().is_empty() => {
            return Err(ReadError::NoValue(declaration.name.clone()));
        }
        Kind::Simple(simple) => {
            let value = simple.normal(element.text());
            Content::Text(in_(&declaration.name, value)?)
        }
        Kind::Sequence(_) => Content::Children(children(declaration, element)?),
    };
    Ok(Node {
        name: declaration.name.clone(),
        attributes,
        content,
    })
}

/// The elements in one, sorted as they are declared.
fn children(declaration: &Declaration, element: &Element<'_>) -> Result<Vec<Node>, ReadError> {
    if !element.text().trim().is_empty() {
        return Err(ReadError::Value {
            name: declaration.name.clone(),
            wanted: Wanted::Elements,
        });
    }
    let mut found: Vec<(usize, Node)> = Vec::new();
    for child in element.children() {
        let declared = declaration
            .children()
            .iter()
            .enumerate()
            .find(|(_, declared)| declared.name.eq_ignore_ascii_case(child.local()));
        let Some((at, declared)) = declared else {
            return Err(ReadError::Unknown(shorten(child.local())));
        };
        if !declared.is_many && found.iter().any(|(other, _)| *other == at) {
            return Err(ReadError::Twice(declared.name.clone()));
        }
        found.push((at, node(declared, child)?));
    }
    found.sort_by_key(|(at, _)| *at);
    Ok(found.into_iter().map(|(_, node)| node).collect())
}

fn in_(name: &str, value: Result<String, Wanted>) -> Result<String, ReadError> {
    value.map_err(|wanted| ReadError::Value {
        name: name.to_owned(),
        wanted,
    })
}

/// A client's word, cut to what fits into a sentence.
fn shorten(text: &str) -> String {
    text.chars().take(MAX_WORD).collect()
}

const MAX_WORD: usize = 200;
