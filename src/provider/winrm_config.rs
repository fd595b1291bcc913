//! `winrm/config`: the settings as documents, and changes to them while the
//! service runs.
//!
//! A change is all or nothing, one at a time: the new settings are checked
//! whole, the files that they name are read, new addresses are listened to, the
//! change is written to its file, and then it is in force; where a step fails,
//! all is as before. Values that this
//! service does not let anybody change may be written back as they are, since
//! clients put whole documents.

use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::Mutex;

use crate::auth::Principal;
use crate::cim::Catalog;
use crate::config::Current;
use crate::config::Listening;
use crate::config::Settings;
use crate::document::Access;
use crate::document::Declaration;
use crate::document::Node;
use crate::document::Schema;

use super::Keys;

mod addresses;
mod certificate_mapping;
mod change;
mod error;
mod listener;
mod part;
mod plug_in;
mod security;
mod values;

#[cfg(test)]
mod tests;

pub(crate) use error::ConfigError;
pub(crate) use error::Unsupported;
pub(crate) use part::Part;

/// The settings of the service as `winrm/config` shows them.
pub(crate) struct WinrmConfig {
    schema: Schema,
    current: Arc<Current>,
    /// What the settings file says.
    base: Settings,
    thumbprint: Thumbprint,
    prepare: Prepare,
    rebind: Rebind,
    /// What the plug-in document says of resources.
    resources: Node,
    /// Whoever changes something has it.
    turn: Mutex<()>,
}

/// Reads the files that these settings name and that nobody has read yet, and
/// looks whether somebody could still log on. It may block.
pub(crate) type Prepare = Arc<dyn Fn(&Settings) -> Result<(), Unready> + Send + Sync>;

/// Why settings cannot be put in force.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Unready {
    /// The files of client certificates cannot be used: why.
    Authorities(String),
    /// Nobody could log on any more.
    NobodyLogsOn,
}

/// Listens to these addresses and no others from now on, or says why not; then
/// all is as it was.
pub(crate) type Rebind = Box<
    dyn Fn(Vec<Listening>) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>>
        + Send
        + Sync,
>;

/// SHA-1 of the certificate that is served, 40 hexadecimal digits.
pub(crate) type Thumbprint = Box<dyn Fn() -> String + Send + Sync>;

impl WinrmConfig {
    /// `current` as documents. `base` are the settings without what was
    /// changed over WS-Management.
    ///
    /// # Errors
    ///
    /// A sentence: the bundled schema cannot be read.
    pub(crate) fn new(
        current: &Arc<Current>,
        base: Settings,
        catalog: &Catalog,
        thumbprint: Thumbprint,
        prepare: Prepare,
        rebind: Rebind,
    ) -> Result<Self, String> {
        let schema = Schema::parse(SCHEMA)
            .map_err(|reason| ["schemas/winrm-config.xsd: ", &reason].concat())?;
        for name in ["Config", "Listener", "CertMapping", "PlugInConfiguration"] {
            if schema.element(name).is_none() {
                return Err(["schemas/winrm-config.xsd has no element ", name].concat());
            }
        }
        let rights = security::descriptor(&base.access);
        Ok(Self {
            schema,
            current: Arc::clone(current),
            base,
            thumbprint,
            prepare,
            rebind,
            resources: plug_in::resources(catalog, &rights),
            turn: Mutex::new(()),
        })
    }

    /// What the documents of `part` look like.
    pub(crate) fn declaration(&self, part: Part) -> Option<&Declaration> {
        let name = match part {
            Part::Config(path) => {
                let root = self.schema.element("Config");
                return path
                    .iter()
                    .fold(root, |at, name| at.and_then(|at| at.child(name)));
            }
            Part::Listener => "Listener",
            Part::CertMapping => "CertMapping",
            Part::PlugIn => "PlugInConfiguration",
            Part::Security => return None,
        };
        self.schema.element(name)
    }

