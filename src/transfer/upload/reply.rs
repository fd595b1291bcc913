//! The answer to an upload-reply: where the server says it is, and how it comes
//! here ("Retrieving the Reply from an Upload-Reply Job").

use std::future::Future;
use std::io;
use std::io::Read;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use url::Url;

use super::Broken;
use super::Uploading;
use crate::bits::ErrorContext;
use crate::bits::File;
use crate::bits::FileReport;
use crate::bits::Hresult;
use crate::bits::JobId;
use crate::bits::NewFile;
use crate::bits::ReplyFile;
use crate::bits::ReplyProgress;
use crate::bits::Upload;
use crate::transfer::Failure;
use crate::transfer::Order;
use crate::transfer::Reports;
use crate::transfer::Stopped;
use crate::transfer::landing::Landing;
use crate::transfer::landing::Missing;
use crate::transfer::landing::temporary_name;
use crate::transfer::remote;
use crate::transfer::upload_packet::Ack;

/// The place of a reply among the temporary files of its job; no file of a job has
/// it.
pub(in crate::transfer) const REPLY_INDEX: u32 = u32::MAX;

impl Uploading<'_> {
    /// Is it still to be said where the reply is?
    pub(super) fn lacks_reply(&self) -> bool {
        self.reply.is_some() && self.reply_url.is_none() && !self.has_reply()
    }

    fn has_reply(&self) -> bool {
        self.upload
            .reply
            .as_ref()
            .is_some_and(|reply| reply.transferred)
    }

    /// Notes where the reply is.
    pub(super) async fn take_reply_url(&mut self, ack: &Ack) -> Result<(), Failure> {
        let Some(text) = ack.reply_url.as_deref() else {
            return Ok(());
        };
        let url = resolve(&self.url, text).ok_or_else(|| {
            Failure::fatal(
                ErrorContext::RemoteFile,
                Hresult::BG_E_INVALID_SERVER_RESPONSE,
                format!("sending to {}: BITS-Reply-URL is no address", self.shown()),
            )
        })?;
        // A query may be a secret. Without it the last fragment is sent again
        // after a stop, and the server says it again.
        self.upload.reply_url = url.query().is_none().then(|| url.to_string());
        self.reply_url = Some(url);
        self.tell().await
    }

    pub(super) fn no_reply_url(&self) -> Failure {
        Failure::fatal(
            ErrorContext::RemoteFile,
            Hresult::BG_E_INVALID_SERVER_RESPONSE,
            format!(
                "sending to {}: the server does not say where the reply is",
                self.shown()
            ),
        )
    }

    /// Fetches the reply into its temporary file.
    pub(super) async fn fetch_reply(&mut self) -> Result<(), Broken> {
        let (Some(reply), Some(url)) = (&self.reply, &self.reply_url) else {
            return Ok(());
        };
        if self.has_reply() {
            return Ok(());
        }
        let remote_url = url.to_string();
        let order = Order {
            job: self.order.job,
            file: File {
                remote_url,
                ..as_file(reply, self.upload.reply.as_ref())
            },
            written: Arc::default(),
            stop: self.order.stop.clone(),
        };
        let reports = ReplyReports {
            upload: Mutex::new(self.upload.clone()),
            reports: self.reports,
        };
        let fetched = self.session.download(order, &reports).await;
        let upload = reports.upload.into_inner();
        self.upload = upload.unwrap_or_else(PoisonError::into_inner);
        Ok(fetched?)
    }
}

/// The reply as a file of its job, for what fetches, places and drops files.
pub(in crate::transfer) fn as_file(reply: &ReplyFile, progress: Option<&ReplyProgress>) -> File {
    let new = NewFile {
        local_file: reply.local_file.clone(),
        path: reply.path.clone(),
        ..NewFile::default()
    };
    let progress = progress.cloned().unwrap_or_default();
    File {
        size: progress.size,
        validator: progress.validator,
        durable: progress.durable,
        transferred: progress.transferred,
        placed: progress.placed,
        ..File::new(REPLY_INDEX, new)
    }
}

