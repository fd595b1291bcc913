//! Which operation an action asks for (DSP0226 5, [MS-WSMV] 3.1.4.1).

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::auth::Principal;
use crate::cim::Catalog;
use crate::cim::Class;
use crate::config::Current;
use crate::config::Settings;
use crate::config::WsmanSettings;
use crate::provider;
use crate::provider::Provider;
use crate::provider::WinrmConfig;
use crate::xml::Limits;

use super::Answer;
use super::config;
use super::contexts::Contexts;
use super::create;
use super::delete;
use super::enumerate;
use super::error::During;
use super::error::Error;
use super::error::shorten;
use super::get;
use super::invoke;
use super::limits::Operations;
use super::limits::Permit;
use super::listing;
use super::pull;
use super::put;
use super::release;
use super::renew;
use super::request::Request;
use super::resource::Resource;
use super::rights;
use super::schema;
use super::target;
use super::target::Served;
use super::target::Target;

/// What the operations share.
pub(super) struct Service {
    /// The classes, in the order of the catalog.
    pub(super) served: Vec<Served>,
    /// The open enumerations.
    pub(super) contexts: Contexts,
    /// Every class.
    pub(super) catalog: Catalog,
    /// `winrm/config`, where there is one.
    pub(super) config: Option<Arc<WinrmConfig>>,
    operations: Operations,
    settings: Arc<Current>,
}

impl Service {
    /// The service for `providers`.
    ///
    /// # Errors
    ///
    /// A sentence that names what does not fit together.
    pub(super) fn new(
        settings: &Arc<Current>,
        catalog: Catalog,
        providers: Vec<Arc<dyn Provider>>,
    ) -> Result<Self, String> {
        Ok(Self {
            served: target::pair(&catalog, providers)?,
            contexts: Contexts::new(Arc::clone(settings)),
            operations: Operations::new(settings),
            settings: Arc::clone(settings),
            catalog,
            config: None,
        })
    }

    /// What is in force.
    pub(super) fn settings(&self) -> Arc<Settings> {
        self.settings.get()
    }

    /// The place of `class`, which is one of the catalog's, among those that
    /// have instances of their own; of one that is abstract, the place of the
    /// class of its namespace that is derived from it.
    pub(super) fn place(&self, class: &Arc<Class>) -> Option<usize> {
        let mut served = self.served.iter();
        served.position(|served| {
            Arc::ptr_eq(&served.class, class)
                || (class.is_abstract()
                    && served.class.namespace == class.namespace
                    && served.class.is_a(&class.name))
        })
    }

    /// Does what `request` asks for.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub(super) async fn answer(
        &self,
        by: &Principal,
        request: &Request<'_>,
    ) -> Result<Answer, Error> {
        let permit = self.operations.begin(by)?;
        if let Some(operation) = request.action.strip_prefix(ENUMERATION) {
            if request.fragment.is_some() {
                return Err(Error::FragmentNotSupported);
            }
            // Found by their context: a client may name any resource in them.
            match operation {
                "Pull" => return pull::answer(self, by, request).await,
                "Release" => return release::answer(self, by, request),
                "Renew" | "GetStatus" => return renew::answer(self, by, request),
                _ => {}
            }
        }
        if request.resource_uri.is_empty() {
            return Err(Error::NoResource);
        }
        let resource = Resource::parse(request.resource_uri)?;
        rights::check(by, &resource, request.action)?;
        if matches!(resource, Resource::Schema | Resource::Config(_)) {
            // Neither has filters or fragments.
            listing::refuse_filter(request)?;
            if request.fragment.is_some() {
                return Err(Error::FragmentNotSupported);
            }
        }
        let uri = match resource {
            Resource::Class(uri) => uri,
            Resource::Schema => return schema::answer(self, by, request),
            Resource::Config(path) => {
                return config::answer(self, by, request, &path, permit).await;
            }
            Resource::Shell => return Err(Error::NoShell),
        };
        match request.action.strip_prefix(ENUMERATION) {
            Some("Enumerate") => return enumerate::answer(self, by, request, &uri).await,
            Some(_) => return Err(Error::ActionNotSupported(shorten(request.action))),
            None if uri.is_all_classes() => {
                return Err(Error::ActionNotSupported(shorten(request.action)));
            }
            None => {}
        }
        let target = Target::find(self, &uri, request)?;
        if let Some(operation) = request.action.strip_prefix(TRANSFER) {
            return match operation {
                "Get" => within(request.timeout, get::answer(by, request, target)).await,
                "Put" => put::answer(by, request, target, permit).await,
                "Delete" => delete::answer(by, request, target, permit).await,
                "Create" => create::answer(by, request, target, permit).await,
                _ => Err(Error::ActionNotSupported(shorten(request.action))),
            };
        }
        invoke::answer(by, request, target, permit).await
    }
}

/// What an envelope may cost.
pub(super) fn xml_limits(settings: &WsmanSettings) -> Limits {
    let octets = super::request::max_octets(settings);
    Limits {
        octets,
        depth: MAX_DEPTH,
        elements: octets / OCTETS_PER_ELEMENT,
        attributes: MAX_ATTRIBUTES,
    }
}

/// Ends the wait for what changes nothing.
pub(super) async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    timeout(limit, work).await.unwrap_or(Err(Error::TimedOut))
}

/// Does work that changes something: it runs to its end though its client has
/// gone or `OperationTimeout` has ended the wait. Until then it counts as one
/// of the user's operations.
pub(super) async fn to_its_end<T: Send + 'static>(
    limit: Duration,
    permit: Permit,
    during: During,
    work: impl Future<Output = Result<T, provider::Error>> + Send + 'static,
) -> Result<T, Error> {
    let done = alone(limit, permit, work).await?;
    done.map_err(|error| during.error(error))
}

/// The same for work of any kind.
pub(super) async fn alone<T: Send + 'static>(
    limit: Duration,
    permit: Permit,
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, Error> {
    let task = tokio::spawn(async move {
        let done = work.await;
        drop(permit);
        done
    });
    match timeout(limit, task).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(broken)) => {
            tracing::error!(error = %broken, "Operation broke off");
            Err(During::Access.error(provider::Error::Unavailable))
        }
        Err(_) => Err(Error::TimedOut),
    }
}

/// The client closes a full-duplex operation that we never began ([MS-WSMV]
/// 3.1.4.1.39): it wants to hear 204.
pub(super) fn is_end_of_duplex(action: Option<&str>) -> bool {
    action
        .and_then(|action| action.strip_prefix(DUPLEX))
        .is_some_and(|word| {
            ["End", "KeepAlive", "Cancel"]
                .iter()
                .any(|known| known.eq_ignore_ascii_case(word))
        })
}

pub(super) const TRANSFER: &str = "http://schemas.xmlsoap.org/ws/2004/09/transfer/";
pub(super) const ENUMERATION: &str = "http://schemas.xmlsoap.org/ws/2004/09/enumeration/";
const DUPLEX: &str = "http://schemas.microsoft.com/wbem/wsman/1/wsman/";

/// Elements within one another: real requests stay below 12.
const MAX_DEPTH: usize = 32;

/// A request may be one element for so many octets: a Put repeats every file
/// of its job, at six elements and more than 200 octets a file.
const OCTETS_PER_ELEMENT: usize = 32;

/// Attributes of one element: pywinrm declares 13 prefixes on the envelope.
const MAX_ATTRIBUTES: usize = 64;
