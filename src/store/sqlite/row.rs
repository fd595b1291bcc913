//! Values as rows, and back.
//!
//! Whatever a row holds that no value can be is [`Error::Damaged`].

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use aws_lc_rs::digest;
use rusqlite::Connection;
use rusqlite::Row;
use rusqlite::params;
use rusqlite::types::ValueRef;
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::bits::AuthScheme;
use crate::bits::AuthTarget;
use crate::bits::CertificateChoice;
use crate::bits::ClientCertificate;
use crate::bits::Credentials;
use crate::bits::ErrorContext;
use crate::bits::File;
use crate::bits::Hresult;
use crate::bits::Intent;
use crate::bits::Job;
use crate::bits::JobError;
use crate::bits::JobId;
use crate::bits::JobParts;
use crate::bits::JobType;
use crate::bits::Owner;
use crate::bits::Priority;
use crate::bits::Proxy;
use crate::bits::Secret;
use crate::bits::State;
use crate::bits::Timestamp;
use crate::bits::Validator;
use crate::store::Error;
use crate::store::Queued;
use crate::store::StoredEvent;
use crate::store::purpose::JobSecret;
use crate::vault::Vault;

/// The columns of a job in the order in which [`job`] reads them.
macro_rules! job_columns {
    () => {
        "id, owner, display_name, description, priority, minimum_retry_delay_s, \
         no_progress_timeout_s, state, intent, transient_error_count, stalled_at, wake_at, \
         queued_at, created_at, modified_at, transferred_at, files_total, files_transferred, \
         files_sized, bytes_known, bytes_transferred, proxy_usage, proxy_list, proxy_bypass, \
         certificate_store, certificate_hash, certificate_subject, error_context, error_code, \
         error_file, error_detail, kind, options, was_resumed, active_for_ms, active_since, \
         error_circumstances, host"
    };
}

/// The columns of a file in the order in which [`file()`] reads them.
macro_rules! file_columns {
    () => {
        "f.place, f.remote_url, f.query, f.local_file, f.path, p.size, p.durable, \
         p.transferred, p.placed, p.etag, p.last_modified, p.last_modified_is_strong, \
         f.ranges, f.sha256, p.upload"
    };
}

/// What lies in no index but that of the last modification, as assignments.
macro_rules! plain_assignments {
    () => {
        "display_name = ?3, description = ?4, minimum_retry_delay_s = ?6, \
         no_progress_timeout_s = ?7, transient_error_count = ?10, stalled_at = ?11, \
         modified_at = ?15, files_total = ?17, files_transferred = ?18, files_sized = ?19, \
         bytes_known = ?20, bytes_transferred = ?21, proxy_usage = ?22, proxy_list = ?23, \
         proxy_bypass = ?24, certificate_store = ?25, certificate_hash = ?26, \
         certificate_subject = ?27, error_context = ?28, error_code = ?29, error_file = ?30, \
         error_detail = ?31, kind = ?32, options = ?33, was_resumed = ?34, \
         active_for_ms = ?35, active_since = ?36, error_circumstances = ?37"
    };
}

/// What follows the key and the owner, as assignments.
macro_rules! job_assignments {
    () => {
        concat!(
            "priority = ?5, state = ?8, intent = ?9, wake_at = ?12, queued_at = ?13, \
             created_at = ?14, transferred_at = ?16, host = ?38, ",
            plain_assignments!()
        )
    };
}

pub(super) use file_columns;
pub(super) use job_columns;

/// Changes a job that is there and keeps its place in the indexes: a column
/// that is assigned is written to all of its indexes, whether it has another
/// value or not.
pub(super) const UPDATE_PROGRESS_OF_JOB: &str = concat!(
    "UPDATE job SET ",
    plain_assignments!(),
    " WHERE id = ?1 AND owner = ?2 AND priority = ?5 AND state = ?8 AND intent IS ?9 \
     AND wake_at IS ?12 AND queued_at = ?13 AND created_at = ?14 AND transferred_at IS ?16 \
     AND host = ?38"
);