/// The octets of a reply in its temporary place.
///
/// # Errors
///
/// [`Failure`]: `BG_E_TOO_LARGE`, `ERROR_FILE_NOT_FOUND`.
pub(in crate::transfer) fn reply_data(
    landing: &Landing,
    job: JobId,
    reply: &ReplyFile,
) -> Result<Vec<u8>, Failure> {
    let failed = |error: io::Error| Failure::from_local_error("reading the reply", &error);
    let spot = landing.spot(&reply.path, Missing::Report)?;
    let name = temporary_name(job, REPLY_INDEX);
    let file = spot
        .open_temporary(&name)
        .map_err(|error| failed(error.into()))?
        .ok_or_else(|| Failure::local(Hresult::ERROR_FILE_NOT_FOUND, "the reply is gone"))?;
    let mut octets = Vec::new();
    file.take(MAX_REPLY_DATA + 1)
        .read_to_end(&mut octets)
        .map_err(failed)?;
    if octets.len() as u64 > MAX_REPLY_DATA {
        return Err(Failure::local(
            Hresult::BG_E_TOO_LARGE,
            "the reply is larger than 1 MiB: Complete puts it in the reply file",
        ));
    }
    Ok(octets)
}

/// What is told of the reply, as it is told of its upload.
struct ReplyReports<'a> {
    upload: Mutex<Upload>,
    reports: &'a dyn Reports,
}

impl Reports for ReplyReports<'_> {
    fn report(
        &self,
        report: FileReport,
    ) -> Pin<Box<dyn Future<Output = Result<(), Stopped>> + Send + '_>> {
        match report {
            FileReport::WithoutRanges => return self.reports.report(report),
            // The job names where the upload goes, and the server the reply.
            FileReport::Moved(_) => return Box::pin(std::future::ready(Ok(()))),
            FileReport::Began { .. }
            | FileReport::Durable(_)
            | FileReport::Done(_)
            | FileReport::Upload(_) => {}
        }
        let upload = {
            let mut upload = self.upload.lock().unwrap_or_else(PoisonError::into_inner);
            take_in(upload.reply.get_or_insert_default(), report);
            upload.clone()
        };
        self.reports.report(FileReport::Upload(Box::new(upload)))
    }
}

fn take_in(reply: &mut ReplyProgress, report: FileReport) {
    match report {
        FileReport::Began {
            size,
            validator,
            restarted,
        } => {
            if restarted {
                reply.durable = 0;
            }
            reply.size = size;
            reply.validator = validator;
        }
        FileReport::Durable(octets) => reply.durable = octets,
        FileReport::Done(octets) => {
            reply.size = Some(octets);
            reply.durable = octets;
            reply.transferred = true;
        }
        FileReport::Upload(_) | FileReport::WithoutRanges | FileReport::Moved(_) => {}
    }
}

/// The address of a reply: absolute, or relative to the folder of the upload, as
/// servers of Windows write it, with back-slashes and braces. Not from `https` to
/// `http`; `None` when it is none.
fn resolve(upload: &Url, text: &str) -> Option<Url> {
    let (path, query) = match text.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (text, None),
    };
    let mut text = path.replace('\\', "/");
    if let Some(query) = query {
        text.push('?');
        text.push_str(query);
    }
    let url = upload.join(&text).ok()?;
    let url = remote::parse(url.as_str()).ok()?;
    // Braces are escaped as [MC-BUP] 4.2 shows it, whoever reads the path.
    let url = url.url.replace('{', "%7B").replace('}', "%7D");
    let url = Url::parse(&url).ok()?;
    (upload.scheme() != "https" || url.scheme() == "https").then_some(url)
}

/// Octets ("`IBackgroundCopyJob2::GetReplyData`").
const MAX_REPLY_DATA: u64 = 1_024 * 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_a_reply_in_its_forms() {
        let upload = Url::parse("https://h/vdir/x.txt?key=1").expect("a URL");
        for (text, expected) in [
            (
                "BITS-Sessions\\Replies\\{0F-1}\\responsefile.bin",
                Some("https://h/vdir/BITS-Sessions/Replies/%7B0F-1%7D/responsefile.bin"),
            ),
            ("/other/reply", Some("https://h/other/reply")),
            ("https://second/r?a=b\\c", Some("https://second/r?a=b\\c")),
            ("\\\\second\\r", Some("https://second/r")),
            ("http://h/r", None),
            ("ftp://h/r", None),
            ("file:///etc/passwd", None),
            ("https://", None),
        ] {
            let url = resolve(&upload, text);
            assert_eq!(url.as_ref().map(Url::as_str), expected, "{text}");
        }
    }
}
