//! The octets of a file in their order, from one answer, or from several
//! connections where that is faster.
//!
//! A file begins with one answer. When [`Lanes`] wants more, others ask for chunks
//! ahead of it, with `Range` and `If-Range` (only one other, until the server has
//! shown that it gives parts); once there is an answer the first lane ends there, and
//! all take the chunks behind. Every part is held against the version, the place and
//! the size of the first. A server that answers otherwise, or wants fewer connections,
//! gets one again, and the file goes on. A chunk that the others wait for is asked for
//! a second time; whoever is faster brings it. At the end of the file lanes that have
//! nothing left take over the back half of what is slowest.
//!
//! This is all that the writing side knows of where octets come from.
//!
//! No lane has a task of its own: whoever reads drives them all.

use std::fmt;
use std::fs;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header;
use tokio::time::Instant;
use tracing::debug;
use url::Url;

use super::Failure;
use super::answer::Answer;
use super::clock;
use super::http_origin::Ask;
use super::http_origin::HttpOrigin;
use super::http_origin::Part;
use super::lanes::Lanes;
use super::memory::Reserved;
use super::range::ContentRange;
use super::stretch::Stretch;
use super::window;
use super::window::Bounds;
use super::window::Flow;
use super::window::Task;
use super::window::Window;
use crate::bits::Hresult;
use crate::bits::Validator;

/// What must be true of a file before it is fetched in parts.
#[derive(Clone, Debug)]
pub(super) struct Whole {
    /// Where it is asked for.
    pub(super) url: Url,
    /// The first octet that the answer brings.
    pub(super) from: u64,
    /// Octets of the file.
    pub(super) size: u64,
    /// Its version.
    pub(super) validator: Validator,
}

/// The octets of a file in their order.
pub(super) struct Feed<'a> {
    shown: String,
    /// An answer that brings a part of the remote file only.
    is_part: bool,
    way: Way<'a>,
    /// Where several lanes are possible.
    plan: Option<Plan<'a>>,
}

enum Way<'a> {
    One(Box<Stretch<'a>>),
    Several(Several<'a>),
    /// Between the two.
    Changing,
}

/// When to change.
struct Plan<'a> {
    origin: &'a HttpOrigin,
    whole: Arc<Whole>,
    if_range: Arc<str>,
    /// Has the server said so?
    gives_parts: bool,
    lanes: Lanes,
    /// Octets from the start of the file that were handed out.
    taken: u64,
    /// What came since the last look at the clock.
    fresh: u64,
    looked_at: Instant,
}

/// Lanes side by side.
struct Several<'a> {
    shared: Arc<Shared>,
    lanes: Vec<Lane<'a>>,
    /// Why the last lane that failed did; none has since everything was
    /// given to one.
    failure: Option<Failure>,
    is_alone: bool,
}

type Lane<'a> = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send + 'a>>;

/// What a lane begins with.
enum Start<'a> {
    /// An answer that brings a chunk, and more.
    With(Box<Answer<'a>>, Task),
    /// A chunk of what another lane has to itself.
    Probe(Task),
    /// Whatever is next.
    Next,
}

/// What the lanes of a file share.
struct Shared(Mutex<State>);

struct State {
    window: Window,
    /// By what is known of the line now.
    bounds: Bounds,
    /// Lanes that there are.
    running: usize,
    /// How often others have asked in vain for what is ahead of the only one.
    probes: u32,
    /// Of the memory of all transfers: for what waits for its turn.
    reserved: Option<Reserved>,
    /// Octets that came since somebody asked.
    came: u64,
}

impl<'a> Feed<'a> {
    /// The octets of `stretch`; in parts if `whole` says what they must agree
    /// with, and the settings and the server allow it.
    pub(super) fn new(stretch: Stretch<'a>, whole: Option<Whole>) -> Self {
        Self {
            shown: stretch.shown().to_owned(),
            is_part: stretch.is_part(),
            plan: whole.and_then(|whole| Plan::new(whole, &stretch)),
            way: Way::One(Box::new(stretch)),
        }
    }

