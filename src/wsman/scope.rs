//! Which instances an enumeration is of: resource URI, selectors and filter,
//! held against the catalog (DSP0226 8.3, [MS-WSMV] 3.1.4.1.13).

use std::sync::Arc;

use crate::auth::Principal;
use crate::cim::Class;
use crate::cim::Condition;
use crate::provider;
use crate::provider::Keys;
use crate::provider::View;
use crate::xml::Element;

use super::contexts::Mode;
use super::dispatch::Service;
use super::error::During;
use super::error::Error;
use super::error::Unfound;
use super::error::shorten;
use super::filter;
use super::filter::Association;
use super::filter::Bound;
use super::filter::Filter;
use super::request::Request;
use super::resource;
use super::resource::ResourceUri;
use super::selector;
use super::selector::CIM_NAMESPACE;
use super::selector::Selector;
use super::target;

/// The instances that an enumeration is of.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    /// Place of the class among those served; none when there is nothing to
    /// list.
    pub(super) served: Option<usize>,
    /// Which of its instances, and what of each; none: all of all.
    pub(super) selection: Option<Arc<Selection>>,
}

/// What a filter leaves of the instances of a class. It does not change while
/// the enumeration lives, and is shared by its context and its pulls.
#[derive(Debug)]
pub(super) struct Selection {
    /// What an instance must fulfil.
    pub(super) condition: Option<Condition>,
    /// The properties of a row; none for whole instances.
    pub(super) columns: Option<Vec<String>>,
    /// What the provider must load: columns, and keys where there are
    /// addresses. None: everything.
    pub(super) view: Option<Vec<String>>,
    /// Octets of the filter's text, which what the rest takes grows with.
    pub(super) octets: usize,
}

/// Finds what `request` enumerates, and reads its filter.
///
/// # Errors
///
/// [`Error`]: of the URI, of the selectors, of the filter. An association asks
/// the provider for the object that it begins at.
pub(super) async fn find(
    service: &Service,
    by: &Principal,
    request: &Request<'_>,
    uri: &ResourceUri,
    mode: Mode,
    filter: Option<&Element<'_>>,
) -> Result<Scope, Error> {
    let namespace = target::namespace(uri, request)?;
    let classes = Classes {
        service,
        namespace: namespace.as_deref(),
    };
    let class = if uri.is_all_classes() {
        filter.ok_or(Error::FilteringRequired)?;
        None
    } else {
        Some(classes.of_uri(&uri.class)?)
    };
    let (Some(element), class) = (filter, class) else {
        let class = class.ok_or(Error::FilteringRequired)?;
        check_no_key(&request.selectors, class)?;
        return Ok(Scope {
            served: service.place(class),
            selection: None,
        });
    };
    match filter::read(element)? {
        Filter::Select(select) => {
            let name = select.class.as_deref();
            let class = select_from(classes, &request.selectors, class, name)?;
            let bound = select.bind(class)?;
            let octets = octets(element);
            Ok(Scope {
                served: service.place(class),
                selection: Some(Arc::new(Selection::new(bound, class, mode, octets))),
            })
        }
        Filter::Association(association) => {
            if let Some(name) = stray(&request.selectors) {
                return Err(Error::UnexpectedSelector(shorten(name)));
            }
            check_object(classes, by, &association).await?;
            Ok(Scope::empty())
        }
    }
}

impl Scope {
    /// What a filter leaves that nothing can fulfil: the schemas define no
    /// association.
    fn empty() -> Self {
        let nothing = Selection {
            condition: None,
            columns: None,
            view: None,
            octets: 0,
        };
        Self {
            served: None,
            selection: Some(Arc::new(nothing)),
        }
    }
}

impl Selection {
    /// What `bound`, a filter on `class`, leaves for items of this mode.
    pub(super) fn new(bound: Bound, class: &Class, mode: Mode, octets: usize) -> Self {
        let Bound {
            condition, columns, ..
        } = bound;
        let keys = || class.keys().map(|key| key.name.clone());
        let view = match (mode, &columns) {
            (Mode::Epr, _) => Some(keys().collect()),
            (Mode::Object, columns) => columns.clone(),
            (Mode::ObjectAndEpr, None) => None,
            (Mode::ObjectAndEpr, Some(columns)) => {
                let mut view = columns.clone();
                view.extend(keys().filter(|key| !columns.contains(key)));
                Some(view)
            }
        };
        Self {
            condition,
            columns,
            view,
            octets,
        }
    }
}

/// The classes that a request can mean.
#[derive(Clone, Copy)]
struct Classes<'s> {
    service: &'s Service,
    /// Where they are; none: anywhere.
    namespace: Option<&'s str>,
}

