//! The classes themselves, as CIM-XML ([MS-WSMV] 3.1.4.1.38): what
//! `Get-CimClass` and every typed read of a CIM client ask for.
//!
//! Get answers the class that the selector `ClassName` names, Enumerate those
//! derived from it; all of the namespace when it is empty, as `Get-CimClass`
//! sends it, or absent. The options of the request say how much of each.

use std::sync::Arc;

use crate::auth::Principal;
use crate::cim::Catalog;
use crate::cim::Class;
use crate::cim::cim_xml;
use crate::cim::cim_xml::Detail;
use crate::xml::Writer;

use super::Answer;
use super::batch;
use super::batch::Batch;
use super::batch::Budget;
use super::contexts::Lease;
use super::contexts::Listing;
use super::dispatch::Service;
use super::error::Error;
use super::error::shorten;
use super::listing;
use super::listing::Wish;
use super::reply::Reply;
use super::request::Request;
use super::resource;
use super::selector;
use super::selector::CIM_NAMESPACE;
use super::target;

/// An enumeration of classes between two requests.
#[derive(Clone, Debug)]
pub(super) struct Classes {
    /// Only those of this namespace.
    namespace: Option<String>,
    /// Only those derived from this class.
    superclass: Option<Arc<Class>>,
    /// Those derived from derived ones too.
    is_deep: bool,
    form: Form,
    detail: Detail,
}

/// What is written of each class (DSP0201 3.2.3 and 3.2.4).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Form {
    /// `<CLASS>`
    Class,
    /// `<CLASS>` with its path before it.
    ClassWithPath,
    /// `<CLASSNAME>`
    Name,
    /// `<LOCALCLASSPATH>`
    Path,
}

/// Answers a Get of one class, or an Enumerate of several.
///
/// # Errors
///
/// [`Error`].
pub(super) fn answer(
    service: &Service,
    by: &Principal,
    request: &Request<'_>,
) -> Result<Answer, Error> {
    match request.action {
        GET => get(service, request),
        ENUMERATE => enumerate(service, by, request),
        other => Err(Error::ActionNotSupported(shorten(other))),
    }
}

fn get(service: &Service, request: &Request<'_>) -> Result<Answer, Error> {
    let (namespace, name) = selected(request)?;
    let name = name.ok_or_else(|| Error::MissingSelector(CLASS_NAME.to_owned()))?;
    let class = find(&service.catalog, namespace.as_deref(), name)?;
    let detail = detail(request)?;
    let mut reply = Reply::new(request, &[]);
    cim_xml::write_class(&mut reply.writer, class, detail);
    reply.finish()
}

fn enumerate(service: &Service, by: &Principal, request: &Request<'_>) -> Result<Answer, Error> {
    let wish = Wish::read(request)?;
    if wish.mode.is_some() {
        // A class has no address of its own.
        return Err(Error::EnumerationMode);
    }
    let classes = Classes::read(&service.catalog, request)?;
    let reply = listing::begin(request, || classes.of(&service.catalog).count());
    let batch = wish.is_optimized.then(|| {
        let budget = listing::budget(service, &reply, wish.max_elements, None);
        classes.collect(&service.catalog, 0, budget)
    });
    let listing = Listing::Classes(classes);
    listing::enumerated(service, by, reply, wish.lifetime, listing, batch)
}

/// Answers a Pull of classes: at most so many elements, and so many characters
/// of them.
///
/// # Errors
///
/// [`Error::AnswerTooLarge`] for a class that does not fit by itself; the
/// context stays where it was.
pub(super) fn pull(
    service: &Service,
    request: &Request<'_>,
    lease: Lease<'_>,
    classes: &Classes,
    (max_elements, max_characters): (usize, Option<usize>),
) -> Result<Answer, Error> {
    let reply = listing::begin(request, || classes.of(&service.catalog).count());
    let budget = listing::budget(service, &reply, max_elements, max_characters);
    let batch = classes.collect(&service.catalog, lease.place(), budget);
    listing::pulled(reply, lease, batch)
}

impl Classes {
    /// The classes that `request` asks for.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchClass`], [`Error::NoSuchNamespace`],
    /// [`Error::OptionInvalid`].
    fn read(catalog: &Catalog, request: &Request<'_>) -> Result<Self, Error> {
        let (namespace, name) = selected(request)?;
        let superclass = match name {
            Some(name) => Some(Arc::clone(find(catalog, namespace.as_deref(), name)?)),
            None => None,
        };
        if let Some(namespace) = &namespace
            && !target::has_namespace(catalog, namespace)
        {
            return Err(Error::NoSuchNamespace(shorten(namespace)));
        }
        Ok(Self {
            namespace,
            superclass,
            is_deep: option(request, "IncludeSubClasses")?.unwrap_or(true),
            form: match (
                option(request, "ExcludeClassSpecification")?.unwrap_or(false),
                option(request, "IncludePath")?.unwrap_or(false),
            ) {
                (false, false) => Form::Class,
                (false, true) => Form::ClassWithPath,
                (true, false) => Form::Name,
                (true, true) => Form::Path,
            },
            detail: detail(request)?,
        })
    }