    /// The document of `part`, or that of it which `keys` select.
    ///
    /// # Errors
    ///
    /// [`ConfigError`].
    pub(crate) fn get(&self, part: Part, keys: &Keys) -> Result<Node, ConfigError> {
        let settings = self.current.get();
        match part {
            Part::Config(path) => self.config(&settings, path),
            Part::Listener => {
                let listener = listener::find(&settings, keys)?;
                Ok(listener.document(&(self.thumbprint)()))
            }
            Part::CertMapping => {
                let at = certificate_mapping::find(&settings, keys)?;
                let mapping = settings.access.certificate_mappings.get(at);
                mapping
                    .map(certificate_mapping::document)
                    .ok_or(ConfigError::NotFound)
            }
            Part::PlugIn => {
                let is_ours = keys
                    .iter()
                    .all(|(_, name)| name.eq_ignore_ascii_case(plug_in::NAME));
                if !is_ours {
                    return Err(ConfigError::NotFound);
                }
                Ok(plug_in::document(&settings, &self.resources))
            }
            Part::Security => Err(Unsupported::Security.into()),
        }
    }

    /// All documents of a part that has more than one.
    ///
    /// # Errors
    ///
    /// [`ConfigError::NotSupported`] for the others.
    pub(crate) fn list(&self, part: Part) -> Result<Vec<Node>, ConfigError> {
        let settings = self.current.get();
        match part {
            Part::Listener => {
                let thumbprint = (self.thumbprint)();
                let all = listener::all(&settings);
                Ok(all.iter().map(|one| one.document(&thumbprint)).collect())
            }
            Part::CertMapping => {
                let all = settings.access.certificate_mappings.iter();
                Ok(all.map(certificate_mapping::document).collect())
            }
            Part::PlugIn => Ok(vec![plug_in::document(&settings, &self.resources)]),
            Part::Security => Err(Unsupported::Security.into()),
            Part::Config(_) => Err(Unsupported::One.into()),
        }
    }

    /// Sets what `given` has of a document; gives the document as it is then.
    /// Dropped half-way, the change is made or not.
    ///
    /// # Errors
    ///
    /// [`ConfigError`]; nothing has changed then.
    pub(crate) async fn put(
        &self,
        by: &Principal,
        part: Part,
        keys: &Keys,
        given: &Node,
    ) -> Result<Node, ConfigError> {
        let _turn = self.begin(by).await?;
        let old = self.current.get();
        let mut new = Settings::clone(&old);
        match part {
            Part::Config(["Service", "DefaultPorts"]) => {
                return Err(Unsupported::DefaultPorts.into());
            }
            Part::Config(path) => {
                let Some(declaration) = self.declaration(part) else {
                    return Err(ConfigError::NotFound);
                };
                let shown = self.config(&old, path)?;
                let path = path.join("/");
                values::apply(declaration, &path, &shown, given, &mut new)?;
            }
            Part::Listener => {
                let listener = listener::find(&old, keys)?;
                let shown = listener.document(&(self.thumbprint)());
                self.refuse_changes(part, &shown, given)?;
                listener.put(given, &mut new)?;
            }
            Part::CertMapping => {
                let at = certificate_mapping::find(&old, keys)?;
                certificate_mapping::put(at, given, &mut new)?;
            }
            Part::PlugIn => return Err(Unsupported::PlugIn.into()),
            Part::Security => return Err(Unsupported::Security.into()),
        }
        self.change(by, &old, new).await?;
        self.get(part, keys)
    }

    /// Makes a document; gives its keys.
    ///
    /// # Errors
    ///
    /// [`ConfigError`]; nothing has changed then.
    pub(crate) async fn create(
        &self,
        by: &Principal,
        part: Part,
        keys: &Keys,
        given: &Node,
    ) -> Result<Keys, ConfigError> {
        let _turn = self.begin(by).await?;
        let old = self.current.get();
        match part {
            Part::Listener => {
                let listener = listener::create(&old, keys, given)?;
                let shown = listener.document(&(self.thumbprint)());
                self.refuse_changes(part, &shown, given)?;
                let made = self.change(by, &old, listener.added_to(&old)).await;
                match (made, listener.without_ipv6()) {
                    (Err(ConfigError::Listen(reason)), Some(listener)) => {
                        // A host may have no IPv6; where that is not why, the
                        // first reason says more.
                        let again = self.change(by, &old, listener.added_to(&old)).await;
                        again.map_err(|_| ConfigError::Listen(reason))?;
                    }
                    (made, _) => made?,
                }
                Ok(listener.keys())
            }
            Part::CertMapping => {
                let mut new = Settings::clone(&old);
                let keys = certificate_mapping::create(keys, given, &mut new)?;
                self.change(by, &old, new).await?;
                Ok(keys)
            }
            Part::PlugIn => Err(Unsupported::PlugIn.into()),
            Part::Security => Err(Unsupported::Security.into()),
            Part::Config(_) => Err(Unsupported::One.into()),
        }
    }

