//! The items of one `EnumerateResponse` or `PullResponse` (DSP0226 8).

use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::Instant;
use tokio::time::timeout_at;

use crate::auth::Principal;
use crate::cim::Instance;
use crate::cim::xml;
use crate::cim::xml::Extent;
use crate::provider::Cursor;
use crate::provider::Query;
use crate::provider::View;
use crate::xml::Writer;
use crate::xml::ns;

use super::contexts;
use super::contexts::Enumeration;
use super::contexts::Mode;
use super::dispatch::Service;
use super::error::During;
use super::error::Error;
use super::target::Served;

/// What one answer may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    /// Items.
    pub(super) items: usize,
    /// Octets of all items together.
    pub(super) octets: usize,
    /// Characters of all items together, if the client says so.
    pub(super) characters: Option<usize>,
}

/// How long one answer may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// With something to answer: it need not wait for what may be found yet.
    some: Instant,
    /// With nothing.
    none: Instant,
}

/// Some items in a row.
#[derive(Debug)]
pub(super) struct Batch {
    /// The items, one after the other.
    pub(super) xml: String,
    /// How many they are.
    pub(super) items: usize,
    /// Where the next batch goes on; none without items.
    pub(super) after: Option<Cursor>,
    /// There is no next batch.
    pub(super) is_last: bool,
    /// The next item did not fit into an empty answer, even without its bulk.
    pub(super) is_stuck: bool,
    /// It ended because its time did.
    pub(super) is_late: bool,
}

impl Patience {
    /// For an answer that must be there `time` after `start`.
    pub(super) fn new(start: Instant, time: Duration) -> Self {
        Self {
            some: start + time.min(SOON),
            none: start + time,
        }
    }

    /// When a batch of so many items ends.
    fn end(self, items: usize) -> Instant {
        if items == 0 { self.none } else { self.some }
    }
}

/// Collects the instances that follow `after` within `budget`. One that would
/// not fit into an answer of its own goes without its bulk properties, so that
/// it never stands in the way of those after it. At least one page is looked at,
/// however little time there is, so that a search gets on; between pages other
/// tasks have their turn. `after` moves on over what was looked at before the
/// first item: none of it is looked at again, though the future is dropped.
///
/// # Errors
///
/// What the provider says.
pub(super) async fn collect(
    service: &Service,
    by: &Principal,
    enumeration: &Enumeration,
    after: &mut Option<Cursor>,
    budget: Budget,
    patience: Patience,
) -> Result<Batch, Error> {
    let scope = &enumeration.scope;
    let Some(served) = scope.served.and_then(|at| service.served.get(at)) else {
        return Ok(Batch::empty());
    };
    let keys: Vec<String>;
    let only = match (&scope.selection, enumeration.mode) {
        (Some(selection), _) => selection.view.as_deref(),
        (None, Mode::Epr) => {
            keys = served.class.keys().map(|key| key.name.clone()).collect();
            Some(keys.as_slice())
        }
        (None, Mode::Object | Mode::ObjectAndEpr) => None,
    };
    let selection = scope.selection.as_deref();
    let view = View {
        only,
        room: budget.octets,
    };
    let mut writer = Writer::with_capacity(budget.octets.min(FIRST_CAPACITY));
    let mut batch = Batch {
        is_last: false,
        ..Batch::empty()
    };
    let first = Instant::now() + FIRST_PAGE;
    let mut characters = 0;
    let mut step = FIRST_STEP;
    'full: while batch.items < budget.items {
        let query = Query {
            after: batch.after.as_ref().or(after.as_ref()),
            limit: step.min(budget.items - batch.items),
            view,
            condition: selection.and_then(|selection| selection.condition.as_ref()),
        };
        let page = served.provider.page(by, query);
        let end = patience.end(batch.items).max(first);
        let Ok(page) = timeout_at(end, page).await else {
            batch.is_late = true;
            break;
        };
        let page = page.map_err(|error| During::Access.error(error))?;
        for (instance, cursor) in page.items {
            match add(
                &mut writer,
                served,
                &instance,
                enumeration,
                budget,
                &mut characters,
            ) {
                Added::Yes => {
                    batch.items += 1;
                    batch.after = Some(cursor);
                }
                Added::No => {
                    batch.is_stuck = batch.items == 0;
                    break 'full;
                }
            }
        }
        if page.is_last {
            batch.is_last = true;
            break;
        }
        if page.reached.is_some() {
            let place = match batch.items {
                0 => &mut *after,
                _ => &mut batch.after,
            };
            *place = page.reached;
        }
        if Instant::now() >= patience.end(batch.items) {
            batch.is_late = true;
            break;
        }
        step = (step * 2).min(LAST_STEP);
        if batch.items < budget.items {
            yield_now().await;
        }
    }
    batch.xml = writer.finish();
    Ok(batch)
}

