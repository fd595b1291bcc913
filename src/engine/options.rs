//! What clients set of a job beside the properties of Microsoft's class, many
//! files at once, other remote addresses, and another owner.

use std::collections::HashSet;
use std::path::Path;
use std::path::PathBuf;

use super::Caller;
use super::Core;
use super::Engine;
use super::Error;
use super::Wish;
use super::WishedFile;
use super::core::folded;
use super::core::lands_twice;
use super::core::refused_by_transfer;
use super::events;
use crate::bits::Changes;
use crate::bits::Effect;
use crate::bits::File;
use crate::bits::Hresult;
use crate::bits::Input;
use crate::bits::Job;
use crate::bits::JobId;
use crate::bits::JobOptions;
use crate::bits::JobType;
use crate::bits::NewFile;
use crate::bits::OptionChange;
use crate::bits::OptionRefused;
use crate::bits::Owner;
use crate::bits::ReplyFile;
use crate::bits::Secret;
use crate::store::Change;

/// Options that a client sets.
#[derive(Clone, Debug, Default)]
pub(crate) struct WishedOptions {
    /// Each of them, in any order. That of `ReplyFileName` has no path yet: the
    /// engine finds it.
    pub(crate) changes: Vec<OptionChange>,
    /// New custom headers, checked; empty ones take the old ones away.
    pub(crate) headers: Option<Secret>,
}

impl Engine {
    /// Sets what a client may set: all of it or, on an error, nothing.
    pub(crate) async fn set_all(
        &self,
        by: &Caller,
        id: JobId,
        changes: Changes,
        options: WishedOptions,
    ) -> Result<(), Error> {
        let by = by.clone();
        self.to_its_end(|core| async move { core.set_all(&by, id, changes, options).await })
            .await
    }

    /// The custom headers of a job, for whom they are to be shown to: its
    /// owner, as long as he has not made them write-only.
    pub(crate) fn headers(&self, by: &Caller, job: &Job) -> Result<Option<Secret>, Error> {
        let is_shown = job.owner == by.owner
            && job.options.has_custom_headers
            && !job.options.headers_are_write_only;
        if !is_shown {
            return Ok(None);
        }
        Ok(self.core.store.headers(job.id)?)
    }

    /// Adds files at the end of a job: all of them or, on an error, none.
    pub(crate) async fn add_files(
        &self,
        by: &Caller,
        id: JobId,
        files: Vec<WishedFile>,
    ) -> Result<(), Error> {
        let by = by.clone();
        self.to_its_end(|core| async move { core.add_files(&by, id, files).await })
            .await
    }

    /// Puts `new` in the place of `old` at the beginning of the remote
    /// addresses that begin with it; gives how many there were.
    pub(crate) async fn replace_remote_prefix(
        &self,
        by: &Caller,
        id: JobId,
        old: String,
        new: String,
    ) -> Result<u32, Error> {
        let by = by.clone();
        self.to_its_end(|core| async move { core.replace_prefix(&by, id, old, new).await })
            .await
    }

    /// Gives a file of a job another remote address.
    pub(crate) async fn set_remote_name(
        &self,
        by: &Caller,
        id: JobId,
        index: u32,
        url: String,
    ) -> Result<(), Error> {
        let by = by.clone();
        self.to_its_end(|core| async move { core.set_remote_name(&by, id, index, &url).await })
            .await
    }

    /// Makes the caller the owner of a job: administrators only, who must be
    /// allowed to have its files.
    pub(crate) async fn take_ownership(&self, by: &Caller, id: JobId) -> Result<(), Error> {
        let by = by.clone();
        self.to_its_end(|core| async move { core.take_ownership(&by, id).await })
            .await
    }
}

impl Core {
    /// A new job as it is wished for, its files fit for it and its reply file
    /// found.
    pub(super) fn checked(&self, by: &Caller, mut wish: Wish) -> Result<Wish, Error> {
        for file in &wish.files {
            check_file(&wish.options, wish.kind, file)?;
        }
        if let Some(reply) = &mut wish.options.reply {
            reply.path = self.reply_path(by, &by.owner, reply)?;
        }
        Ok(wish)
    }