/// Changes a job that is there and keeps its owner.
pub(super) const UPDATE_JOB: &str = concat!(
    "UPDATE job SET ",
    job_assignments!(),
    " WHERE id = ?1 AND owner = ?2"
);

/// Inserts a job, or changes all of it.
pub(super) const UPSERT_JOB: &str = concat!(
    "INSERT INTO job (",
    job_columns!(),
    ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, \
     ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30, ?31, ?32, ?33, ?34, ?35, ?36, ?37, \
     ?38) \
     ON CONFLICT DO UPDATE SET owner = ?2, ",
    job_assignments!()
);

/// Changes the progress of a file that is there, and as much here as before.
pub(super) const UPDATE_PROGRESS: &str = "UPDATE progress SET size = ?3, durable = ?4, \
     placed = ?6, etag = ?7, last_modified = ?8, last_modified_is_strong = ?9, upload = ?10 \
     WHERE job = ?1 AND place = ?2 AND transferred = ?5";

/// Changes the progress of a file that is there, and whether it has arrived.
pub(super) const UPDATE_ARRIVAL: &str = "UPDATE progress SET size = ?3, durable = ?4, \
     transferred = ?5, placed = ?6, etag = ?7, last_modified = ?8, last_modified_is_strong = ?9, \
     upload = ?10 WHERE job = ?1 AND place = ?2";

/// Inserts the progress of a file, or changes all of it.
pub(super) const UPSERT_PROGRESS: &str = "INSERT INTO progress \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) \
     ON CONFLICT DO UPDATE SET size = ?3, durable = ?4, transferred = ?5, placed = ?6, \
     etag = ?7, last_modified = ?8, last_modified_is_strong = ?9, upload = ?10";

/// Runs one of the statements above for `job`; gives the number of rows.
pub(super) fn write_job(
    connection: &Connection,
    statement: &str,
    job: &Job,
) -> Result<usize, Error> {
    let (proxy_usage, proxy_list, proxy_bypass) = match &job.proxy {
        Proxy::Preconfig => (0, None, None),
        Proxy::None => (1, None, None),
        Proxy::Override { list, bypass } => (2, Some(list), Some(bypass)),
    };
    let certificate = job.client_certificate.as_ref();
    let (hash, subject) = match certificate.map(|certificate| &certificate.choice) {
        Some(CertificateChoice::Hash(hash)) => (Some(hash), None),
        Some(CertificateChoice::Subject(subject)) => (None, Some(subject)),
        None => (None, None),
    };
    let error = job.error.as_ref();
    Ok(connection.prepare_cached(statement)?.execute(params![
        job.id.to_octets(),
        job.owner.as_str(),
        job.display_name,
        job.description,
        job.priority as u8,
        seconds(job.minimum_retry_delay),
        seconds(job.no_progress_timeout),
        job.state as u8,
        job.intent.map(intent_number),
        job.transient_error_count,
        job.stalled_at.map(ticks),
        job.wake_at.map(ticks),
        ticks(job.queued_at),
        ticks(job.created_at),
        ticks(job.modified_at),
        job.transferred_at.map(ticks),
        job.files_total,
        job.files_transferred,
        job.files_sized,
        job.bytes_known.cast_signed(),
        job.bytes_transferred.cast_signed(),
        proxy_usage,
        proxy_list,
        proxy_bypass,
        certificate.map(|certificate| &certificate.store_name),
        hash,
        subject,
        error.map(|error| error.context as u8),
        error.map(|error| error.code.number()),
        error.and_then(|error| error.file),
        error.map(|error| &error.detail),
        job.kind as u8,
        unless_default(&job.options)?,
        job.was_resumed,
        i64::try_from(job.active_for.as_millis()).unwrap_or(i64::MAX),
        job.active_since.map(ticks),
        error
            .map(|error| unless_default(&error.circumstances))
            .transpose()?
            .flatten(),
        job.host,
    ])?)
}

