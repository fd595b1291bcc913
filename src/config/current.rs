//! The settings in force.

use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::RwLock;

use super::Settings;

/// The settings in force: those of the start until somebody changes them over
/// WS-Management. Whoever needs one looks it up when he needs it, and does not
/// keep it.
#[derive(Debug)]
pub struct Current(RwLock<Arc<Settings>>);

impl Current {
    /// `settings` are in force.
    pub fn new(settings: Settings) -> Self {
        Self(RwLock::new(Arc::new(settings)))
    }

    /// The settings as they are now.
    pub fn get(&self) -> Arc<Settings> {
        // A pointer is swapped whole: there is nothing half-done to find.
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts others in force.
    pub fn set(&self, settings: Settings) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
    }
}
