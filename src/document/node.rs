//! The value of an element.

/// An element of a document: its name as the schema has it, and what is in it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Node {
    /// Without a prefix.
    pub(crate) name: String,
    /// Names and values, in the order of the schema.
    pub(crate) attributes: Vec<(String, String)>,
    /// What lies between its tags.
    pub(crate) content: Content,
}

/// What lies between the tags of an element.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Content {
    /// A value, in the one form that it has: no white space around it, `true`
    /// and not `1`.
    Text(String),
    /// Elements.
    Children(Vec<Node>),
}

impl Node {
    /// An element with a value.
    pub(crate) fn leaf(name: &str, value: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            attributes: Vec::new(),
            content: Content::Text(value.into()),
        }
    }

    /// An element with elements in it.
    pub(crate) fn branch(name: &str, children: Vec<Node>) -> Self {
        Self {
            name: name.to_owned(),
            attributes: Vec::new(),
            content: Content::Children(children),
        }
    }

    /// The same with these attributes.
    pub(crate) fn with(mut self, attributes: &[(&str, &str)]) -> Self {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        self.attributes.extend(attributes.iter().map(own));
        self
    }

    /// The elements in it; none in one with a value.
    pub(crate) fn children(&self) -> &[Node] {
        match &self.content {
            Content::Children(children) => children,
            Content::Text(_) => &[],
        }
    }

    /// The first element in it with this name.
    pub(crate) fn child(&self, name: &str) -> Option<&Node> {
        self.children().iter().find(|child| child.name == name)
    }

    /// The value; none in one with elements.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Text(text) => Some(text),
            Content::Children(_) => None,
        }
    }

    /// The value of the first element in it with this name.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.child(name).and_then(Node::text)
    }

    /// The value of an attribute.
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes
            .iter()
            .find(|(own, _)| own == name)
            .map(|(_, value)| value.as_str())
    }
}
