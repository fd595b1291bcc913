//! `winrm/config` and its parts: documents, not classes ([MS-WSMV] 2.2.4.6 and
//! 3.1.4.1).
//!
//! There are no filters and no fragments, and an option that must be complied
//! with is refused. The name of a document's element and its namespace, which
//! is the resource URI, come in any form that clients write.

mod documents;
pub(super) mod pt_br;

use std::future::Future;
use std::sync::Arc;

use crate::auth::Principal;
use crate::document;
use crate::document::Node;
use crate::document::Root;
use crate::provider::ConfigError;
use crate::provider::Keys;
use crate::provider::Part;
use crate::provider::WinrmConfig;
use crate::xml::Writer;
use crate::xml::ns;

use super::Answer;
use super::dispatch::ENUMERATION;
use super::dispatch::Service;
use super::dispatch::TRANSFER;
use super::dispatch::alone;
use super::error::BodyError;
use super::error::Error;
use super::error::shorten;
use super::limits::Permit;
use super::reply::Reply;
use super::request::Request;
use super::selector;

pub(super) use documents::Documents;
pub(super) use documents::pull;

/// Answers a request for the part of the configuration at `path`.
///
/// # Errors
///
/// [`Error`].
pub(super) async fn answer(
    service: &Service,
    by: &Principal,
    request: &Request<'_>,
    path: &str,
    permit: Permit,
) -> Result<Answer, Error> {
    let found = service.config.as_ref().zip(Part::at(path));
    let Some((config, part)) = found else {
        return Err(Error::NoSuchResource(shorten(request.resource_uri)));
    };
    let mut options = request.options.iter();
    if let Some(option) = options.find(|option| option.must_comply) {
        return Err(Error::OptionNotSupported(shorten(option.name)));
    }
    if let Some(operation) = request.action.strip_prefix(ENUMERATION) {
        return match operation {
            "Enumerate" => documents::enumerate(service, config, by, request, part),
            _ => Err(not_supported(request)),
        };
    }
    if let Some(operation) = request.action.strip_prefix(TRANSFER) {
        return match operation {
            "Get" => get(config, request, part),
            "Put" => put(config, by, request, part, permit).await,
            "Create" => create(config, by, request, part, permit).await,
            "Delete" => delete(config, by, request, part, permit).await,
            _ => Err(not_supported(request)),
        };
    }
    let method = request.action.rsplit_once('/').map(|(_, method)| method);
    if part == Part::Config(&[]) && method.is_some_and(|name| name.eq_ignore_ascii_case(RESTORE)) {
        return restore(config, by, request, part, permit).await;
    }
    Err(not_supported(request))
}

fn get(config: &WinrmConfig, request: &Request<'_>, part: Part) -> Result<Answer, Error> {
    let document = config.get(part, &keys(request, part)?)?;
    let mut reply = Reply::new(request, &[]);
    write(&mut reply.writer, config, part, &document);
    reply.finish()
}

/// The answer has the new document: `Set-Item` and `winrm set` read it.
async fn put(
    config: &Arc<WinrmConfig>,
    by: &Principal,
    request: &Request<'_>,
    part: Part,
    permit: Permit,
) -> Result<Answer, Error> {
    let keys = keys(request, part)?;
    let given = given(config, request, part)?;
    let work = |config: Arc<WinrmConfig>, by: Principal| async move {
        config.put(&by, part, &keys, &given).await
    };
    let document = change(config, by, request, permit, work).await?;
    let mut reply = Reply::new(request, &[]);
    write(&mut reply.writer, config, part, &document);
    reply.finish().map_err(Error::once_done)
}

async fn create(
    config: &Arc<WinrmConfig>,
    by: &Principal,
    request: &Request<'_>,
    part: Part,
    permit: Permit,
) -> Result<Answer, Error> {
    let keys = keys(request, part)?;
    let given = given(config, request, part)?;
    let work = |config: Arc<WinrmConfig>, by: Principal| async move {
        config.create(&by, part, &keys, &given).await
    };
    let keys = change(config, by, request, permit, work).await?;
    let mut reply = Reply::new(request, &[]);
    reply.writer.start("x:ResourceCreated");
    write_reference(&mut reply.writer, part, &keys);
    reply.writer.end();
    reply.finish().map_err(Error::once_done)
}

async fn delete(
    config: &Arc<WinrmConfig>,
    by: &Principal,
    request: &Request<'_>,
    part: Part,
    permit: Permit,
) -> Result<Answer, Error> {
    let keys = keys(request, part)?;
    let work = |config: Arc<WinrmConfig>, by: Principal| async move {
        config.delete(&by, part, &keys).await
    };
    change(config, by, request, permit, work).await?;
    Reply::new(request, &[]).finish().map_err(Error::once_done)
}

