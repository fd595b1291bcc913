//! A job, and the only functions that change it.

mod options;

use std::ops::Deref;
use std::time::Duration;

use serde::Deserialize;
use serde::Serialize;

use super::ClientCertificate;
use super::Effect;
use super::ErrorContext;
use super::File;
use super::Hresult;
use super::Input;
use super::Intent;
use super::JobId;
use super::JobOptions;
use super::JobType;
use super::NewFile;
use super::Now;
use super::Owner;
use super::Priority;
use super::Proxy;
use super::Refused;
use super::ReplyFile;
use super::State;
use super::Timestamp;
use super::Upload;
use super::Validator;
use super::state::Situation;
use super::state::Step;
use super::state::step;

/// A transfer job: a named, ordered set of files with one state.
///
/// Reading is free (it derefs to [`JobParts`]); every change goes through a
/// method here, so that the rules cannot be gone around.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Job(JobParts);

/// What a job consists of; all of it is stored.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct JobParts {
    /// The key.
    pub(crate) id: JobId,
    /// Which way its octets go.
    pub(crate) kind: JobType,
    /// Who made it.
    pub(crate) owner: Owner,
    /// 1 to 256 characters.
    pub(crate) display_name: String,
    /// At most 1,024 characters.
    pub(crate) description: String,
    /// Which job goes first.
    pub(crate) priority: Priority,
    /// From a transient error to the next attempt; whole seconds, at least 5.
    pub(crate) minimum_retry_delay: Duration,
    /// From the first transient error without progress to ERROR; whole
    /// seconds, 0 makes every error fatal.
    pub(crate) no_progress_timeout: Duration,
    /// Which proxy its requests go through.
    pub(crate) proxy: Proxy,
    /// With which certificate it identifies itself.
    pub(crate) client_certificate: Option<ClientCertificate>,
    /// What else a client has set of it.
    pub(crate) options: JobOptions,
    /// It was resumed once: some options are fixed from then on.
    pub(crate) was_resumed: bool,
    /// How long it has been in CONNECTING and TRANSFERRING since its last
    /// Resume, the span since `active_since` not counted.
    pub(crate) active_for: Duration,
    /// Since when it has been there without a break, by the steady clock, as
    /// far as is not counted yet.
    pub(crate) active_since: Option<Timestamp>,
    /// Where it stands.
    pub(crate) state: State,
    /// What Complete or Cancel is doing.
    pub(crate) intent: Option<Intent>,
    /// The last failure, until data flows again.
    pub(crate) error: Option<JobError>,
    /// Failed attempts since creation; never reset.
    pub(crate) transient_error_count: u32,
    /// When the first failure since the last progress happened, by the steady
    /// clock.
    pub(crate) stalled_at: Option<Timestamp>,
    /// When it is looked at again: in `TRANSIENT_ERROR` by the steady clock, in
    /// QUEUED by the calendar (`options.start_after`).
    pub(crate) wake_at: Option<Timestamp>,
    /// When it entered QUEUED, by the steady clock; first come, first served.
    pub(crate) queued_at: Timestamp,
    /// The host of its first missing file, as far as is known; at most so many
    /// jobs fetch from one.
    pub(crate) host: String,
    /// `JobCreationTime`.
    pub(crate) created_at: Timestamp,
    /// `JobLastModificationTime`.
    pub(crate) modified_at: Timestamp,
    /// `JobCompletionTime`: when it entered TRANSFERRED.
    pub(crate) transferred_at: Option<Timestamp>,
    /// How many files it has.
    pub(crate) files_total: u32,
    /// How many of them are here.
    pub(crate) files_transferred: u32,
    /// How many files have a known size.
    pub(crate) files_sized: u32,
    /// The sum of the known sizes.
    pub(crate) bytes_known: u64,
    /// The sum of what is here for good.
    pub(crate) bytes_transferred: u64,
}

/// A job as a client asks for it, checked.
#[derive(Clone, Debug, Default)]
pub(crate) struct NewJob {
    /// Which way its octets go.
    pub(crate) kind: JobType,
    /// Its name.
    pub(crate) display_name: String,
    /// What it is for.
    pub(crate) description: String,
    /// Its files, in order.
    pub(crate) files: Vec<NewFile>,
    /// Suspended rather than queued.
    pub(crate) suspended: bool,
    /// What else is set of it.
    pub(crate) options: JobOptions,
}