/// Collects the items at and after the place `from` of a list that is held
/// whole in memory. Each comes with its place.
pub(super) fn of_list<T>(
    all: impl Iterator<Item = (usize, T)>,
    from: usize,
    budget: Budget,
    write: impl Fn(&mut Writer, T),
) -> Batch {
    let mut writer = Writer::with_capacity(budget.octets.min(FIRST_CAPACITY));
    let mut batch = Batch::empty();
    let mut characters = 0;
    for (at, item) in all.filter(|(at, _)| *at >= from) {
        let mark = writer.mark();
        if batch.items < budget.items {
            write(&mut writer, item);
            characters += budget.count(writer.since(mark));
        }
        let is_full = batch.items == budget.items
            || writer.len() > budget.octets
            || budget.characters.is_some_and(|most| characters > most);
        if is_full {
            writer.rollback(mark);
            batch.is_last = false;
            batch.is_stuck = batch.items == 0;
            break;
        }
        batch.items += 1;
        batch.after = Some(contexts::at(at + 1));
    }
    batch.xml = writer.finish();
    batch
}

impl Budget {
    /// The characters of an item; they are counted for those who ask only.
    fn count(self, item: &str) -> usize {
        match self.characters {
            Some(_) => item.chars().count(),
            None => 0,
        }
    }
}

impl Batch {
    /// Nothing, and nothing after it.
    fn empty() -> Self {
        Self {
            xml: String::new(),
            items: 0,
            after: None,
            is_last: true,
            is_stuck: false,
            is_late: false,
        }
    }
}

enum Added {
    Yes,
    No,
}

fn add(
    writer: &mut Writer,
    served: &Served,
    instance: &Instance,
    enumeration: &Enumeration,
    budget: Budget,
    characters: &mut usize,
) -> Added {
    let mark = writer.mark();
    let start = writer.len();
    let most_characters = budget.characters.unwrap_or(usize::MAX);
    for extent in [Extent::Whole, Extent::WithoutBulk] {
        write_item(writer, served, instance, enumeration, extent);
        let octets = writer.len() - start;
        let own = budget.count(writer.since(mark));
        if start + octets <= budget.octets && *characters + own <= most_characters {
            *characters += own;
            return Added::Yes;
        }
        writer.rollback(mark);
        // It would fit into an answer of its own: the next one.
        if octets <= budget.octets && own <= most_characters {
            return Added::No;
        }
    }
    Added::No
}

fn write_item(
    writer: &mut Writer,
    served: &Served,
    instance: &Instance,
    enumeration: &Enumeration,
    extent: Extent,
) {
    let form = enumeration.form;
    match enumeration.mode {
        Mode::Object => write_object(writer, served, instance, enumeration, extent),
        Mode::Epr => served.write_epr(writer, instance, form),
        Mode::ObjectAndEpr => {
            writer.start("wsman:Item");
            write_object(writer, served, instance, enumeration, extent);
            // wsl reads line by line, and wants them apart.
            writer.raw("\n");
            served.write_epr(writer, instance, form);
            writer.end();
        }
    }
}

/// The instance, or the row that a projection makes of it.
fn write_object(
    writer: &mut Writer,
    served: &Served,
    instance: &Instance,
    enumeration: &Enumeration,
    extent: Extent,
) {
    let selection = enumeration.scope.selection.as_deref();
    match selection.and_then(|selection| selection.columns.as_deref()) {
        None => {
            let base = served.base(enumeration.form);
            xml::write_instance(writer, instance, base, extent, enumeration.arrays);
        }
        Some(columns) => {
            writer.start("wsman:XmlFragment");
            writer.attribute("xmlns:xsi", ns::XSI);
            writer.text("");
            xml::write_row(writer, instance, columns, extent);
            writer.end();
        }
    }
}

/// The first page has this time though the client has less: longer than any
/// that looks at a bounded number of instances.
const FIRST_PAGE: Duration = Duration::from_millis(100);

/// What has been found goes out after this, though more would fit.
const SOON: Duration = Duration::from_secs(2);

/// Instances of the first page: each may bring thousands of files along.
const FIRST_STEP: usize = 8;

/// Instances of a later page.
const LAST_STEP: usize = 256;

/// Octets to begin with.
const FIRST_CAPACITY: usize = 64 * 1_024;