/// `winrm invoke Restore winrm/config @{}`.
async fn restore(
    config: &Arc<WinrmConfig>,
    by: &Principal,
    request: &Request<'_>,
    part: Part,
    permit: Permit,
) -> Result<Answer, Error> {
    keys(request, part)?;
    let work = |config: Arc<WinrmConfig>, by: Principal| async move { config.restore(&by).await };
    change(config, by, request, permit, work).await?;
    let mut reply = Reply::new(request, &[]);
    reply
        .writer
        .start_in(PREFIX, &[RESTORE, "_OUTPUT"].concat());
    reply.writer.attribute(&["xmlns:", PREFIX].concat(), CONFIG);
    reply.writer.end();
    reply.finish().map_err(Error::once_done)
}

/// Does a change to its end.
///
/// # Errors
///
/// Those of [`alone`] and of the change.
async fn change<T, W>(
    config: &Arc<WinrmConfig>,
    by: &Principal,
    request: &Request<'_>,
    permit: Permit,
    work: impl FnOnce(Arc<WinrmConfig>, Principal) -> W,
) -> Result<T, Error>
where
    T: Send + 'static,
    W: Future<Output = Result<T, ConfigError>> + Send + 'static,
{
    let work = work(Arc::clone(config), by.clone());
    Ok(alone(request.timeout, permit, work).await??)
}

/// The document in the body, read against its schema.
fn given(config: &WinrmConfig, request: &Request<'_>, part: Part) -> Result<Node, Error> {
    let body = request.body.ok_or(Error::Body(BodyError::Empty))?;
    let Some(declaration) = config.declaration(part) else {
        // It has no documents; the provider says why.
        return Ok(Node::branch("", Vec::new()));
    };
    let given = document::read(declaration, body);
    Ok(given.map_err(ConfigError::from)?)
}

/// The keys of the one document of `part` that is meant.
fn keys(request: &Request<'_>, part: Part) -> Result<Keys, Error> {
    check(request, part)?;
    let mut keys = Keys::new();
    for name in part.keys() {
        let value = selector::value(&request.selectors, name)
            .ok_or_else(|| Error::MissingSelector((*name).to_owned()))?;
        keys.push(((*name).to_owned(), value.to_owned()));
    }
    Ok(keys)
}

/// Every selector is a key of `part`.
fn check(request: &Request<'_>, part: Part) -> Result<(), Error> {
    let is_key = |name: &str| part.keys().iter().any(|key| key.eq_ignore_ascii_case(name));
    let mut selectors = request.selectors.iter();
    match selectors.find(|selector| !is_key(selector.name)) {
        Some(selector) => Err(Error::UnexpectedSelector(shorten(selector.name))),
        None => Ok(()),
    }
}

/// Writes a document of `part`.
fn write(writer: &mut Writer, config: &WinrmConfig, part: Part, document: &Node) {
    let Some(declaration) = config.declaration(part) else {
        return;
    };
    let uri = uri(part);
    let root = match part {
        // Windows has it so, and its cmdlets look for that.
        Part::PlugIn => Root {
            prefix: "",
            namespace: PLUG_IN,
            language: LANGUAGE,
        },
        Part::Config(_) | Part::Listener | Part::CertMapping | Part::Security => Root {
            prefix: PREFIX,
            namespace: &uri,
            language: LANGUAGE,
        },
    };
    document::write(writer, declaration, document, root);
}

/// Writes the address of the document of `part` with these keys, without the
/// element around it.
fn write_reference(writer: &mut Writer, part: Part, keys: &Keys) {
    writer.leaf("a:Address", ns::ANONYMOUS);
    writer.start("a:ReferenceParameters");
    writer.leaf("wsman:ResourceURI", &uri(part));
    writer.start("wsman:SelectorSet");
    for (name, value) in keys {
        writer.start("wsman:Selector");
        writer.attribute("Name", name);
        writer.text(value);
        writer.end();
    }
    writer.end();
    writer.end();
}

/// The resource URI of `part`, which is the namespace of its documents too.
fn uri(part: Part) -> String {
    match part.path() {
        "" => CONFIG.to_owned(),
        path => [CONFIG, "/", path].concat(),
    }
}

fn not_supported(request: &Request<'_>) -> Error {
    Error::ActionNotSupported(shorten(request.action))
}

const RESTORE: &str = "Restore";

const PREFIX: &str = "cfg";

/// `xml:lang` of every document: their words are names.
const LANGUAGE: &str = "en-US";

const CONFIG: &str = "http://schemas.microsoft.com/wbem/wsman/1/config";

const PLUG_IN: &str = "http://schemas.microsoft.com/wbem/wsman/1/config/PluginConfiguration";