/// New values for the five properties that a client may set.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Changes {
    /// `DisplayName`.
    pub(crate) display_name: Option<String>,
    /// `Description`.
    pub(crate) description: Option<String>,
    /// `Priority`, as its number.
    pub(crate) priority: Option<u32>,
    /// `MinimumRetryDelay`, seconds.
    pub(crate) minimum_retry_delay_s: Option<u32>,
    /// `NoProgressTimeout`, seconds.
    pub(crate) no_progress_timeout_s: Option<u32>,
}

/// Why a job failed: what `GetError` answers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct JobError {
    /// In which part.
    pub(crate) context: ErrorContext,
    /// Which error.
    pub(crate) code: Hresult,
    /// Which file, by its place.
    pub(crate) file: Option<u32>,
    /// What a person needs beside the code: the phase, the address without
    /// its query, the HTTP status. No secrets.
    pub(crate) detail: String,
    /// The same, for programs.
    pub(crate) circumstances: Circumstances,
}

/// What a failure happened at.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub(crate) struct Circumstances {
    /// At which step.
    pub(crate) phase: Option<Phase>,
    /// The address that was asked, without userinfo and query.
    pub(crate) url: Option<String>,
    /// The HTTP status of the answer.
    pub(crate) status: Option<u16>,
    /// When the server wants to be asked again (`Retry-After`).
    pub(crate) server_retry_at: Option<Timestamp>,
}

/// A step of a transfer.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum Phase {
    /// Finding the addresses of a name.
    Resolving,
    /// Making a connection, through a proxy or not.
    Connecting,
    /// Agreeing on TLS.
    Securing,
    /// Waiting for the head of an answer.
    Asking,
    /// Reading the body of an answer.
    Receiving,
    /// Sending the body of a request.
    Sending,
    /// Reading or writing a local file.
    LocalFile,
    /// Comparing with the expected hash or size.
    Verifying,
    /// Putting files in their places.
    Completing,
}

/// What a transfer says of one file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum FileReport {
    /// The server has begun to answer with this version. The octets that lie
    /// here count on when `restarted` is false, and are void when it is true.
    Began {
        /// Octets of the whole file, if the server says.
        size: Option<u64>,
        /// The version.
        validator: Validator,
        /// It is another version than before, or the server starts over.
        restarted: bool,
    },
    /// So many octets from the start lie on disk, synced.
    Durable(u64),
    /// The file is whole, synced; so many octets.
    Done(u64),
    /// The server has no ranges: the file is fetched whole. Changes nothing.
    WithoutRanges,
    /// The upload stands like this; kept before it goes on.
    Upload(Box<Upload>),
    /// Redirects have led to this address, and the client wants to know: it is
    /// said when the file has come, so that no credentials ever go there.
    Moved(String),
}

impl Job {
    /// A new job of `owner`, and its files.
    ///
    /// # Errors
    ///
    /// [`Refused`] with `E_INVALIDARG` when the name is empty or longer than
    /// 256 characters, `BG_E_STRING_TOO_LONG` when the description is longer
    /// than 1,024.
    pub(crate) fn create(
        id: JobId,
        owner: Owner,
        new: NewJob,
        now: impl Into<Now>,
    ) -> Result<(Self, Vec<File>), Refused> {
        let now = now.into();
        if new.display_name.is_empty() || new.display_name.chars().count() > MAX_DISPLAY_NAME {
            return Err(Refused(Hresult::E_INVALIDARG));
        }
        check_description(&new.description)?;
        let mut job = Self(JobParts {
            id,
            kind: new.kind,
            owner,
            display_name: new.display_name,
            description: new.description,
            priority: if new.options.is_foreground_only(new.kind) {
                Priority::Foreground
            } else {
                Priority::default()
            },
            minimum_retry_delay: DEFAULT_MINIMUM_RETRY_DELAY,
            no_progress_timeout: DEFAULT_NO_PROGRESS_TIMEOUT,
            proxy: Proxy::default(),
            client_certificate: None,
            options: new.options,
            was_resumed: false,
            active_for: Duration::ZERO,
            active_since: None,
            state: State::Suspended,
            intent: None,
            error: None,
            transient_error_count: 0,
            stalled_at: None,
            wake_at: None,
            queued_at: now.steady,
            host: String::new(),
            created_at: now.date,
            modified_at: now.date,
            transferred_at: None,
            files_total: 0,
            files_transferred: 0,
            files_sized: 0,
            bytes_known: 0,
            bytes_transferred: 0,
        });
        let files = new
            .files
            .into_iter()
            .map(|file| job.add_file(file, now))
            .collect::<Result<_, _>>()?;
        if !new.suspended {
            job.apply(Input::Resume, now)?;
        }
        Ok((job, files))
    }