    /// It is one of those asked for.
    fn has(&self, class: &Class) -> bool {
        if !is_in(class, self.namespace.as_deref()) {
            return false;
        }
        let Some(superclass) = &self.superclass else {
            return self.is_deep || class.derivation.is_empty();
        };
        let is_derived = if self.is_deep {
            class.is_a(&superclass.name) && class.name != superclass.name
        } else {
            class.derivation.first() == Some(&superclass.name)
        };
        class.namespace == superclass.namespace && is_derived
    }

    /// Those of the catalog, each with its place there.
    fn of<'c>(&'c self, catalog: &'c Catalog) -> impl Iterator<Item = (usize, &'c Class)> {
        let all = catalog.classes().iter().enumerate();
        all.filter_map(|(at, class)| self.has(class).then_some((at, &**class)))
    }

    /// The next ones that the budget has room for.
    fn collect(&self, catalog: &Catalog, from: usize, budget: Budget) -> Batch {
        batch::of_list(self.of(catalog), from, budget, |writer, class| {
            self.write(writer, class);
        })
    }

    fn write(&self, writer: &mut Writer, class: &Class) {
        match self.form {
            Form::Class => cim_xml::write_class(writer, class, self.detail),
            Form::ClassWithPath => {
                writer.start("VALUE.OBJECTWITHLOCALPATH");
                cim_xml::write_class_path(writer, class);
                cim_xml::write_class(writer, class, self.detail);
                writer.end();
            }
            Form::Name => cim_xml::write_class_name(writer, class),
            Form::Path => cim_xml::write_class_path(writer, class),
        }
    }
}

/// The namespace and the class that the selectors name; an empty name is none.
fn selected<'e>(request: &Request<'e>) -> Result<(Option<String>, Option<&'e str>), Error> {
    let unexpected = request.selectors.iter().find(|selector| {
        ![CIM_NAMESPACE, CLASS_NAME]
            .iter()
            .any(|known| known.eq_ignore_ascii_case(selector.name))
    });
    if let Some(selector) = unexpected {
        return Err(Error::UnexpectedSelector(shorten(selector.name)));
    }
    let namespace = selector::value(&request.selectors, CIM_NAMESPACE).map(resource::namespace);
    let name = selector::value(&request.selectors, CLASS_NAME);
    Ok((namespace, name.filter(|name| !name.is_empty())))
}

/// The class of that name; in any namespace if none is named.
fn find<'s>(
    catalog: &'s Catalog,
    namespace: Option<&str>,
    name: &str,
) -> Result<&'s Arc<Class>, Error> {
    let mut classes = catalog.classes().iter();
    classes
        .find(|class| class.name.eq_ignore_ascii_case(name) && is_in(class, namespace))
        .ok_or_else(|| target::absent(catalog, namespace, name))
}

fn is_in(class: &Class, namespace: Option<&str>) -> bool {
    namespace.is_none_or(|name| name.eq_ignore_ascii_case(&class.namespace))
}

/// How much of a class is asked for. Who asks for nothing gets the names and
/// types of its own elements. `CLASSORIGIN` comes with everything else unless
/// it is refused: the CIM cmdlets do not ask for it, and tell by it what is
/// inherited.
fn detail(request: &Request<'_>) -> Result<Detail, Error> {
    let wants = |name| option(request, name).map(Option::unwrap_or_default);
    let detail = Detail {
        hierarchy: wants("IncludeInheritanceHierarchy")?,
        inherited: wants("IncludeInheritedElements")?,
        qualifiers: wants("IncludeQualifiers")?,
        class_origin: false,
    };
    Ok(Detail {
        class_origin: option(request, "IncludeClassOrigin")?.unwrap_or(detail != Detail::default()),
        ..detail
    })
}

/// The option with this name, with or without the prefix that it has among an
/// application's own; the last one counts, and one without a value is set.
///
/// # Errors
///
/// [`Error::OptionInvalid`].
fn option(request: &Request<'_>, name: &'static str) -> Result<Option<bool>, Error> {
    let named = request
        .options
        .iter()
        .rev()
        .find(|option| option.name.strip_prefix("wmi:").unwrap_or(option.name) == name);
    match named.map(|option| option.value) {
        None => Ok(None),
        Some("" | "1") => Ok(Some(true)),
        Some("0") => Ok(Some(false)),
        Some(word) if word.eq_ignore_ascii_case("true") => Ok(Some(true)),
        Some(word) if word.eq_ignore_ascii_case("false") => Ok(Some(false)),
        Some(_) => Err(Error::OptionInvalid(name)),
    }
}

const GET: &str = "http://schemas.xmlsoap.org/ws/2004/09/transfer/Get";
const ENUMERATE: &str = "http://schemas.xmlsoap.org/ws/2004/09/enumeration/Enumerate";

/// The selector that names a class.
const CLASS_NAME: &str = "ClassName";