    async fn set_all(
        &self,
        by: &Caller,
        id: JobId,
        changes: Changes,
        mut options: WishedOptions,
    ) -> Result<(), Error> {
        let _hold = self.desk.hold(id).await;
        let mut job = self.visible(by, id)?;
        let mut beside = Vec::new();
        if let Some(headers) = options.headers {
            if job.owner != by.owner {
                return Err(refused(Hresult::E_ACCESSDENIED, "CustomHeaders"));
            }
            let headers = Some(headers).filter(|headers| !headers.reveal().is_empty());
            let are_there = OptionChange::CustomHeaders(headers.is_some());
            options.changes.push(are_there);
            beside.push(Change::Headers(id, headers));
        }
        for change in &mut options.changes {
            match change {
                OptionChange::Reply(reply) if job.kind == JobType::UploadReply => {
                    self.find_reply(by, &job, reply)?;
                }
                OptionChange::DynamicContent(true) if !job.options.dynamic_content => {
                    self.check_no_ranges(&job)?;
                }
                _ => {}
            }
        }
        let now = self.now();
        let names: Vec<&str> = options.changes.iter().map(OptionChange::name).collect();
        let names = names.join(", ");
        let effects = [
            job.set(changes, now)?,
            job.set_options(options.changes, now)?,
        ];
        if beside.is_empty() && effects == [Effect::Unchanged; 2] {
            return Ok(());
        }
        let event = events::event(&job, "modified", Some(&by.owner), names, now.date);
        beside.extend([Change::Job(job.clone()), event]);
        self.store.commit(beside).await?;
        if effects.contains(&Effect::Schedule) {
            self.note_in_slot(&job);
            self.look();
        }
        Ok(())
    }

    /// Finds where a reply lands that a client names, or none: then one is made
    /// up. One that comes, or is here, stays where it is.
    fn find_reply(
        &self,
        by: &Caller,
        job: &Job,
        reply: &mut Option<ReplyFile>,
    ) -> Result<(), Error> {
        let file = self.store.files(job.id, 0, 1)?.into_iter().next();
        let upload = file.as_ref().and_then(|file| file.upload.as_ref());
        let has_begun = upload.is_some_and(|upload| upload.reply.is_some());
        if let Some(reply) = reply {
            let is_same = |old: &&ReplyFile| old.local_file == reply.local_file;
            reply.path = match job.options.reply.as_ref().filter(is_same) {
                Some(old) => old.path.clone(),
                None => self.reply_path(by, &job.owner, reply)?,
            };
        } else {
            let file = file.map(|file| NewFile {
                local_file: file.local_file,
                ..NewFile::default()
            });
            let nothing = JobOptions::default();
            let (id, owner) = (job.id, &job.owner);
            *reply = self.reply_file(by, owner, id, job.kind, &nothing, file.as_ref())?;
        }
        if *reply != job.options.reply && (has_begun || job.state.is_running()) {
            return Err(refused(Hresult::BG_E_INVALID_STATE, "ReplyFileName"));
        }
        Ok(())
    }

    /// Linear in the files that the job has and those that come, with one
    /// look-up a file only where few come to many.
    async fn add_files(
        &self,
        by: &Caller,
        id: JobId,
        wished: Vec<WishedFile>,
    ) -> Result<(), Error> {
        if wished.is_empty() {
            return Err(refused(Hresult::E_INVALIDARG, "Files"));
        }
        let _hold = self.desk.hold(id).await;
        let mut job = self.visible(by, id)?;
        let total = (job.files_total as usize).saturating_add(wished.len());
        if job.kind.is_upload() && total > 1 {
            return Err(Error::refused(Hresult::BG_E_TOO_MANY_FILES));
        }
        self.check_secrets(by, &job)?;
        self.check_file_count(by, total)?;
        let reads_all = wished.len() >= (job.files_total / FEW) as usize;
        let mut taken = if reads_all {
            self.destinations(&job).await?
        } else {
            HashSet::new()
        };
        let now = self.now();
        let mut changes = Vec::with_capacity(wished.len() + 2);
        for (at, file) in wished.iter().enumerate() {
            if at % PAGE == PAGE - 1 {
                tokio::task::yield_now().await;
            }
            check_file(&job.options, job.kind, file)?;
            let new = self.check_file(by, &job.owner, job.kind, file)?;
            let is_taken = !taken.insert(folded(&new.path))
                || (!reads_all && self.store.file_at(id, &new.path)?.is_some());
            if is_taken {
                return Err(lands_twice(&file.local_file));
            }
            let userinfo = new.userinfo.clone();
            let reply = self.reply_file(by, &job.owner, id, job.kind, &job.options, Some(&new))?;
            changes.push(Change::File(id, job.add_file(new, now)?));
            if reply != job.options.reply {
                job.set_reply(reply);
            }
            changes.extend(userinfo.map(|user| Change::Credentials(id, user)));
        }
        let detail = format!("{} files", wished.len());
        let event = events::event(&job, "files_added", Some(&by.owner), detail, now.date);
        changes.extend([Change::Job(job), event]);
        Ok(self.store.commit(changes).await?)
    }