    /// Is it a part of the remote file only?
    pub(super) fn is_part(&self) -> bool {
        self.is_part
    }

    /// What was asked for and where it led, for people.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    /// The next octets; `None` at the end.
    ///
    /// Dropping the future half-way loses nothing.
    ///
    /// # Errors
    ///
    /// [`Failure`] when they cannot be had.
    pub(super) async fn data(&mut self) -> Option<Result<Bytes, Failure>> {
        self.change();
        let data = match &mut self.way {
            Way::One(stretch) => stretch.data().await,
            Way::Several(several) => {
                let plan = self.plan.as_mut()?;
                std::future::poll_fn(|context| several.poll_data(plan, context)).await
            }
            Way::Changing => None,
        };
        if let (Some(Ok(octets)), Some(plan)) = (&data, &mut self.plan) {
            let taken = octets.len() as u64;
            // What waits for its turn has come, too.
            let came = match &self.way {
                Way::Several(several) => std::mem::take(&mut several.shared.state().came),
                Way::One(_) | Way::Changing => taken,
            };
            plan.count(taken, came);
        }
        data
    }

    /// Moves the next octets into `file` at `at`, and says how many; none means
    /// that [`Feed::data`] is to be used.
    ///
    /// Dropping the future half-way loses nothing.
    ///
    /// # Errors
    ///
    /// [`Failure`] when they cannot be had, or of the file.
    pub(super) async fn pass(&mut self, file: &fs::File, at: u64) -> Result<u64, Failure> {
        self.change();
        let Way::One(stretch) = &mut self.way else {
            return Ok(0);
        };
        let octets = stretch.pass(file, at).await?;
        if let Some(plan) = self.plan.as_mut().filter(|_| octets > 0) {
            plan.count(octets, octets);
        }
        Ok(octets)
    }

    /// Ends a feed that was read to its end; its connections serve others.
    pub(super) async fn finish(self) {
        if let Way::One(stretch) = self.way {
            stretch.finish().await;
        }
    }

    /// Follows the controller.
    fn change(&mut self) {
        let Some(plan) = &mut self.plan else {
            return;
        };
        match &mut self.way {
            Way::One(_) if plan.lanes.count() > 1 => {
                let Way::One(stretch) = std::mem::replace(&mut self.way, Way::Changing) else {
                    return;
                };
                let answer = Box::new(stretch.into_answer());
                self.way = Way::Several(plan.split(answer));
            }
            Way::Several(several) => several.follow(plan),
            Way::One(_) | Way::Changing => {}
        }
    }
}

impl<'a> Plan<'a> {
    fn new(whole: Whole, stretch: &Stretch<'a>) -> Option<Self> {
        let left = whole.size.checked_sub(whole.from)?;
        if left < LEAST || stretch.length() != Some(left) {
            return None;
        }
        let answer = stretch.answer();
        let ranges = answer.header(header::ACCEPT_RANGES).map(str::trim);
        let says = |unit: &str| ranges.is_some_and(|ranges| ranges.eq_ignore_ascii_case(unit));
        let if_range = Arc::from(whole.validator.if_range()?);
        let origin = answer.origin;
        let most = origin.pool.ranges(&whole.url);
        if most <= 1 || says("none") {
            return None;
        }
        Some(Self {
            origin,
            if_range,
            gives_parts: answer.status == StatusCode::PARTIAL_CONTENT || says("bytes"),
            lanes: Lanes::new(most, answer.trip),
            taken: whole.from,
            whole: Arc::new(whole),
            fresh: 0,
            looked_at: clock::instant(),
        })
    }

    fn shown(&self) -> String {
        super::remote::redact(&self.whole.url)
    }

    /// So many octets were handed out, and so many have come.
    fn count(&mut self, taken: u64, came: u64) {
        self.taken += taken;
        self.fresh += came;
        if self.fresh < LOOK_OCTETS && self.whole.size > self.taken {
            return;
        }
        let now = clock::instant();
        let elapsed = now - self.looked_at;
        let left = self.whole.size.saturating_sub(self.taken);
        self.lanes.sample(self.fresh, elapsed, left);
        self.fresh = 0;
        self.looked_at = now;
    }

