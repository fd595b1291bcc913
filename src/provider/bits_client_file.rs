//! `BitsClientFile`: a file of a job, embedded in its job's instance.

use std::sync::Arc;

use crate::bits::File;
use crate::cim::Class;
use crate::cim::Instance;
use crate::cim::NotInSchema;
use crate::cim::Value;

/// Who looks at a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Onlooker {
    /// Whose job it is, and always was: he wrote the address, and sees all of it.
    Owner,
    /// Somebody else: the query of an address is a secret.
    Other,
}

/// The instance of a file.
///
/// `Completed` follows the page of the WMI class: true once the file was
/// transferred. (The native interface says so only after Complete, when the
/// job is no longer there to be asked.)
pub(super) fn instance(
    class: &Arc<Class>,
    file: File,
    onlooker: Onlooker,
) -> Result<Instance, NotInSchema> {
    let octets = file.octets();
    let mut remote_url = file.remote_url;
    if onlooker == Onlooker::Other
        && let Some(at) = remote_url.find('?')
    {
        remote_url.truncate(at);
    }
    let mut instance = Instance::new(class);
    instance.set("RemoteUrl", Value::String(remote_url))?;
    instance.set("LocalFile", Value::String(file.local_file))?;
    instance.set("BytesTotal", Value::Uint64(file.size.unwrap_or(UNKNOWN)))?;
    instance.set("BytesTransferred", Value::Uint64(octets))?;
    instance.set("Completed", Value::Boolean(file.transferred))?;
    Ok(instance)
}

/// Octets that a file at least takes in an answer, beside its two names.
pub(super) const LEAST_SIZE: usize = 200;

/// `BG_SIZE_UNKNOWN`.
pub(super) const UNKNOWN: u64 = u64::MAX;

/// Name of the class.
pub(super) const CLASS: &str = "BitsClientFile";