    async fn replace_prefix(
        &self,
        by: &Caller,
        id: JobId,
        old: String,
        new: String,
    ) -> Result<u32, Error> {
        let count = {
            let _hold = self.desk.hold(id).await;
            let mut job = self.visible(by, id)?;
            if job.kind.is_upload() {
                return Err(Error::refused(Hresult::E_NOTIMPL));
            }
            for (prefix, name) in [(&old, "OldPrefix"), (&new, "NewPrefix")] {
                // A query is kept apart from the rest, as a secret.
                if prefix.is_empty() || prefix.contains(['?', '#']) {
                    return Err(refused(Hresult::E_INVALIDARG, name));
                }
            }
            self.check_secrets(by, &job)?;
            let shows_queries = job.shows_queries_to(&by.owner);
            let now = self.now();
            let effect = job.touch(now)?;
            debug_assert_eq!(effect, Effect::Changed);
            let mut count = 0;
            self.each_file(id, |file| {
                let Some(rest) = file.remote_url.strip_prefix(&old) else {
                    return Ok(());
                };
                if !shows_queries && rest.contains('?') {
                    // It would go along.
                    return Err(refused(Hresult::E_ACCESSDENIED, "OldPrefix"));
                }
                count += 1;
                self.check_new_address(&[&new, rest].concat())
            })
            .await?;
            if count == 0 {
                return Ok(0);
            }
            if let Some(mut next) = self.store.missing_files(id, 0, 1)?.pop()
                && let Some(rest) = next.remote_url.strip_prefix(&old)
            {
                next.remote_url = [&new, rest].concat();
                job.set_host(next.host());
            }
            let detail = format!("{count} files");
            let event = events::event(&job, "addresses_changed", Some(&by.owner), detail, now.date);
            let changed = Change::RemotePrefix(id, old, new);
            let changes = vec![Change::Job(job), changed, event];
            self.store.commit(changes).await?;
            count
        };
        self.start_over(id).await?;
        Ok(count)
    }

    async fn set_remote_name(
        &self,
        by: &Caller,
        id: JobId,
        index: u32,
        url: &str,
    ) -> Result<(), Error> {
        {
            let _hold = self.desk.hold(id).await;
            let mut job = self.visible(by, id)?;
            self.check_secrets(by, &job)?;
            let file = self.store.files(id, index, 1)?.into_iter().next();
            let Some(mut file) = file.filter(|file| file.index == index) else {
                return Err(Error::NotFound);
            };
            let remote = self.mover.remote(url).map_err(refused_by_transfer)?;
            file.remote_url = remote.url;
            let next = self.store.missing_files(id, 0, 1)?.pop();
            if next.is_some_and(|next| next.index == index) {
                job.set_host(file.host());
            }
            let now = self.now();
            job.touch(now)?;
            let detail = format!("file {index}");
            let event = events::event(&job, "addresses_changed", Some(&by.owner), detail, now.date);
            let mut changes = vec![Change::Job(job), Change::File(id, file), event];
            changes.extend(remote.userinfo.map(|user| Change::Credentials(id, user)));
            self.store.commit(changes).await?;
        }
        self.start_over(id).await
    }

    async fn take_ownership(&self, by: &Caller, id: JobId) -> Result<(), Error> {
        {
            let _hold = self.desk.hold(id).await;
            let mut job = self.visible(by, id)?;
            if !by.is_administrator {
                return Err(Error::Denied);
            }
            let now = self.now();
            let last = job.owner.clone();
            if job.take_over(by.owner.clone(), now)? == Effect::Unchanged {
                return Ok(());
            }
            self.check_new_owner(by, &job).await?;
            let event = events::event(
                &job,
                "taken_over",
                Some(&by.owner),
                format!("from {last}"),
                now.date,
            );
            let mut changes = vec![Change::Job(job.clone()), Change::Headers(id, None), event];
            let credentials = self.store.credentials(id)?;
            changes.extend(
                credentials
                    .iter()
                    .map(|one| Change::RemoveCredentials(id, one.target, one.scheme)),
            );
            self.store.commit(changes).await?;
            self.note_in_slot(&job);
            tracing::info!(job = %id, owner = %by.owner, from = %last, "Job taken over");
        }
        self.start_over(id).await
    }

