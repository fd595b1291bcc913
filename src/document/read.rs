//! XML in, a [`Node`] out, against its declaration.

use crate::xml::Element;

use super::node::Content;
use super::node::Node;
use super::schema::Declaration;
use super::schema::Kind;
use super::simple::Wanted;

/// Why an element is not what its declaration says. Names are paths below the
/// element that the document begins with: `Auth/Basic`.
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
    node(declaration, element, "")
}

/// Reads the element at `path`; the outermost one has none.
fn node(declaration: &Declaration, element: &Element<'_>, path: &str) -> Result<Node, ReadError> {
    let name = || match path {
        "" => declaration.name.clone(),
        path => path.to_owned(),
    };
    let mut attributes = Vec::new();
    for attribute in &declaration.attributes {
        match element.attribute("", &attribute.name) {
            Some(text) => {
                let value = attribute.simple.normal(text);
                let value = value.map_err(|wanted| ReadError::Value {
                    name: below(path, &attribute.name),
                    wanted,
                })?;
                attributes.push((attribute.name.clone(), value));
            }
            None if attribute.is_required => {
                return Err(ReadError::Missing(below(path, &attribute.name)));
            }
            None => {}
        }
    }
    let content = match &declaration.kind {
        Kind::Simple(_) if !element.children().is_empty() => {
            return Err(ReadError::NoValue(name()));
        }
        Kind::Simple(simple) => {
            let value = simple.normal(element.text());
            Content::Text(value.map_err(|wanted| ReadError::Value {
                name: name(),
                wanted,
            })?)
        }
        Kind::Sequence(_) if !element.text().trim().is_empty() => {
            return Err(ReadError::Value {
                name: name(),
                wanted: Wanted::Elements,
            });
        }
        Kind::Sequence(_) => Content::Children(children(declaration, element, path)?),
    };
    Ok(Node {
        name: declaration.name.clone(),
        attributes,
        content,
    })
}

/// The elements in one, sorted as they are declared.
fn children(
    declaration: &Declaration,
    element: &Element<'_>,
    path: &str,
) -> Result<Vec<Node>, ReadError> {
    let mut found: Vec<(usize, Node)> = Vec::new();
    for child in element.children() {
        let declared = declaration
            .children()
            .iter()
            .enumerate()
            .find(|(_, declared)| declared.name.eq_ignore_ascii_case(child.local()));
        let Some((at, declared)) = declared else {
            return Err(ReadError::Unknown(below(path, &shorten(child.local()))));
        };
        let path = below(path, &declared.name);
        if !declared.is_many && found.iter().any(|(other, _)| *other == at) {
            return Err(ReadError::Twice(path));
        }
        found.push((at, node(declared, child, &path)?));
    }
    found.sort_by_key(|(at, _)| *at);
    Ok(found.into_iter().map(|(_, node)| node).collect())
}

fn below(path: &str, name: &str) -> String {
    match path {
        "" => name.to_owned(),
        path => [path, "/", name].concat(),
    }
}

/// A client's word, cut to what fits into a sentence.
fn shorten(text: &str) -> String {
    text.chars().take(MAX_WORD).collect()
}

const MAX_WORD: usize = 200;