    /// Makes the answer the first lane, which has all that is left.
    fn split(&mut self, answer: Box<Answer<'a>>) -> Several<'a> {
        let mut window = Window::new(self.taken, self.whole.size);
        let first = window.assign(&Bounds::ONE, window::MOST);
        let mut several = Several {
            shared: Arc::new(Shared(Mutex::new(State {
                window,
                bounds: Bounds::ONE,
                running: 0,
                probes: 0,
                reserved: None,
                came: 0,
            }))),
            lanes: Vec::new(),
            failure: None,
            is_alone: false,
        };
        if let Some(task) = first {
            several.start(self, Start::With(answer, task));
        }
        several.follow(self);
        several
    }
}

impl<'a> Several<'a> {
    fn start(&mut self, plan: &Plan<'a>, start: Start<'a>) {
        self.shared.state().running += 1;
        let run = Run {
            origin: plan.origin,
            whole: Arc::clone(&plan.whole),
            if_range: Arc::clone(&plan.if_range),
            shared: Arc::clone(&self.shared),
            patience: plan.lanes.trip() * PATIENCE,
        };
        self.lanes.push(Box::pin(run.run(start)));
    }

    /// Follows the controller.
    fn follow(&mut self, plan: &mut Plan<'a>) {
        let starts = self.shared.state().follow(plan);
        for start in starts {
            self.start(plan, start);
        }
    }

    fn poll_data(
        &mut self,
        plan: &mut Plan<'a>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Failure>>> {
        loop {
            let has_changed = self.poll_lanes(plan, context);
            let mut state = self.shared.state();
            if let Some(data) = state.window.take() {
                return Poll::Ready(Some(Ok(data)));
            }
            if state.window.is_empty() {
                return Poll::Ready(None);
            }
            drop(state);
            if self.lanes.is_empty() {
                // The last one goes on alone, once.
                if std::mem::replace(&mut self.is_alone, true) && self.failure.is_some() {
                    return Poll::Ready(self.failure.take().map(Err));
                }
                self.failure = None;
                self.start(plan, Start::Next);
            } else if !has_changed {
                return Poll::Pending;
            }
        }
    }

    /// Lets all lanes go on; says whether one has ended.
    fn poll_lanes(&mut self, plan: &mut Plan<'a>, context: &mut Context<'_>) -> bool {
        let mut has_changed = false;
        let mut at = 0;
        while at < self.lanes.len() {
            let Poll::Ready(ended) = self.lanes[at].as_mut().poll(context) else {
                at += 1;
                continue;
            };
            drop(self.lanes.swap_remove(at));
            self.shared.state().running -= 1;
            has_changed = true;
            if let Err(failure) = ended {
                debug!(url = %plan.shown(), why = failure.detail, "A parallel range failed");
                self.failure = Some(failure);
                self.shared.state().limit(plan);
            }
        }
        has_changed
    }
}

/// A lane at work.
struct Run<'a> {
    origin: &'a HttpOrigin,
    whole: Arc<Whole>,
    if_range: Arc<str>,
    shared: Arc<Shared>,
    /// So long a lane waits for the others.
    patience: Duration,
}

impl<'a> Run<'a> {
    /// Fetches chunks until there are no more, or too many lanes.
    async fn run(self, mut start: Start<'a>) -> Result<(), Failure> {
        // A new connection finds its speed beside those that have one already: what it
        // fetches first must not hold up what they fetch.
        let mut most = match start {
            Start::Probe(_) => window::MOST,
            Start::With(..) | Start::Next => window::LEAST,
        };
        loop {
            let (task, answer) = match std::mem::replace(&mut start, Start::Next) {
                Start::With(answer, task) => (task, Some(answer)),
                Start::Probe(task) => {
                    let asked = tokio::select! {
                        biased;
                        () = self.shared.until(|window| window.has_passed(task)) => return Ok(()),
                        asked = self.ask(task) => asked,
                    };
                    let answer = asked.inspect_err(|_| self.shared.give_back(task.name))?;
                    if !self.shared.state().window.accept(task) {
                        return Ok(());
                    }
                    (task, Some(Box::new(answer)))
                }
                Start::Next => match self.shared.task(most, self.patience).await {
                    None => return Ok(()),
                    Some(task) => (task, None),
                },
            };
            let fetched = self.fetch(task, answer).await;
            let is_kept = fetched.inspect_err(|_| self.shared.give_back(task.name))?;
            most = if is_kept {
                window::MOST.min(2 * most)
            } else {
                window::LEAST
            };
        }
    }