impl<'s> Classes<'s> {
    /// The class with this name in any case.
    fn find(self, name: &str) -> Option<&'s Arc<Class>> {
        let catalog = &self.service.catalog;
        match self.namespace {
            Some(namespace) => catalog.class(namespace, name),
            None => catalog
                .classes()
                .iter()
                .find(|class| class.name.eq_ignore_ascii_case(name)),
        }
    }

    /// The namespace, when the catalog has no class in it.
    fn unknown_namespace(self) -> Option<&'s str> {
        let catalog = &self.service.catalog;
        self.namespace
            .filter(|name| !target::has_namespace(catalog, name))
    }

    /// The class of the resource URI.
    fn of_uri(self, name: &str) -> Result<&'s Arc<Class>, Error> {
        self.find(name)
            .ok_or_else(|| target::absent(&self.service.catalog, self.namespace, name))
    }
}

/// The class with the name that stands in a query, or that of the URI for a
/// filter which names none; the selectors are those that go with it.
fn select_from<'s>(
    classes: Classes<'s>,
    selectors: &[Selector<'_>],
    class: Option<&'s Arc<Class>>,
    name: Option<&str>,
) -> Result<&'s Arc<Class>, Error> {
    match (name, class) {
        (Some(name), _) => {
            if stray(selectors).is_some() {
                return Err(Error::FilterWithSelectors);
            }
            classes.find(name).ok_or_else(|| {
                if let Some(namespace) = classes.unknown_namespace() {
                    return Error::NoSuchNamespace(shorten(namespace));
                }
                Error::FilterUnfound(Unfound::Class(shorten(name)))
            })
        }
        (None, Some(class)) => {
            check_no_key(selectors, class)?;
            Ok(class)
        }
        (None, None) => Err(Error::FilterNeedsClass),
    }
}

/// The object that an association begins at is there, and the caller may know
/// of it.
async fn check_object(
    classes: Classes<'_>,
    by: &Principal,
    association: &Association,
) -> Result<(), Error> {
    let own = association.namespace.as_deref().map(resource::namespace);
    let classes = Classes {
        namespace: own.as_deref().or(classes.namespace),
        ..classes
    };
    let name = &association.class;
    let class =
        classes
            .find(name)
            .ok_or_else(|| match (classes.unknown_namespace(), own.is_some()) {
                (Some(namespace), true) => {
                    Error::FilterUnfound(Unfound::Namespace(shorten(namespace)))
                }
                (Some(namespace), false) => Error::NoSuchNamespace(shorten(namespace)),
                (None, _) => Error::FilterUnfound(Unfound::Class(shorten(name))),
            })?;
    let Some(keys) = keys(class, &association.keys) else {
        return Err(Error::FilterUnfound(Unfound::Keys(class.name.clone())));
    };
    let nobody = || Error::FilterUnfound(Unfound::Object(class.name.clone()));
    let at = classes.service.place(class).ok_or_else(nobody)?;
    let served = classes.service.served.get(at).ok_or_else(nobody)?;
    let view = View {
        only: Some(&[]),
        room: 0,
    };
    match served.provider.get(by, &keys, view).await {
        Ok(_) => Ok(()),
        Err(provider::Error::NotFound | provider::Error::BadKey { .. }) => Err(nobody()),
        Err(error) => Err(During::Access.error(error)),
    }
}

/// The keys of `class` under their canonical names; none when these are others.
/// A key that is the only one may stand without a name.
fn keys(class: &Class, written: &[(String, String)]) -> Option<Keys> {
    let is = |name: &str, key: &str| {
        name.eq_ignore_ascii_case(key) || (name.is_empty() && written.len() == 1)
    };
    let keys: Keys = class
        .keys()
        .filter_map(|key| {
            let mut written = written.iter();
            let (_, value) = written.find(|(name, _)| is(name, &key.name))?;
            Some((key.name.clone(), value.clone()))
        })
        .collect();
    let is_whole = keys.len() == class.keys().count() && keys.len() == written.len();
    is_whole.then_some(keys)
}

/// The selectors are none but `__cimnamespace`.
fn check_no_key(selectors: &[Selector<'_>], class: &Class) -> Result<(), Error> {
    selector::check(class, selectors)?;
    if selector::has_keys(class, selectors) {
        return Err(Error::EnumerateWithKeys);
    }
    Ok(())
}

/// The first selector that is not `__cimnamespace`.
fn stray<'e>(selectors: &[Selector<'e>]) -> Option<&'e str> {
    let mut names = selectors.iter().map(|selector| selector.name);
    names.find(|name| !name.eq_ignore_ascii_case(CIM_NAMESPACE))
}

/// Octets of all text in `element`, and something for each element.
fn octets(element: &Element<'_>) -> usize {
    let children = element.children().iter().map(octets);
    ELEMENT + element.text().len() + children.sum::<usize>()
}

/// What an element of a filter counts for beside its text.
const ELEMENT: usize = 64;

#[cfg(test)]
mod tests;
