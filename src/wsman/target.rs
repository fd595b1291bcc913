//! The class that a request means, its provider, and addresses of instances.

use std::borrow::Cow;
use std::sync::Arc;

use crate::cim::Catalog;
use crate::cim::Class;
use crate::cim::Instance;
use crate::cim::Property;
use crate::cim::xml;
use crate::provider::Keys;
use crate::provider::Provider;
use crate::xml::Element;
use crate::xml::Writer;
use crate::xml::ns;

use super::dispatch::Service;
use super::error::BodyError;
use super::error::Error;
use super::error::shorten;
use super::request::Request;
use super::resource;
use super::resource::Form;
use super::resource::ResourceUri;
use super::selector;
use super::selector::CIM_NAMESPACE;

/// A class with instances of its own, and who answers for it.
pub(super) struct Served {
    /// From the schema.
    pub(super) class: Arc<Class>,
    /// The classes whose instances stand inside its own.
    pub(super) parts: Vec<Arc<Class>>,
    /// Who has the instances.
    pub(super) provider: Arc<dyn Provider>,
    wmi_base: String,
    dmtf_base: String,
}

/// The class that a request means, in the family of URIs that it uses.
#[derive(Clone, Copy)]
pub(super) struct Target<'s> {
    /// The class.
    pub(super) served: &'s Served,
    /// The family.
    pub(super) form: Form,
}

/// Pairs the classes of `catalog` with `providers`.
///
/// # Errors
///
/// A sentence that names the class without provider, or the reverse.
pub(super) fn pair(
    catalog: &Catalog,
    providers: Vec<Arc<dyn Provider>>,
) -> Result<Vec<Served>, String> {
    let mut providers = providers;
    let mut all = Vec::new();
    for class in catalog.classes() {
        if !Catalog::is_addressable(class) {
            continue;
        }
        let at = providers
            .iter()
            .position(|provider| provider.class() == class.name)
            .ok_or_else(|| format!("class {} has no provider", class.name))?;
        all.push(Served {
            class: Arc::clone(class),
            parts: catalog.parts(class),
            provider: providers.swap_remove(at),
            wmi_base: resource::base(Form::Wmi, &class.namespace),
            dmtf_base: resource::base(Form::Dmtf, &class.namespace),
        });
    }
    match providers.first() {
        Some(provider) => Err(format!(
            "the provider of {} has no class in the schema",
            provider.class()
        )),
        None => Ok(all),
    }
}

/// The namespace that `request` means; none where a request in the DMTF form
/// leaves it open.
///
/// # Errors
///
/// [`Error::NamespacesDiffer`].
pub(super) fn namespace<'u>(
    uri: &'u ResourceUri,
    request: &Request<'_>,
) -> Result<Option<Cow<'u, str>>, Error> {
    let selected = selector::value(&request.selectors, CIM_NAMESPACE).map(resource::namespace);
    match (uri.form, selected) {
        (Form::Wmi, Some(selected)) if !selected.eq_ignore_ascii_case(&uri.namespace) => {
            Err(Error::NamespacesDiffer)
        }
        (Form::Wmi, _) => Ok(Some(Cow::Borrowed(&uri.namespace))),
        (Form::Dmtf, selected) => Ok(selected.map(Cow::Owned)),
    }
}

/// Why there is no class of this name in this namespace, or in any: there may
/// be no such namespace at all.
pub(super) fn absent(catalog: &Catalog, namespace: Option<&str>, name: &str) -> Error {
    match namespace.filter(|namespace| !has_namespace(catalog, namespace)) {
        Some(namespace) => Error::NoSuchNamespace(shorten(namespace)),
        None => Error::NoSuchClass(shorten(name)),
    }
}

/// The catalog has classes in this namespace.
pub(super) fn has_namespace(catalog: &Catalog, name: &str) -> bool {
    let mut classes = catalog.classes().iter();
    classes.any(|class| class.namespace.eq_ignore_ascii_case(name))
}

impl Served {
    /// What stands before the name of a class.
    pub(super) fn base(&self, form: Form) -> &str {
        match form {
            Form::Wmi => &self.wmi_base,
            Form::Dmtf => &self.dmtf_base,
        }
    }

