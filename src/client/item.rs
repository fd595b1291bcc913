//! What an endpoint answered, cut loose from its text.

use std::str::FromStr;

use crate::xml::Element;
use crate::xml::ns;

/// An instance, the output of a method, or a property.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Item {
    /// The name without its prefix.
    pub(crate) name: String,
    /// The text; nothing when the element is nil.
    pub(crate) text: Option<String>,
    /// What lies within.
    pub(crate) children: Vec<Item>,
}

impl Item {
    /// Copies an element; its depth is bounded by how it was read.
    pub(super) fn of(element: &Element<'_>) -> Self {
        let nil = element
            .attribute(ns::XSI, "nil")
            .is_some_and(|v| matches!(v.trim(), "true" | "1"));
        Self {
            name: element.local().to_owned(),
            text: (!nil).then(|| element.text().to_owned()),
            children: element.children().iter().map(Self::of).collect(),
        }
    }

    /// The text of a property; nothing when it is nil or not there.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        let property = self.children.iter().find(|c| c.name == name)?;
        property.text.as_deref()
    }

    /// The number in a property.
    pub(crate) fn number<T: FromStr>(&self, name: &str) -> Option<T> {
        self.text(name)?.trim().parse().ok()
    }

    /// Every value of a property that has several.
    pub(crate) fn all<'i>(&'i self, name: &'i str) -> impl Iterator<Item = &'i Self> {
        self.children.iter().filter(move |c| c.name == name)
    }
}