    /// The job that was stored as `parts`.
    pub(crate) const fn restore(parts: JobParts) -> Self {
        Self(parts)
    }

    /// `BytesTotal`: unknown until the size of every file is known.
    pub(crate) fn bytes_total(&self) -> Option<u64> {
        (self.files_sized == self.files_total).then_some(self.bytes_known)
    }

    /// Cancelled by its client, but the server that holds a part of its file may
    /// still have to be told: nobody else sees it any more.
    pub(crate) fn is_leaving(&self) -> bool {
        self.kind.is_upload() && self.intent == Some(Intent::Cancel)
    }

    /// Moves the job on, and says what the caller must now do.
    ///
    /// # Errors
    ///
    /// [`Refused`]; the job is then as it was.
    pub(crate) fn apply(&mut self, input: Input, now: impl Into<Now>) -> Result<Effect, Refused> {
        let now = now.into();
        let at = Situation {
            state: self.state,
            intent: self.intent,
            has_files: self.files_total > 0,
            has_work: self.files_transferred < self.files_total,
            is_upload: self.kind.is_upload(),
            has_alarm: self.wake_at.is_some(),
        };
        let from = self.state;
        let was_running = from.is_running();
        let to = match step(at, &input) {
            Step::Stay | Step::Late => return Ok(Effect::Unchanged),
            Step::Refuse(code) => return Err(Refused(code)),
            Step::Intend(intent) => {
                self.0.intent = Some(intent);
                self.0.modified_at = now.date;
                return Ok(Effect::Settle(intent));
            }
            Step::To(state) => state,
        };
        self.0.state = to;
        if matches!(input, Input::Interrupted) {
            // After an unclean end nobody knows when that was: only what was
            // counted with the last report counts.
            self.0.active_since = None;
        }
        self.count_activity(was_running, now.steady);
        self.0.modified_at = now.date;
        self.0.wake_at = None;
        Ok(match input {
            Input::Resume if to == State::Transferred => self.enter_transferred(now.date),
            Input::Resume => {
                // A client that tries again gets the whole timeout again.
                self.0.stalled_at = None;
                self.0.was_resumed = true;
                self.0.active_for = Duration::ZERO;
                self.enter_line(now)
            }
            Input::Suspend if was_running => Effect::Stop,
            Input::Suspend | Input::Start => Effect::Changed,
            Input::Connected => {
                self.0.error = None;
                Effect::Changed
            }
            Input::Preempt => {
                self.enter_line(now);
                Effect::Stop
            }
            Input::Interrupted => {
                // Nobody else has had its turn: it keeps its place.
                let queued_at = self.queued_at;
                self.enter_line(now);
                self.0.queued_at = queued_at;
                Effect::Stop
            }
            Input::Transferred => self.enter_transferred(now.date),
            Input::FailedForNow { error, .. }
                if error.code == Hresult::BG_E_NETWORK_DISCONNECTED =>
            {
                self.lose_network(error, now.steady)
            }
            Input::FailedForNow { error, retry_after } => {
                self.fail_for_now(error, retry_after, now.steady)
            }
            Input::Failed(error) => {
                self.0.transient_error_count = self.0.transient_error_count.saturating_add(1);
                self.0.error = Some(error);
                Effect::Stop
            }
            Input::Retry
                if from == State::TransientError && self.is_stalled_too_long(now.steady) =>
            {
                self.0.state = State::Error;
                Effect::Changed
            }
            Input::Retry => self.enter_line(now),
            Input::Settled => Effect::Remove,
            Input::Unsettled(error) => {
                self.0.intent = None;
                self.0.error = Some(error);
                Effect::Changed
            }
            Input::Complete | Input::Cancel => Effect::Unchanged,
        })
    }

