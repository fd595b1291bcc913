//! Enumerate and Pull of the parts of the configuration that there are several
//! of. They are few: a listing is made anew for each answer.

use crate::auth::Principal;
use crate::document::Node;
use crate::provider::Part;
use crate::provider::WinrmConfig;
use crate::xml::Writer;

use super::super::Answer;
use super::super::batch;
use super::super::batch::Batch;
use super::super::batch::Budget;
use super::super::contexts::Lease;
use super::super::contexts::Listing;
use super::super::contexts::Mode;
use super::super::dispatch::Service;
use super::super::error::Error;
use super::super::listing;
use super::super::listing::Wish;
use super::super::request::Request;

/// An enumeration of documents between two requests. Who makes or removes one
/// meanwhile may make it skip one, or give one twice.
#[derive(Clone, Debug)]
pub(in super::super) struct Documents {
    part: Part,
    mode: Mode,
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
        mode: wish.mode.unwrap_or(Mode::Object),
    };
    let reply = listing::begin(request, || all.len());
    let batch = wish.is_optimized.then(|| {
        let budget = listing::budget(service, &reply, wish.max_elements, None);
        documents.collect(config, &all, 0, budget)
    });
    let listing = Listing::Documents(documents);
    listing::enumerated(service, by, reply, wish.lifetime, listing, batch)
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
    lease: Lease<'_>,
    documents: &Documents,
    (max_elements, max_characters): (usize, Option<usize>),
) -> Result<Answer, Error> {
    let config = service.config.as_ref().ok_or(Error::NoContext)?;
    let all = config.list(documents.part)?;
    let reply = listing::begin(request, || all.len());
    let budget = listing::budget(service, &reply, max_elements, max_characters);
    let batch = documents.collect(config, &all, lease.place(), budget);
    listing::pulled(reply, lease, batch)
}

impl Documents {
    /// The next ones that the budget has room for.
    fn collect(&self, config: &WinrmConfig, all: &[Node], from: usize, budget: Budget) -> Batch {
        let all = all.iter().enumerate();
        batch::of_list(all, from, budget, |writer, document| {
            self.write(writer, config, document);
        })
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
