//! Enumerate and Pull of the parts of the configuration that there are several
//! of. They are few: a listing is made anew for each answer.

use std::time::Duration;

use crate::auth::Principal;
use crate::document::Node;
use crate::provider::Part;
use crate::provider::WinrmConfig;
use crate::xml::Writer;
use crate::xml::ns;

use super::super::Answer;
use super::super::contexts;
use super::super::contexts::Lease;
use super::super::contexts::Listing;
use super::super::contexts::Mode;
use super::super::dispatch::Service;
use super::super::duration;
use super::super::enumerate;
use super::super::error::BodyError;
use super::super::error::Error;
use super::super::reply::Block;
use super::super::reply::Reply;
use super::super::request::Request;

/// An enumeration of documents between two requests. Who makes or removes one
/// meanwhile may make it skip one, or give one twice.
#[derive(Clone, Debug)]
pub(in super::super) struct Documents {
    part: Part,
    mode: Mode,
}

/// Some documents in a row.
struct Batch {
    xml: String,
    /// Place of the next one.
    next: usize,
    is_last: bool,
    /// The next one did not fit into an empty answer.
    is_stuck: bool,
}

/// What one answer may hold.
#[derive(Clone, Copy)]
struct Budget {
    items: usize,
    octets: usize,
    characters: usize,
}

/// What the body of an Enumerate asks for.
struct Wish {
    mode: Mode,
    /// Items that may come with this very answer; none unless it is optimized.
    max_elements: Option<usize>,
    lifetime: Option<Duration>,
}

/// Answers an Enumerate.
///
/// # Errors
///
/// [`Error`].
pub(super) fn enumerate(
    service: &Service,
    config: &WinrmConfig,
    by: &Principal,
    request: &Request<'_>,
    part: Part,
) -> Result<Answer, Error> {
    let wish = Wish::read(request)?;
    super::check(request, part)?;
    if !request.selectors.is_empty() {
        return Err(Error::EnumerateWithKeys);
    }
    let all = config.list(part)?;
    let documents = Documents {
        part,
        mode: wish.mode,
    };
    let mut reply = begin(request, &all);
    let batch = wish.max_elements.map(|most| {
        let budget = Budget::new(service, &reply, most, None);
        documents.collect(config, &all, 0, budget)
    });
    reply.writer.start("n:EnumerateResponse");
    if let Some(lifetime) = wish.lifetime {
        reply.writer.leaf("n:Expires", &duration::text(lifetime));
    }
    let is_last = batch.as_ref().is_some_and(|batch| batch.is_last);
    if is_last {
        reply.writer.leaf("n:EnumerationContext", "");
    } else {
        let after = batch.as_ref().map(|batch| contexts::at(batch.next));
        let listing = Listing::Documents(documents);
        let name = service.contexts.open(by, listing, after, wish.lifetime)?;
        reply.writer.leaf("n:EnumerationContext", &name);
    }
    if let Some(batch) = batch {
        reply.writer.start("wsman:Items");
        reply.writer.raw(&batch.xml);
        reply.writer.end();
    }
    if is_last {
        reply.writer.raw("<wsman:EndOfSequence/>");
    }
    reply.writer.end();
    reply.finish()
}

/// Answers a Pull of documents: at most so many elements, and so many
/// characters of them.
///
/// # Errors
///
/// [`Error::AnswerTooLarge`] for a document that does not fit by itself; the
/// context stays where it was.
pub(in super::super) fn pull(
    service: &Service,
    request: &Request<'_>,
    mut lease: Lease<'_>,
    documents: &Documents,
    (max_elements, max_characters): (usize, Option<usize>),
) -> Result<Answer, Error> {
    let config = service.config.as_ref().ok_or(Error::NoContext)?;
    let all = config.list(documents.part)?;
    let mut reply = begin(request, &all);
    let budget = Budget::new(service, &reply, max_elements, max_characters);
    let batch = documents.collect(config, &all, lease.place(), budget);
    if batch.is_stuck {
        return Err(Error::AnswerTooLarge);
    }
    reply.writer.start("n:PullResponse");
    if !batch.is_last {
        reply.writer.leaf("n:EnumerationContext", &lease.name());
    }
    reply.writer.start("n:Items");
    reply.writer.raw(&batch.xml);
    reply.writer.end();
    if batch.is_last {
        reply.writer.raw("<n:EndOfSequence/>");
    }
    reply.writer.end();
    let answer = reply.finish()?;
    if batch.is_last {
        lease.end();
    } else {
        lease.after = Some(contexts::at(batch.next));
    }
    Ok(answer)
}

