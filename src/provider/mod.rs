//! What stands behind the classes: one file per CIM class, between instances
//! and what the engine knows; and behind `winrm/config`, which is no class but
//! documents. Sees no envelope, no header, no fault.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use crate::auth::Principal;
use crate::bits::Hresult;
use crate::cim::Condition;
use crate::cim::Instance;
use crate::cim::Value;
use crate::cim::Values;

mod bits_client_file;
mod bits_client_job;
mod bitsd_file;
mod bitsd_job;
mod winrm_config;
mod wrong;

pub(crate) use bits_client_job::BitsClientJob;
pub(crate) use bitsd_file::BitsdFile;
pub(crate) use bitsd_job::BitsdJob;
pub(crate) use winrm_config::ConfigError;
pub(crate) use winrm_config::Part;
pub(crate) use winrm_config::Prepare;
pub(crate) use winrm_config::Rebind;
pub(crate) use winrm_config::Unready;
pub(crate) use winrm_config::Unsupported;
pub(crate) use winrm_config::WinrmConfig;
pub(crate) use wrong::BadValue;
pub(crate) use wrong::Wrong;

/// Answers for one class. `wsman` checks names and types against the schema
/// before it asks, and finds the provider by [`Provider::class`].
pub(crate) trait Provider: Send + Sync {
    /// The canonical name of the class.
    fn class(&self) -> &'static str;

    /// The instance with these keys (canonical names, values as text).
    fn get<'a>(&'a self, by: &'a Principal, keys: &'a Keys, view: View<'a>)
    -> Answer<'a, Instance>;

    /// Makes an instance from what a client may give of a new one; gives its
    /// keys.
    fn create<'a>(&'a self, by: &'a Principal, values: Values) -> Answer<'a, Keys>;

    /// Sets properties: only writable ones are in `values`.
    fn put<'a>(&'a self, by: &'a Principal, keys: &'a Keys, values: Values) -> Answer<'a, ()>;

    /// Deletes the instance.
    fn delete<'a>(&'a self, by: &'a Principal, keys: &'a Keys) -> Answer<'a, ()>;

    /// Calls a method (canonical name); `keys` are empty for a static one.
    /// Gives the out-parameters, without `ReturnValue`, which is 0 for every
    /// call that does not fail.
    fn invoke<'a>(
        &'a self,
        by: &'a Principal,
        keys: &'a Keys,
        method: &'a str,
        arguments: Values,
    ) -> Answer<'a, Values>;

    /// A slice of the instances that `by` may see and that `query` asks for,
    /// in a stable order. Looks at no more than a bounded number of instances:
    /// a page may be empty though others follow.
    fn page<'a>(&'a self, by: &'a Principal, query: Query<'a>) -> Answer<'a, Page>;

    /// How many instances `by` may see.
    fn count<'a>(&'a self, by: &'a Principal) -> Answer<'a, u64>;
}

/// What a provider's function gives.
pub(crate) type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// Key values as a client wrote them, by canonical name.
pub(crate) type Keys = Vec<(String, String)>;

/// Which instances are wanted next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Query<'a> {
    /// The page begins after this place; none: at the start.
    pub(crate) after: Option<&'a Cursor>,
    /// At most so many.
    pub(crate) limit: usize,
    /// What of each.
    pub(crate) view: View<'a>,
    /// Only those that it holds for: the provider looks at all of it, and
    /// leaves to its store what that can do by itself.
    pub(crate) condition: Option<&'a Condition>,
}

/// What of an instance is wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    /// Only these properties, by canonical name; the others may stay null.
    pub(crate) only: Option<&'a [String]>,
    /// Octets that the answer has room for: a `[Bulk]` property that cannot
    /// fit may stay null unread.
    pub(crate) room: usize,
}

/// A place in a listing: what a provider needs to go on after it. At most 64
/// octets.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Cursor(pub(crate) Vec<u8>);

/// A slice of a listing.
#[derive(Debug)]
pub(crate) struct Page {
    /// Each instance with the cursor that goes on after it.
    pub(crate) items: Vec<(Instance, Cursor)>,
    /// Where the next page begins when it is not after the last item: what was
    /// looked at since did not fit the condition.
    pub(crate) reached: Option<Cursor>,
    /// There is nothing after the last item.
    pub(crate) is_last: bool,
}

/// Why a provider did not do it.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Error {
    /// There is no such instance, or the caller may not know of it.
    #[error("there is no such instance")]
    NotFound,
    /// A key value has not the form of a key.
    #[error("{name} is not the key of an instance: {value}")]
    BadKey {
        /// The key.
        name: String,
        /// What the client wrote.
        value: String,
    },
    /// The caller may not do that to this instance, though he may know of it.
    #[error("access denied")]
    Denied,
    /// The class does not do that (Create, Delete, and so on).
    #[error("the class does not support this operation")]
    NotSupported,
    /// A parameter or property has a value that does not fit.
    #[error("{0}")]
    BadValue(BadValue),
    /// The operation failed: what Windows reports as an HRESULT.
    #[error("{code}{about}")]
    Failed {
        /// Which error.
        code: Hresult,
        /// Its circumstances.
        about: About,
    },
    /// The service itself cannot; the log has the cause.
    #[error("the service is not available")]
    Unavailable,
}

/// The circumstances of a failure, beside what its code says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum About {
    /// The code says it all.
    Nothing,
    /// It was this value.
    Value(BadValue),
    /// What the engine or a transfer tells, in English and without the
    /// sentence of the code; [`crate::bits::names`] has what others can read.
    Detail(String),
}

/// What stands behind the sentence of the code.
impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => Ok(()),
            Self::Value(value) => write!(f, ": {value}"),
            Self::Detail(detail) => write!(f, ": {detail}"),
        }
    }
}

/// Text that a value may be given as.
impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}
