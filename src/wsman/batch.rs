//! The items of one `EnumerateResponse` or `PullResponse` (DSP0226 8).

use crate::auth::Principal;
use crate::cim::Instance;
use crate::cim::xml;
use crate::cim::xml::Extent;
use crate::provider::Cursor;
use crate::provider::Query;
use crate::provider::View;
use crate::xml::Writer;

use super::contexts::Enumeration;
use super::contexts::Mode;
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

/// Some items in a row.
#[derive(Debug)]
pub(super) struct Batch {
    /// The items, one after the other.
    pub(super) xml: String,
    /// How many they are.
    pub(super) items: usize,
    /// Where the next batch goes on.
    pub(super) after: Option<Cursor>,
    /// There is no next batch.
    pub(super) is_last: bool,
    /// The next item did not fit into an empty answer, even without its bulk.
    pub(super) is_stuck: bool,
}

/// Collects the items that follow `enumeration.after` within `budget`. An
/// instance that would not fit into an answer of its own goes without its bulk
/// properties, so that it never stands in the way of those after it.
///
/// # Errors
///
/// What the provider says.
pub(super) async fn collect(
    served: &Served,
    by: &Principal,
    enumeration: &Enumeration,
    budget: Budget,
) -> Result<Batch, Error> {
    let keys: Vec<String> = served.class.keys().map(|key| key.name.clone()).collect();
    let view = View {
        only: (enumeration.mode == Mode::Epr).then_some(keys.as_slice()),
        room: budget.octets,
    };
    let mut writer = Writer::with_capacity(budget.octets.min(FIRST_CAPACITY));
    let mut batch = Batch {
        xml: String::new(),
        items: 0,
        after: enumeration.after.clone(),
        is_last: false,
        is_stuck: false,
    };
    let mut step = FIRST_STEP;
    'full: while batch.items < budget.items {
        let query = Query {
            after: batch.after.as_ref(),
            limit: step.min(budget.items - batch.items),
            view,
            condition: None,
        };
        let page = served
            .provider
            .page(by, query)
            .await
            .map_err(|error| During::Access.error(error))?;
        for (instance, cursor) in page.items {
            match add(&mut writer, served, &instance, enumeration, budget) {
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
            batch.after = page.reached;
        }
        step = (step * 2).min(LAST_STEP);
    }
    batch.xml = writer.finish();
    Ok(batch)
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
) -> Added {
    let most = budget.octets.min(budget.characters.unwrap_or(usize::MAX));
    let mark = writer.mark();
    let start = writer.len();
    for extent in [Extent::Whole, Extent::WithoutBulk] {
        write_item(writer, served, instance, enumeration, extent);
        let end = writer.len();
        if end <= most {
            return Added::Yes;
        }
        writer.rollback(mark);
        // It would fit into an answer of its own: the next one.
        if end - start <= most {
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
        Mode::Object => xml::write_instance(writer, instance, served.base(form), extent),
        Mode::Epr => served.write_epr(writer, instance, form),
        Mode::ObjectAndEpr => {
            writer.start("wsman:Item");
            xml::write_instance(writer, instance, served.base(form), extent);
            // wsl reads line by line, and wants them apart.
            writer.raw("\n");
            served.write_epr(writer, instance, form);
            writer.end();
        }
    }
}

/// Instances of the first page: each may bring thousands of files along.
const FIRST_STEP: usize = 8;

/// Instances of a later page.
const LAST_STEP: usize = 256;

/// Octets to begin with.
const FIRST_CAPACITY: usize = 64 * 1_024;