/// The reply with its header, the number of all documents in it if it was
/// asked for.
fn begin(request: &Request<'_>, all: &[Node]) -> Reply {
    if !request.wants_count {
        return Reply::new(request, &[]);
    }
    let count = u64::try_from(all.len()).unwrap_or(u64::MAX);
    Reply::new(request, &[Block::Count(Some(count))])
}

impl Documents {
    /// The next ones that the budget has room for.
    fn collect(&self, config: &WinrmConfig, all: &[Node], from: usize, budget: Budget) -> Batch {
        let mut writer = Writer::with_capacity(budget.octets.min(FIRST_CAPACITY));
        let mut batch = Batch {
            xml: String::new(),
            next: from,
            is_last: true,
            is_stuck: false,
        };
        let mut characters = 0;
        for document in all.iter().skip(from) {
            let items = batch.next - from;
            let mut item = Writer::with_capacity(FIRST_CAPACITY);
            self.write(&mut item, config, document);
            let item = item.finish();
            let count = item.chars().count();
            let is_full = items == budget.items
                || writer.len() + item.len() > budget.octets
                || characters + count > budget.characters;
            if is_full {
                batch.is_last = false;
                batch.is_stuck = items == 0;
                break;
            }
            writer.raw(&item);
            characters += count;
            batch.next += 1;
        }
        batch.xml = writer.finish();
        batch
    }

    fn write(&self, writer: &mut Writer, config: &WinrmConfig, document: &Node) {
        match self.mode {
            Mode::Object => super::write(writer, config, self.part, document),
            Mode::Epr => self.write_epr(writer, document),
            Mode::ObjectAndEpr => {
                writer.start("wsman:Item");
                super::write(writer, config, self.part, document);
                self.write_epr(writer, document);
                writer.end();
            }
        }
    }

    fn write_epr(&self, writer: &mut Writer, document: &Node) {
        writer.start("a:EndpointReference");
        let keys = WinrmConfig::keys(self.part, document);
        super::write_reference(writer, self.part, &keys);
        writer.end();
    }
}

impl Budget {
    fn new(service: &Service, reply: &Reply, items: usize, characters: Option<usize>) -> Self {
        Self {
            items: enumerate::batch_items(service, items),
            octets: reply.room().saturating_sub(enumerate::OVERHEAD),
            characters: characters.unwrap_or(usize::MAX),
        }
    }
}

impl Wish {
    /// Children in any order; those that are not known have no effect.
    fn read(request: &Request<'_>) -> Result<Self, Error> {
        let body = request
            .body
            .filter(|body| body.is(ns::ENUMERATION, "Enumerate"))
            .ok_or(Error::Body(BodyError::NotOfAction("Enumerate")))?;
        let mut wish = Self {
            mode: Mode::Object,
            max_elements: None,
            lifetime: None,
        };
        let (mut is_optimized, mut max_elements) = (false, 1);
        for element in body.children() {
            match (element.ns(), element.local()) {
                (ns::WSMAN, "OptimizeEnumeration") => is_optimized = true,
                (ns::WSMAN | ns::ENUMERATION, "MaxElements") => {
                    max_elements = enumerate::number(element, "MaxElements")?;
                }
                (ns::WSMAN, "EnumerationMode") => {
                    wish.mode = match element.text().trim() {
                        "EnumerateEPR" => Mode::Epr,
                        "EnumerateObjectAndEPR" => Mode::ObjectAndEpr,
                        _ => return Err(Error::EnumerationMode),
                    };
                }
                (ns::ENUMERATION, "Expires") => {
                    wish.lifetime = Some(enumerate::lifetime(element)?);
                }
                (ns::ENUMERATION, "EndTo") => return Err(Error::EndTo),
                (ns::WSMAN | ns::ENUMERATION, "Filter") => {
                    return Err(Error::FilteringNotSupported);
                }
                _ => {}
            }
        }
        wish.max_elements = is_optimized.then_some(max_elements);
        Ok(wish)
    }
}

/// More than most listings.
const FIRST_CAPACITY: usize = 2 * 1_024;