    /// Adds a file at the end.
    ///
    /// # Errors
    ///
    /// [`Refused`] with `BG_E_INVALID_STATE` when the job is final or on its
    /// way there, `BG_E_TOO_MANY_FILES` when it is an upload that has its file,
    /// `BG_E_TOO_MANY_FILES_IN_JOB` at the end of the numbers.
    pub(crate) fn add_file(&mut self, new: NewFile, now: impl Into<Now>) -> Result<File, Refused> {
        self.check_open()?;
        let index = self.files_total;
        if self.kind.is_upload() && index > 0 {
            return Err(Refused(Hresult::BG_E_TOO_MANY_FILES));
        }
        self.0.files_total = index
            .checked_add(1)
            .ok_or(Refused(Hresult::BG_E_TOO_MANY_FILES_IN_JOB))?;
        self.0.modified_at = now.into().date;
        let file = File::new(index, new);
        if self.files_transferred == index {
            file.host().clone_into(&mut self.0.host);
        }
        Ok(file)
    }

    /// Sets what a client may set: all of it or, on an error, nothing.
    ///
    /// # Errors
    ///
    /// [`Refused`] with `BG_E_STRING_TOO_LONG` or `E_INVALIDARG` for a name or
    /// description that does not fit, `E_NOTIMPL` for an unknown priority,
    /// `BG_E_INVALID_STATE` when the job is final or on its way there.
    pub(crate) fn set(&mut self, changes: Changes, now: impl Into<Now>) -> Result<Effect, Refused> {
        self.check_open()?;
        let mut next = self.0.clone();
        if let Some(name) = changes.display_name {
            if name.is_empty() {
                return Err(Refused(Hresult::E_INVALIDARG));
            }
            if name.chars().count() > MAX_DISPLAY_NAME {
                return Err(Refused(Hresult::BG_E_STRING_TOO_LONG));
            }
            next.display_name = name;
        }
        if let Some(description) = changes.description {
            check_description(&description)?;
            next.description = description;
        }
        if let Some(number) = changes.priority {
            let priority = Priority::from_number(number).ok_or(Refused(Hresult::E_NOTIMPL))?;
            self.check_priority(priority)?;
            next.priority = priority;
        }
        if let Some(seconds) = changes.minimum_retry_delay_s {
            // "IBackgroundCopyJob::SetMinimumRetryDelay": smaller values
            // become five seconds.
            next.minimum_retry_delay = Duration::from_secs(seconds.into()).max(LEAST_RETRY_DELAY);
        }
        if let Some(seconds) = changes.no_progress_timeout_s {
            next.no_progress_timeout = Duration::from_secs(seconds.into());
        }
        if next == self.0 {
            return Ok(Effect::Unchanged);
        }
        next.modified_at = now.into().date;
        let effect = if next.priority == self.priority {
            Effect::Changed
        } else {
            Effect::Schedule
        };
        self.0 = next;
        Ok(effect)
    }

    /// Sets where the answer to an upload-reply lands, together with what else is
    /// set.
    pub(crate) fn set_reply(&mut self, reply: Option<ReplyFile>) {
        self.0.options.reply = reply;
    }

    /// Sets the proxy.
    ///
    /// # Errors
    ///
    /// [`Refused`] with `BG_E_INVALID_STATE` when the job is final or on its
    /// way there.
    pub(crate) fn set_proxy(
        &mut self,
        proxy: Proxy,
        now: impl Into<Now>,
    ) -> Result<Effect, Refused> {
        self.check_open()?;
        self.0.proxy = proxy;
        self.0.modified_at = now.into().date;
        Ok(Effect::Changed)
    }