    /// Writes the address of an instance.
    pub(super) fn write_epr(&self, writer: &mut Writer, instance: &Instance, form: Form) {
        writer.start("a:EndpointReference");
        self.write_reference(writer, form, |writer, key| {
            if let Some(value) = instance.value(&key.name) {
                xml::write_text(writer, value);
            }
        });
        writer.end();
    }

    /// Writes what the address of an instance is made of, with the text of each
    /// key by `write_key`: `__cimnamespace` only in the DMTF form ([MS-WSMV]
    /// footnote 45).
    fn write_reference(
        &self,
        writer: &mut Writer,
        form: Form,
        write_key: impl Fn(&mut Writer, &Property),
    ) {
        writer.leaf("a:Address", ns::ANONYMOUS);
        writer.start("a:ReferenceParameters");
        let uri = [self.base(form), &self.class.name].concat();
        writer.leaf("wsman:ResourceURI", &uri);
        writer.start("wsman:SelectorSet");
        for key in self.class.keys() {
            writer.start("wsman:Selector");
            writer.attribute("Name", &key.name);
            write_key(writer, key);
            writer.end();
        }
        if form == Form::Dmtf {
            writer.start("wsman:Selector");
            writer.attribute("Name", CIM_NAMESPACE);
            writer.text(&self.class.namespace);
            writer.end();
        }
        writer.end();
        writer.end();
    }
}

impl<'s> Target<'s> {
    /// Finds what `request` means among the classes that are served.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchClass`], [`Error::NoSuchNamespace`],
    /// [`Error::NamespacesDiffer`].
    pub(super) fn find(
        service: &'s Service,
        uri: &ResourceUri,
        request: &Request<'_>,
    ) -> Result<Self, Error> {
        let namespace = namespace(uri, request)?;
        service
            .served
            .iter()
            .find(|served| {
                served.class.name.eq_ignore_ascii_case(&uri.class)
                    && namespace
                        .as_deref()
                        .is_none_or(|name| name.eq_ignore_ascii_case(&served.class.namespace))
            })
            .map(|served| Self {
                served,
                form: uri.form,
            })
            .ok_or_else(|| absent(&service.catalog, namespace.as_deref(), &uri.class))
    }

    /// The address of an instance, as the header block `RequestedEPR` has it.
    pub(super) fn epr(&self, instance: &Instance) -> String {
        let mut writer = Writer::with_capacity(EPR_CAPACITY);
        self.served.write_epr(&mut writer, instance, self.form);
        writer.finish()
    }

    /// The same, of the instance with these keys.
    pub(super) fn epr_of(&self, keys: &Keys) -> String {
        let mut writer = Writer::with_capacity(EPR_CAPACITY);
        writer.start("a:EndpointReference");
        self.write_reference(&mut writer, keys);
        writer.end();
        writer.finish()
    }

    /// Writes what the address of the instance with these keys is made of.
    pub(super) fn write_reference(&self, writer: &mut Writer, keys: &Keys) {
        self.served
            .write_reference(writer, self.form, |writer, key| {
                if let Some((_, value)) = keys.iter().find(|(name, _)| *name == key.name) {
                    writer.text(value);
                }
            });
    }

    /// The class.
    pub(super) fn class(&self) -> &'s Class {
        &self.served.class
    }

    /// What stands before the name of a class.
    pub(super) fn base(&self) -> &'s str {
        self.served.base(self.form)
    }

    /// The element of a representation must be named after the class, in any
    /// case: the cmdlets take the name from the URI as it was typed.
    ///
    /// # Errors
    ///
    /// [`Error::Body`].
    pub(super) fn check_name(&self, body: &Element<'_>) -> Result<(), Error> {
        if body.local().eq_ignore_ascii_case(&self.class().name) {
            return Ok(());
        }
        Err(Error::Body(BodyError::NotOfClass))
    }

    /// The keys of the instance that `request` selects.
    ///
    /// # Errors
    ///
    /// Those of [`selector::keys`].
    pub(super) fn keys(&self, request: &Request<'_>) -> Result<Keys, Error> {
        selector::keys(self.class(), &request.selectors)
    }
}

/// Octets of most addresses.
const EPR_CAPACITY: usize = 640;