    /// Whoever takes the job may have every file of it where it is to be.
    async fn check_new_owner(&self, by: &Caller, job: &Job) -> Result<(), Error> {
        let bounds = (self.bounds)(&by.owner);
        let no_access = |what: &str| {
            Err(Error::Refused {
                code: Hresult::BG_E_NEW_OWNER_NO_FILE_ACCESS,
                detail: what.to_owned(),
            })
        };
        let may_have = |local_file: &str, path: &Path| {
            let found = if job.kind.is_upload() {
                let bounds = [bounds.read_roots.as_ref(), by.read_roots.as_ref()];
                self.mover.source(local_file, &bounds)
            } else {
                let bounds = [bounds.write_roots.as_ref(), by.write_roots.as_ref()];
                self.mover.destination(local_file, &bounds)
            };
            found.is_ok_and(|found| found == path)
        };
        if let Some(reply) = &job.options.reply {
            let found = self.reply_path(by, &by.owner, reply);
            if !found.is_ok_and(|found| found == reply.path) {
                return no_access(&reply.local_file);
            }
        }
        self.each_file(job.id, |file| {
            if may_have(&file.local_file, &file.path) {
                return Ok(());
            }
            no_access(&file.local_file)
        })
        .await
    }

    /// A transfer that runs goes by what its job was: it begins anew with what
    /// the job is now.
    async fn start_over(&self, id: JobId) -> Result<(), Error> {
        if self.run(id).is_some() {
            self.advance(id, Input::Preempt).await?;
        }
        self.look();
        Ok(())
    }

    fn check_new_address(&self, url: &str) -> Result<(), Error> {
        let remote = self.mover.remote(url).map_err(refused_by_transfer)?;
        // It is replaced where it is kept, as it stands.
        if remote.url != url || remote.userinfo.is_some() {
            return Err(refused(Hresult::E_INVALIDARG, "NewPrefix"));
        }
        Ok(())
    }

    fn check_no_ranges(&self, job: &Job) -> Result<(), Error> {
        let mut from = 0;
        loop {
            let files = self.store.files(job.id, from, PAGE)?;
            if files.iter().any(|file| !file.ranges.is_empty()) {
                return Err(refused(Hresult::E_INVALIDARG, "DynamicContent"));
            }
            match files.last() {
                Some(last) if files.len() == PAGE => from = last.index + 1,
                _ => return Ok(()),
            }
        }
    }

    /// Where the files of a job land, as names are compared.
    async fn destinations(&self, job: &Job) -> Result<HashSet<PathBuf>, Error> {
        let mut all = HashSet::with_capacity(job.files_total as usize);
        self.each_file(job.id, |file| {
            all.insert(folded(&file.path));
            Ok(())
        })
        .await?;
        Ok(all)
    }

    /// Looks at every file of a job, page by page.
    async fn each_file(
        &self,
        id: JobId,
        mut look: impl FnMut(&File) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut from = 0;
        loop {
            let files = self.store.files(id, from, PAGE)?;
            for file in &files {
                look(file)?;
            }
            match files.last() {
                Some(last) if files.len() == PAGE => from = last.index + 1,
                _ => return Ok(()),
            }
            tokio::task::yield_now().await;
        }
    }

    fn reply_path(&self, by: &Caller, owner: &Owner, reply: &ReplyFile) -> Result<PathBuf, Error> {
        let owners = (self.bounds)(owner);
        let bounds = [owners.write_roots.as_ref(), by.write_roots.as_ref()];
        self.mover
            .destination(&reply.local_file, &bounds)
            .map_err(refused_by_transfer)
    }
}

/// A file with these ranges and this hash may be in such a job.
pub(super) fn check_file(
    options: &JobOptions,
    kind: JobType,
    file: &WishedFile,
) -> Result<(), Error> {
    options
        .check_file(kind, !file.ranges.is_empty(), file.sha256.is_some())
        .map_err(|code| Error::Refused {
            code,
            detail: file.local_file.clone(),
        })
}

fn refused(code: Hresult, what: &str) -> Error {
    Error::Refused {
        code,
        detail: what.to_owned(),
    }
}

impl From<OptionRefused> for Error {
    fn from(OptionRefused { option, code }: OptionRefused) -> Self {
        refused(code, option)
    }
}

/// Files that are read at once.
const PAGE: usize = 256;

/// Where a job has so many times the files that come, each of these is looked
/// up by itself.
const FEW: u32 = 16;

#[cfg(test)]
mod tests;