/// The same for the progress of a file.
pub(super) fn write_progress(
    connection: &Connection,
    statement: &str,
    job: JobId,
    file: &File,
) -> Result<usize, Error> {
    Ok(connection.prepare_cached(statement)?.execute(params![
        job.to_octets(),
        file.index,
        file.size.map(u64::cast_signed),
        file.durable.cast_signed(),
        file.transferred,
        file.placed,
        file.validator.etag,
        file.validator.last_modified,
        file.validator.last_modified_is_strong,
        file.upload.as_ref().map(to_json).transpose()?,
    ])?)
}

/// The job in a row of [`job_columns`].
pub(super) fn job(row: &Row<'_>) -> Result<Job, Error> {
    Ok(Job::restore(JobParts {
        id: JobId::from_octets(row.get(0)?),
        kind: JobType::from_number(row.get(31)?).ok_or_else(|| damaged("kind"))?,
        owner: Owner::new(row.get_ref(1)?.as_str().map_err(damaged)?),
        display_name: row.get(2)?,
        description: row.get(3)?,
        priority: Priority::from_number(row.get(4)?).ok_or_else(|| damaged("priority"))?,
        minimum_retry_delay: Duration::from_secs(unsigned(row, 5)?),
        no_progress_timeout: Duration::from_secs(unsigned(row, 6)?),
        state: State::from_number(row.get(7)?).ok_or_else(|| damaged("state"))?,
        intent: match row.get::<_, Option<u8>>(8)? {
            None => None,
            Some(0) => Some(Intent::Complete),
            Some(1) => Some(Intent::Cancel),
            Some(_) => return Err(damaged("intent")),
        },
        transient_error_count: row.get(9)?,
        stalled_at: optional_instant(row, 10)?,
        wake_at: optional_instant(row, 11)?,
        queued_at: instant(row, 12)?,
        host: row.get(37)?,
        created_at: instant(row, 13)?,
        modified_at: instant(row, 14)?,
        transferred_at: optional_instant(row, 15)?,
        files_total: row.get(16)?,
        files_transferred: row.get(17)?,
        files_sized: row.get(18)?,
        bytes_known: row.get::<_, i64>(19)?.cast_unsigned(),
        bytes_transferred: row.get::<_, i64>(20)?.cast_unsigned(),
        proxy: match row.get::<_, u8>(21)? {
            0 => Proxy::Preconfig,
            1 => Proxy::None,
            2 => Proxy::Override {
                list: row.get(22)?,
                bypass: row.get(23)?,
            },
            _ => return Err(damaged("proxy usage")),
        },
        client_certificate: match row.get::<_, Option<String>>(24)? {
            None => None,
            Some(store_name) => Some(ClientCertificate {
                store_name,
                choice: match row.get::<_, Option<[u8; 20]>>(25)? {
                    Some(hash) => CertificateChoice::Hash(hash),
                    None => CertificateChoice::Subject(row.get(26)?),
                },
            }),
        },
        options: or_default(row, 32)?,
        was_resumed: row.get(33)?,
        active_for: Duration::from_millis(unsigned(row, 34)?),
        active_since: optional_instant(row, 35)?,
        error: match row.get::<_, Option<u32>>(27)? {
            None => None,
            Some(context) => Some(JobError {
                context: ErrorContext::from_number(context)
                    .ok_or_else(|| damaged("error context"))?,
                code: Hresult::from_number(row.get(28)?),
                file: row.get(29)?,
                detail: row.get(30)?,
                circumstances: or_default(row, 36)?,
            }),
        },
    }))
}

/// The job in a row of (id, owner, host, priority).
pub(super) fn queued(row: &Row<'_>) -> Result<Queued, Error> {
    Ok(Queued {
        id: JobId::from_octets(row.get(0)?),
        owner: Owner::new(row.get_ref(1)?.as_str().map_err(damaged)?),
        host: row.get(2)?,
        priority: Priority::from_number(row.get(3)?).ok_or_else(|| damaged("priority"))?,
    })
}