    /// Fetches a chunk, of which the answer may be here; says whether the connection
    /// serves for the next.
    async fn fetch(&self, task: Task, answer: Option<Box<Answer<'a>>>) -> Result<bool, Failure> {
        let answer = match answer {
            Some(answer) => *answer,
            None => self.ask(task).await?,
        };
        self.read(answer, task).await
    }

    /// Takes in a chunk, until all of it is here.
    async fn read(&self, mut answer: Answer<'a>, task: Task) -> Result<bool, Failure> {
        let mut at = task.first;
        loop {
            // Nobody has taken what came before.
            self.shared.until(|window| window.has_room(task.name)).await;
            let data = tokio::select! {
                biased;
                () = self.shared.until(|window| window.is_whole(task.name)) => return Ok(false),
                data = answer.data() => data,
            };
            let Some(data) = data else {
                return Err(Failure::transport(
                    Hresult::WININET_E_CONNECTION_ABORTED,
                    format!("reading {}: the part ended too soon", answer.shown),
                ));
            };
            let data = data?;
            let from = at;
            at += data.len() as u64;
            let mut state = self.shared.state();
            state.came += data.len() as u64;
            let flow = state.window.put(task.name, from, data);
            drop(state);
            if flow == Flow::Whole {
                let is_kept = answer.is_at_its_end();
                if is_kept {
                    answer.finish();
                }
                return Ok(is_kept);
            }
        }
    }

    /// Asks for a chunk, and checks that it is what comes.
    async fn ask(&self, task: Task) -> Result<Answer<'a>, Failure> {
        let part = Part {
            first: task.first,
            last: Some(task.end - 1),
            if_range: Some(self.if_range.to_string()),
        };
        let ask = Ask::get(Some(part));
        let answer = self.origin.ask(&self.whole.url, &ask).await?;
        let fits = answer.status == StatusCode::PARTIAL_CONTENT
            && answer.header(header::CONTENT_ENCODING).is_none()
            && self.is_of_the_version(&answer)
            && answer
                .header(header::CONTENT_RANGE)
                .and_then(ContentRange::parse)
                .is_some_and(|range| {
                    range
                        == ContentRange::Part {
                            first: task.first,
                            last: task.end - 1,
                            total: Some(self.whole.size),
                        }
                });
        if fits {
            return Ok(answer);
        }
        // Never again for this job: what holds for one file of a server holds
        // for the next.
        self.origin.pool.forbid_ranges(&self.whole.url);
        if !answer.status.is_success() {
            return Err(answer.to_failure());
        }
        Err(Failure::transport(
            Hresult::WININET_E_INVALID_SERVER_RESPONSE,
            format!(
                "asking for {}: octets {} to {} of the same version cannot be had (HTTP status {})",
                answer.shown,
                task.first,
                task.end - 1,
                answer.status.as_u16()
            ),
        ))
    }

    fn is_of_the_version(&self, answer: &Answer<'_>) -> bool {
        let came = Validator::read(
            answer.header(header::ETAG),
            answer.header(header::LAST_MODIFIED),
            answer.header(header::DATE),
        );
        self.whole.validator.is_same_version(&came)
    }
}