    /// Removes a document.
    ///
    /// # Errors
    ///
    /// [`ConfigError`]; it is still there then.
    pub(crate) async fn delete(
        &self,
        by: &Principal,
        part: Part,
        keys: &Keys,
    ) -> Result<(), ConfigError> {
        let _turn = self.begin(by).await?;
        let old = self.current.get();
        let mut new = Settings::clone(&old);
        match part {
            Part::Listener => {
                let listener = listener::find(&old, keys)?;
                listener.remove_from(&mut new);
            }
            Part::CertMapping => {
                let at = certificate_mapping::find(&old, keys)?;
                new.access.certificate_mappings.remove(at);
            }
            Part::PlugIn => return Err(Unsupported::PlugIn.into()),
            Part::Security => return Err(Unsupported::Security.into()),
            Part::Config(_) => return Err(Unsupported::One.into()),
        }
        self.change(by, &old, new).await
    }

    /// The method `Restore`: the settings file alone counts again, as it was
    /// read at start.
    ///
    /// # Errors
    ///
    /// [`ConfigError`]; nothing has changed then.
    pub(crate) async fn restore(&self, by: &Principal) -> Result<(), ConfigError> {
        let _turn = self.begin(by).await?;
        let old = self.current.get();
        self.change(by, &old, self.base.clone()).await
    }

    /// The keys of a document of `part`.
    pub(crate) fn keys(part: Part, document: &Node) -> Keys {
        let value = |name: &&str| {
            let value = document.value(name).or_else(|| document.attribute(name));
            ((*name).to_owned(), value.unwrap_or_default().to_owned())
        };
        part.keys().iter().map(value).collect()
    }

    /// Waits until nobody else changes anything. Only an administrator may.
    async fn begin(&self, by: &Principal) -> Result<impl Drop + '_, ConfigError> {
        if !by.is_administrator() {
            return Err(ConfigError::Denied);
        }
        Ok(self.turn.lock().await)
    }

    /// The document of `Config`, or the part of it at `path`.
    fn config(&self, settings: &Settings, path: &[&str]) -> Result<Node, ConfigError> {
        let declaration = self.schema.element("Config").ok_or(ConfigError::NotFound)?;
        let mut node = values::document(declaration, "", settings, &(self.thumbprint)());
        for name in path {
            node = node.child(name).ok_or(ConfigError::NotFound)?.clone();
        }
        Ok(node)
    }

    /// What nobody may change must be as `shown` where `given` has it.
    fn refuse_changes(&self, part: Part, shown: &Node, given: &Node) -> Result<(), ConfigError> {
        let declared = self
            .declaration(part)
            .map_or(&[][..], Declaration::children);
        for child in given.children() {
            let access = declared
                .iter()
                .find(|declared| declared.name == child.name)
                .map_or(Access::ReadOnly, |declared| declared.access);
            let is_same = || {
                let mut own = shown.children().iter().filter(|own| own.name == child.name);
                own.any(|own| is_same(own.text(), child.text()))
            };
            match access {
                Access::Changeable | Access::WriteOnly => {}
                Access::ReadOnly | Access::Fixed | Access::Frozen if is_same() => {}
                // No certificate of its own: that is so.
                Access::Fixed if child.text() == Some("") => {}
                Access::ReadOnly => return Err(ConfigError::ReadOnly(child.name.clone())),
                Access::Frozen => return Err(ConfigError::Frozen(child.name.clone())),
                Access::Fixed => {
                    return Err(ConfigError::Fixed {
                        name: child.name.clone(),
                        value: shown.value(&child.name).unwrap_or_default().to_owned(),
                    });
                }
            }
        }
        Ok(())
    }
}

/// The same value: hexadecimal digits and names are written in any case.
fn is_same(one: Option<&str>, other: Option<&str>) -> bool {
    let (one, other) = (one.unwrap_or_default(), other.unwrap_or_default());
    one.eq_ignore_ascii_case(other)
}

/// The value of a key, by its name in any case.
fn key<'k>(keys: &'k Keys, name: &str) -> &'k str {
    keys.iter()
        .find(|(own, _)| own.eq_ignore_ascii_case(name))
        .map_or("", |(_, value)| value.as_str())
}

/// The documents.
const SCHEMA: &str = include_str!("../../schemas/winrm-config.xsd");