/// The file of `job` in a row of [`file_columns`].
pub(super) fn file(row: &Row<'_>, vault: &Vault, job: JobId) -> Result<File, Error> {
    let index = row.get(0)?;
    let mut remote_url: String = row.get(1)?;
    if let Some(sealed) = row.get_ref(2)?.as_blob_or_null().map_err(damaged)? {
        let query = vault.unseal(&JobSecret::Query(index).of(job), sealed)?;
        remote_url.push('?');
        remote_url.push_str(std::str::from_utf8(&query).map_err(damaged)?);
    }
    Ok(File {
        index,
        remote_url,
        local_file: row.get(3)?,
        path: PathBuf::from(OsStr::from_bytes(
            row.get_ref(4)?.as_blob().map_err(damaged)?,
        )),
        ranges: or_default(row, 12)?,
        sha256: row.get(13)?,
        upload: or_default(row, 14)?,
        size: row.get::<_, Option<i64>>(5)?.map(i64::cast_unsigned),
        durable: row.get::<_, i64>(6)?.cast_unsigned(),
        transferred: row.get(7)?,
        placed: row.get(8)?,
        validator: Validator {
            etag: row.get(9)?,
            last_modified: row.get(10)?,
            last_modified_is_strong: row.get(11)?,
        },
    })
}

/// A value that few rows have, as JSON; null when it is what all others have.
pub(super) fn unless_default<T: Default + PartialEq + Serialize>(
    value: &T,
) -> Result<Option<String>, Error> {
    (*value != T::default()).then(|| to_json(value)).transpose()
}

fn to_json(value: &impl Serialize) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| Error::Unavailable(error.to_string()))
}

fn or_default<T: Default + DeserializeOwned>(row: &Row<'_>, at: usize) -> Result<T, Error> {
    match row.get_ref(at)?.as_str_or_null().map_err(damaged)? {
        None => Ok(T::default()),
        Some(text) => serde_json::from_str(text).map_err(damaged),
    }
}

/// The event in a row of the table, in the order of its columns.
pub(super) fn event(row: &Row<'_>) -> Result<StoredEvent, Error> {
    Ok(StoredEvent {
        sequence: row.get::<_, i64>(0)?.cast_unsigned(),
        at: instant(row, 1)?,
        job: JobId::from_octets(row.get(2)?),
        owner: Owner::new(row.get_ref(3)?.as_str().map_err(damaged)?),
        kind: row.get(4)?,
        by: row
            .get_ref(5)?
            .as_str_or_null()
            .map_err(damaged)?
            .map(Owner::new),
        detail: row.get(6)?,
    })
}

/// The credentials in a row of (target, scheme, sealed).
pub(super) fn credentials(row: &Row<'_>, vault: &Vault, job: JobId) -> Result<Credentials, Error> {
    let (target, scheme) = (row.get(0)?, row.get(1)?);
    let sealed = row.get_ref(2)?.as_blob().map_err(damaged)?;
    let plain = vault.unseal(&JobSecret::Credentials { target, scheme }.of(job), sealed)?;
    decode_credentials(target, scheme, &plain).ok_or_else(|| damaged("credentials"))
}

/// The custom headers in a row of (sealed).
pub(super) fn headers(row: &Row<'_>, vault: &Vault, job: JobId) -> Result<Secret, Error> {
    let sealed = row.get_ref(0)?.as_blob().map_err(damaged)?;
    let plain = vault.unseal(&JobSecret::Headers.of(job), sealed)?;
    let text = std::str::from_utf8(&plain).map_err(damaged)?;
    Ok(Secret::new(text.to_owned()))
}

