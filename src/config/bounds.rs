//! What the jobs of one account may not go beyond.

use std::path::PathBuf;
use std::sync::Arc;

use super::Network;

/// What the jobs of one account may not go beyond, within what any job may.
/// The roles of the account say so.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Bounds {
    /// Below these folders, each of which is or lies below one of
    /// `files.write_roots`, files land; none: below any write root.
    pub write_roots: Option<Arc<[PathBuf]>>,
    /// Below these folders, each of which is or lies below one of
    /// `files.read_roots`, lie the sources of uploads; none: below any read root.
    pub read_roots: Option<Arc<[PathBuf]>>,
    /// These addresses may be reached; none: those that any job may reach.
    pub reach: Option<Arc<[Network]>>,
}