    /// Sets or removes the client certificate.
    ///
    /// # Errors
    ///
    /// [`Refused`] with `BG_E_INVALID_STATE` when the job is final or on its
    /// way there.
    pub(crate) fn set_client_certificate(
        &mut self,
        certificate: Option<ClientCertificate>,
        now: impl Into<Now>,
    ) -> Result<Effect, Refused> {
        self.check_open()?;
        self.0.client_certificate = certificate;
        self.0.modified_at = now.into().date;
        Ok(Effect::Changed)
    }

    /// Notes a change beside the job's own values (credentials).
    ///
    /// # Errors
    ///
    /// [`Refused`] with `BG_E_INVALID_STATE` when the job is final or on its
    /// way there.
    pub(crate) fn touch(&mut self, now: impl Into<Now>) -> Result<Effect, Refused> {
        self.check_open()?;
        self.0.modified_at = now.into().date;
        Ok(Effect::Changed)
    }

    /// After `options.start_after` has changed: a job that stands in the line, or
    /// waits for its time to start, does as it is told at once, every other
    /// later on.
    fn follow_start_after(&mut self, now: Now) -> Effect {
        if self.state != State::Queued {
            return Effect::Changed;
        }
        let was_put_off = self.wake_at.is_some();
        self.0.wake_at = self.start_at(now.date);
        if was_put_off && self.wake_at.is_none() {
            self.0.queued_at = now.steady;
        }
        Effect::Schedule
    }

    /// Notes from which host it fetches next.
    pub(crate) fn set_host(&mut self, host: &str) {
        host.clone_into(&mut self.0.host);
    }

    /// When its time in CONNECTING and TRANSFERRING is over, by the steady
    /// clock, if it is there and has such a limit; `usual` is the limit of jobs
    /// that set none, zero is none.
    pub(crate) fn time_over_at(&self, usual: Duration) -> Option<Timestamp> {
        let set = self.options.maximum_download_time_s;
        let limit = set.map_or(usual, Duration::from_secs);
        let since = self.active_since.filter(|_| !limit.is_zero())?;
        Some(since + limit.saturating_sub(self.active_for))
    }

    /// Takes in what a transfer says of `file`, and counts it.
    pub(crate) fn report(&mut self, file: &mut File, report: FileReport, now: impl Into<Now>) {
        let now = now.into();
        let before = file.octets();
        let known_before = file.size;
        match report {
            FileReport::Began {
                size,
                validator,
                restarted,
            } => {
                if restarted {
                    file.durable = 0;
                }
                file.size = size;
                file.validator = validator;
            }
            FileReport::Durable(octets) => file.durable = octets,
            FileReport::Upload(upload) => file.upload = Some(upload),
            FileReport::WithoutRanges => {}
            FileReport::Moved(url) => file.remote_url = url,
            FileReport::Done(octets) => {
                if !file.transferred {
                    self.0.files_transferred += 1;
                }
                file.transferred = true;
                file.durable = octets;
                file.size = Some(octets);
            }
        }
        match (known_before, file.size) {
            (None, Some(_)) => self.0.files_sized += 1,
            (Some(_), None) => self.0.files_sized -= 1,
            (None, None) | (Some(_), Some(_)) => {}
        }
        // A server may name any size: sums that leave the range come back into
        // it when that file gets another size, so they wrap, and never fail.
        self.0.bytes_known = self
            .bytes_known
            .wrapping_sub(known_before.unwrap_or(0))
            .wrapping_add(file.size.unwrap_or(0));
        self.0.bytes_transferred = self
            .bytes_transferred
            .wrapping_sub(before)
            .wrapping_add(file.octets());
        if file.octets() > before {
            self.0.stalled_at = None;
        }
        // What is counted here outlives an unclean end. It is kept in whole
        // milliseconds, and reports may come every few: the rest counts later.
        if let Some(since) = self.active_since {
            let passed = now.steady.since(since);
            let whole = Duration::new(passed.as_secs(), passed.subsec_millis() * 1_000_000);
            self.0.active_for = self.active_for.saturating_add(whole);
            self.0.active_since = Some(since + whole);
        }
        self.0.modified_at = now.date;
    }

