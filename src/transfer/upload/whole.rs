//! Uploads to servers without the protocol: the file is the body of one request,
//! PUT or POST (RFC 9110 9.3.3, 9.3.4).
//!
//! Each try begins at the first octet. `Expect: 100-continue` is not sent: the
//! answer is read while the body goes, and an early refusal ends the sending.

use std::pin::pin;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::HeaderMap;
use hyper::StatusCode;
use hyper::header;
use hyper::header::HeaderValue;

use super::Uploading;
use crate::bits::ErrorContext;
use crate::bits::FileReport;
use crate::bits::Hresult;
use crate::bits::Phase;
use crate::bits::Validator;
use crate::transfer::Failure;
use crate::transfer::FailureKind;
use crate::transfer::answer::Answer;
use crate::transfer::outgoing::Outgoing;

impl Uploading<'_> {
    /// Sends the file by `method`.
    pub(super) async fn in_one_request(&mut self, method: &str) -> Result<(), Failure> {
        if self.reply.is_some() {
            return Err(Failure::fatal(
                ErrorContext::GeneralQueueManager,
                Hresult::E_NOTIMPL,
                "a reply is fetched by the BITS upload protocol only",
            ));
        }
        self.confirmed = 0;
        let size = self.source.stamp.size;
        let body = self.shown_part(0, size);
        let asked = self.send_whole(method, body).await;
        self.check_source()?;
        let octets = self.order.written.load(Ordering::Relaxed);
        let answer = asked.map_err(|failure| unless_taken(failure, method, octets >= size))?;
        let shown = answer.shown.clone();
        let (status, failure) = (answer.status, answer.to_failure());
        answer.discard().await;
        if !status.is_success() && status != StatusCode::SEE_OTHER {
            return Err(failure.at(Phase::Asking).of(&shown));
        }
        if octets < size {
            return Err(Failure::for_now(
                ErrorContext::RemoteFile,
                Hresult::BG_E_INVALID_SERVER_RESPONSE,
                format!("sending to {shown}: the server took it before it was sent"),
            ));
        }
        self.told = size;
        self.confirmed = size;
        self.report(FileReport::Done(size)).await
    }

    async fn send_whole(&self, method: &str, body: Outgoing) -> Result<Answer<'_>, Failure> {
        let mut headers = HeaderMap::new();
        if self.source.stamp.size == 0 {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        let mut asked = pin!(self.ask(&self.url, method, headers, body));
        let is_going = async {
            while self.order.written.load(Ordering::Relaxed) == 0 {
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::select! {
            biased;
            answer = &mut asked => return answer,
            () = is_going => {}
        }
        // Octets go: there is a connection.
        self.report(FileReport::Began {
            size: Some(self.source.stamp.size),
            validator: Validator::default(),
            restarted: self.order.file.upload.is_some(),
        })
        .await?;
        self.tell().await?;
        asked.await
    }
}

/// A POST that may have been taken is not sent again by itself: it may do
/// something twice (RFC 9110 9.2.2). A PUT puts the same there again.
fn unless_taken(failure: Failure, method: &str, is_sent: bool) -> Failure {
    if method != "POST" || !is_sent || !matches!(failure.kind, FailureKind::ForNow(_)) {
        return failure;
    }
    Failure {
        kind: FailureKind::Fatal,
        detail: format!(
            "{}; whether the server took the file is not known, and Resume sends it again",
            failure.detail
        ),
        ..failure
    }
}

/// Between two looks whether octets go.
const LOOK: Duration = Duration::from_millis(20);