impl State {
    /// Makes it as many lanes as the controller wants, as far as there is memory for
    /// their chunks; says what the missing ones begin with.
    fn follow<'a>(&mut self, plan: &mut Plan<'a>) -> Vec<Start<'a>> {
        let wanted = plan.lanes.count();
        if wanted <= 1 {
            self.reserved = None;
        } else if self.reserved.is_none() {
            let memory = plan.origin.pool.memory();
            self.reserved = MEMORY.iter().find_map(|octets| memory.reserve(*octets));
        }
        let reserved = self.reserved.as_ref().map_or(0, Reserved::octets) as u64;
        let most = Bounds::most_lanes(reserved);
        if wanted > most {
            plan.lanes.limit(most);
        }
        let lanes = plan.lanes.count();
        if lanes != self.bounds.lanes {
            debug!(url = %plan.shown(), lanes, "Parallel ranges");
        }
        self.bounds = plan.lanes.bounds(reserved);
        if !self.window.is_of_one() {
            self.probes = 0;
        } else if lanes > 1 && self.running == 1 {
            return self.probe(plan);
        }
        let missing = if self.window.has_work() {
            lanes.saturating_sub(self.running)
        } else {
            0
        };
        (0..missing).map(|_| Start::Next).collect()
    }

    /// Lets others ask for what is ahead of the only lane.
    fn probe<'a>(&mut self, plan: &mut Plan<'a>) -> Vec<Start<'a>> {
        if self.probes == MOST_PROBES {
            self.limit(plan);
            return Vec::new();
        }
        // A server that has not said that it gives parts is not asked for many.
        let others = if plan.gives_parts {
            self.bounds.lanes - 1
        } else {
            1
        };
        let ahead = plan.lanes.octets_in(ANSWER_TIME * (1 << self.probes)) + window::LEAST;
        self.probes += 1;
        let tasks = self.window.probe(&self.bounds, ahead, others);
        if tasks.is_empty() {
            plan.lanes.limit(1);
        }
        tasks.into_iter().map(Start::Probe).collect()
    }

    /// One lane from now on.
    fn limit(&mut self, plan: &mut Plan<'_>) {
        plan.lanes.limit(1);
        self.bounds = Bounds::ONE;
        self.reserved = None;
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give_back(&self, name: u64) {
        self.state().window.give_back(name);
    }

    /// Waits until the window is so.
    async fn until(&self, is_so: impl Fn(&Window) -> bool) {
        // INVARIANT: nobody wakes this: whoever reads polls all lanes each
        // time that he has taken something.
        std::future::poll_fn(|_| {
            if is_so(&self.state().window) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }

    /// The next chunk, of `most` octets; waits while too much is held, and after some
    /// `patience` takes the one that all wait for. None: the lane ends.
    async fn task(&self, most: u64, patience: Duration) -> Option<Task> {
        tokio::select! {
            biased;
            next = self.next(most) => next,
            task = self.second(patience) => Some(task),
        }
    }

    async fn second(&self, patience: Duration) -> Task {
        loop {
            tokio::time::sleep(patience).await;
            if let Some(task) = self.state().window.second() {
                return task;
            }
        }
    }

    async fn next(&self, most: u64) -> Option<Task> {
        // INVARIANT: nobody wakes this, either.
        std::future::poll_fn(|_| {
            let mut state = self.state();
            if state.running > state.bounds.lanes || state.window.is_here() {
                return Poll::Ready(None);
            }
            let State { window, bounds, .. } = &mut *state;
            match window.assign(bounds, most).or_else(|| window.halve(bounds)) {
                Some(task) => Poll::Ready(Some(task)),
                None => Poll::Pending,
            }
        })
        .await
    }
}

impl fmt::Debug for Feed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Feed(…)")
    }
}

/// Files of fewer octets come in one piece.
pub(super) const LEAST: u64 = 32 * 1_024 * 1_024;

/// Memory for what waits for its turn; the most that can be had.
const MEMORY: [usize; 4] = [56 << 20, 40 << 20, 20 << 20, 10 << 20];

/// Within this time a server mostly begins to answer; twice that when it did not.
const ANSWER_TIME: Duration = Duration::from_millis(250);

/// So often others ask for what is ahead of the first lane.
const MOST_PROBES: u32 = 4;

/// So many trips to the server and back a lane waits for another before it fetches
/// the same: what was lost on the way there comes a second time by then.
const PATIENCE: u32 = 3;

/// Octets between two looks at the clock.
const LOOK_OCTETS: u64 = 64 * 1_024;

#[cfg(test)]
mod tests;