    /// The job as shown while it runs: octets that have come since the last
    /// checkpoint count too.
    pub(crate) fn with_progress(mut self, bytes_transferred: u64) -> Self {
        self.0.bytes_transferred = bytes_transferred;
        self
    }

    fn check_open(&self) -> Result<(), Refused> {
        if self.state.is_final() || self.intent.is_some() {
            return Err(Refused(Hresult::BG_E_INVALID_STATE));
        }
        Ok(())
    }

    /// Counts the time in CONNECTING and TRANSFERRING (`SetMaximumDownloadTime`).
    fn count_activity(&mut self, was_running: bool, now: Timestamp) {
        match (was_running, self.state.is_running()) {
            (false, true) => self.0.active_since = Some(now),
            (true, false) => {
                let since = self.0.active_since.take().unwrap_or(now);
                self.0.active_for = self.active_for.saturating_add(now.since(since));
            }
            (true, true) | (false, false) => {}
        }
    }

    /// Stands in the line from now on, or waits for its time to start.
    fn enter_line(&mut self, now: Now) -> Effect {
        self.0.queued_at = now.steady;
        self.0.wake_at = self.start_at(now.date);
        self.wake_at.map_or(Effect::Schedule, Effect::WakeAt)
    }

    /// When it may start, if that is not yet.
    fn start_at(&self, today: Timestamp) -> Option<Timestamp> {
        self.options.start_after.filter(|at| *at > today)
    }

    fn enter_transferred(&mut self, now: Timestamp) -> Effect {
        self.0.error = None;
        self.0.stalled_at = None;
        self.0.transferred_at = Some(now);
        Effect::Changed
    }

    fn fail_for_now(
        &mut self,
        error: JobError,
        retry_after: Option<Duration>,
        now: Timestamp,
    ) -> Effect {
        self.0.transient_error_count = self.transient_error_count.saturating_add(1);
        self.0.error = Some(error);
        let stalled_at = *self.0.stalled_at.get_or_insert(now);
        if self.is_stalled_too_long(now) || self.minimum_retry_delay > self.no_progress_timeout {
            self.0.state = State::Error;
            return Effect::Stop;
        }
        let retry_at = now
            + self
                .minimum_retry_delay
                .max(retry_after.unwrap_or_default());
        let wake_at = retry_at.min(stalled_at + self.no_progress_timeout);
        self.0.wake_at = Some(wake_at);
        Effect::WakeAt(wake_at)
    }

    /// There is no network: nothing to count, and no timer but that of
    /// `NoProgressTimeout` (bits.md 3.5).
    fn lose_network(&mut self, error: JobError, now: Timestamp) -> Effect {
        self.0.error = Some(error);
        let stalled_at = *self.0.stalled_at.get_or_insert(now);
        if self.is_stalled_too_long(now) {
            self.0.state = State::Error;
            return Effect::Stop;
        }
        let wake_at = stalled_at + self.no_progress_timeout;
        self.0.wake_at = Some(wake_at);
        Effect::WakeAt(wake_at)
    }

    fn is_stalled_too_long(&self, now: Timestamp) -> bool {
        self.stalled_at
            .is_some_and(|at| now >= at + self.no_progress_timeout)
    }
}

impl Deref for Job {
    type Target = JobParts;

    fn deref(&self) -> &JobParts {
        &self.0
    }
}

fn check_description(text: &str) -> Result<(), Refused> {
    if text.chars().count() > MAX_DESCRIPTION {
        return Err(Refused(Hresult::BG_E_STRING_TOO_LONG));
    }
    Ok(())
}

/// "`IBackgroundCopyJob::SetDisplayName`", characters.
const MAX_DISPLAY_NAME: usize = 256;

/// "`IBackgroundCopyJob::SetDescription`", characters.
const MAX_DESCRIPTION: usize = 1_024;

const DEFAULT_MINIMUM_RETRY_DELAY: Duration = Duration::from_mins(10);

const LEAST_RETRY_DELAY: Duration = Duration::from_secs(5);

const DEFAULT_NO_PROGRESS_TIMEOUT: Duration = Duration::from_hours(14 * 24);

#[cfg(test)]
mod tests;