/// What is sealed of credentials: the length of the user name in four octets,
/// the name, the password.
pub(super) fn encode_credentials(credentials: &Credentials) -> Zeroizing<Vec<u8>> {
    let user = credentials.user.reveal().as_bytes();
    let password = credentials.password.reveal().as_bytes();
    let mut plain = Zeroizing::new(Vec::with_capacity(4 + user.len() + password.len()));
    let length = u32::try_from(user.len()).expect("a user name has at most 300 characters");
    plain.extend_from_slice(&length.to_be_bytes());
    plain.extend_from_slice(user);
    plain.extend_from_slice(password);
    plain
}

fn decode_credentials(target: u8, scheme: u8, plain: &[u8]) -> Option<Credentials> {
    let (length, rest) = plain.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (user, password) = rest.split_at_checked(length)?;
    let secret = |octets: &[u8]| {
        std::str::from_utf8(octets)
            .ok()
            .map(|text| Secret::new(text.to_owned()))
    };
    Some(Credentials {
        target: AuthTarget::from_number(target.into())?,
        scheme: AuthScheme::from_number(scheme.into())?,
        user: secret(user)?,
        password: secret(password)?,
    })
}

/// A URL's part in clear, and its query without the question mark.
pub(super) fn split_query(url: &str) -> (&str, Option<&str>) {
    match url.split_once('?') {
        Some((clear, query)) => (clear, Some(query)),
        None => (url, None),
    }
}

/// A path as its row has it.
pub(super) fn path_octets(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

/// By what paths are found when case does not count: a hash of the path in
/// lower case, which keeps the index narrow.
pub(super) fn folded(path: &Path) -> [u8; FOLDED_LEN] {
    let hash = match path.to_str() {
        Some(text) => digest::digest(&digest::SHA256, text.to_lowercase().as_bytes()),
        None => digest::digest(&digest::SHA256, &path_octets(path).to_ascii_lowercase()),
    };
    *hash
        .as_ref()
        .first_chunk()
        .expect("a SHA-256 hash has 32 octets")
}

/// An instant as its row has it. What lies past the year 30,800 is never.
pub(super) fn ticks(at: Timestamp) -> i64 {
    i64::try_from(at.ticks()).unwrap_or(i64::MAX)
}

/// The row cannot be what was written.
pub(super) fn damaged(what: impl std::fmt::Display) -> Error {
    Error::Damaged(format!("a row cannot be read: {what}"))
}

/// A number that is not negative.
pub(super) fn unsigned(row: &Row<'_>, at: usize) -> Result<u64, Error> {
    u64::try_from(row.get::<_, i64>(at)?).map_err(damaged)
}

fn instant(row: &Row<'_>, at: usize) -> Result<Timestamp, Error> {
    Ok(Timestamp::from_ticks(unsigned(row, at)?))
}

fn optional_instant(row: &Row<'_>, at: usize) -> Result<Option<Timestamp>, Error> {
    match row.get_ref(at)? {
        ValueRef::Null => Ok(None),
        _ => instant(row, at).map(Some),
    }
}

fn seconds(span: Duration) -> i64 {
    i64::try_from(span.as_secs()).unwrap_or(i64::MAX)
}

const fn intent_number(intent: Intent) -> u8 {
    match intent {
        Intent::Complete => 0,
        Intent::Cancel => 1,
    }
}

/// Half a SHA-256: nobody finds two paths by accident.
const FOLDED_LEN: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_query_of_an_address_is_split_off() {
        assert_eq!(split_query("http://h/a"), ("http://h/a", None));
        assert_eq!(split_query("http://h/a?"), ("http://h/a", Some("")));
        assert_eq!(split_query("http://h/a?b?c"), ("http://h/a", Some("b?c")));
    }

    #[test]
    fn paths_that_differ_in_case_fold_to_the_same() {
        let of = |octets: &[u8]| folded(Path::new(OsStr::from_bytes(octets)));
        assert_eq!(of("/Data/ÄÖ".as_bytes()), of("/data/äö".as_bytes()));
        assert_eq!(of(b"/DATA/\xFF"), of(b"/data/\xFF"));
        assert_ne!(of(b"/data/\xFE"), of(b"/data/\xFF"));
    }
}
