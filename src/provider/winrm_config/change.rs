//! A change of the settings, from the check to the file.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tracing::error;
use tracing::info;

use crate::auth;
use crate::auth::AUDIT;
use crate::auth::Ownership;
use crate::auth::Principal;
use crate::config::Overlay;
use crate::config::Settings;

use super::ConfigError;
use super::Unready;
use super::WinrmConfig;
use super::values;

impl WinrmConfig {
    /// Puts `new` in force in place of `old`, and keeps it. Whoever calls has
    /// the turn.
    ///
    /// # Errors
    ///
    /// [`ConfigError::LastListener`], [`ConfigError::LastLogOn`],
    /// [`ConfigError::NoAuthorities`], [`ConfigError::Value`],
    /// [`ConfigError::Listen`], [`ConfigError::Unavailable`]; nothing has
    /// changed then.
    pub(super) async fn change(
        &self,
        by: &Principal,
        old: &Settings,
        new: Settings,
    ) -> Result<(), ConfigError> {
        let changes = Overlay::changes(old, &new);
        if changes.is_empty() {
            return Ok(());
        }
        check(&new)?;
        self.prepare(&new).await?;
        let (was, is) = (old.service.listening(), new.service.listening());
        let is_elsewhere = was != is;
        if is_elsewhere {
            (self.rebind)(is).await.map_err(ConfigError::Listen)?;
        }
        if let Err(reason) = self.keep(&new).await {
            error!(%reason, "Configuration cannot be kept");
            if is_elsewhere && let Err(reason) = (self.rebind)(was).await {
                error!(%reason, "Listeners could not be put back");
            }
            // The file may be the new one already, and only its folder not
            // synced: then the next start would make the change.
            if let Err(reason) = self.keep(old).await {
                error!(%reason, "Configuration could not be put back");
            }
            return Err(ConfigError::Unavailable);
        }
        self.current.set(new);
        for (key, old, new) in changes {
            info!(
                target: AUDIT,
                user = by.name(),
                key,
                old,
                new,
                "Setting changed over WS-Management"
            );
        }
        Ok(())
    }

    /// Has the files read that `new` names.
    async fn prepare(&self, new: &Settings) -> Result<(), ConfigError> {
        let (prepare, new) = (Arc::clone(&self.prepare), new.clone());
        let prepared = tokio::task::spawn_blocking(move || prepare(&new)).await;
        match prepared {
            Ok(Ok(())) => Ok(()),
            Ok(Err(Unready::NobodyLogsOn)) => Err(ConfigError::LastLogOn),
            Ok(Err(Unready::Authorities(reason))) => Err(ConfigError::Value {
                name: values::element("access.client_ca_certificates").to_owned(),
                reason,
            }),
            Err(broken) => {
                error!(reason = %broken, "Files of the configuration cannot be read");
                Err(ConfigError::Unavailable)
            }
        }
    }

    /// Writes down what `new` has beyond the settings file.
    async fn keep(&self, new: &Settings) -> Result<(), String> {
        let path = Overlay::path(&self.base.service);
        let overlay = Overlay::between(&self.base, new);
        let text = if overlay.is_empty() {
            None
        } else {
            Some(overlay.text().map_err(|error| error.to_string())?)
        };
        let written = tokio::task::spawn_blocking(move || match text {
            Some(text) => auth::replace_file(&path, text.as_bytes(), OWNERSHIP),
            None => remove(&path),
        });
        match written.await {
            Ok(written) => written.map_err(|error| error.to_string()),
            Err(broken) => Err(broken.to_string()),
        }
    }
}

/// Checks settings as a whole. What a client can bring about by himself is said
/// in his words, the rest in those of the settings file.
fn check(new: &Settings) -> Result<(), ConfigError> {
    let access = &new.access;
    if new.service.listening().is_empty() {
        return Err(ConfigError::LastListener);
    }
    let is_mapped = access.certificate_mappings.iter().any(|one| one.enabled);
    if access.certificate && access.client_ca_certificates.is_none() && !is_mapped {
        return Err(ConfigError::NoAuthorities);
    }
    new.check().map_err(|(key, reason)| match key {
        "access.basic" => ConfigError::LastLogOn,
        _ => ConfigError::Value {
            name: values::element(key).to_owned(),
            reason,
        },
    })
}

/// Removes a file for good; it may be gone.
fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    match path.parent() {
        Some(folder) => std::fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// Names of accounts and authorities are nobody else's business.
const OWNERSHIP: Ownership = Ownership {
    mode: 0o600,
    owner: None,
};
