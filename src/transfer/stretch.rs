//! The octets of a file as one answer brings them: in order, from the first that
//! is wanted to the last.

use std::fs;

use hyper::body::Bytes;

use super::Failure;
use super::answer::Answer;

/// The wanted octets of one answer.
#[derive(Debug)]
pub(super) struct Stretch<'a> {
    answer: Answer<'a>,
    /// So many come before the first that is wanted.
    skip: u64,
    /// So many are wanted of what comes then; none: all of the body.
    left: Option<u64>,
    /// The body has ended.
    has_ended: bool,
}

impl<'a> Stretch<'a> {
    /// A whole body, without its first `skip` octets.
    pub(super) fn whole(answer: Answer<'a>, skip: u64) -> Self {
        Self {
            answer,
            skip,
            left: None,
            has_ended: false,
        }
    }

    /// Behind the first `skip` octets of the body, `octets` of them.
    pub(super) fn part(answer: Answer<'a>, skip: u64, octets: u64) -> Self {
        Self {
            answer,
            skip,
            left: Some(octets),
            has_ended: false,
        }
    }

    /// Is it a part of the remote file only?
    pub(super) fn is_part(&self) -> bool {
        self.left.is_some()
    }

    /// The next octets; `None` at the end of what is wanted, or of the body.
    ///
    /// Dropping the future half-way loses nothing.
    ///
    /// # Errors
    ///
    /// [`Failure`] when the body is cut off.
    pub(super) async fn data(&mut self) -> Option<Result<Bytes, Failure>> {
        loop {
            if self.left == Some(0) {
                return None;
            }
            let Some(data) = self.answer.data().await else {
                self.has_ended = true;
                return None;
            };
            let mut data = match data {
                Ok(data) => data,
                Err(failure) => return Some(Err(failure)),
            };
            let length = data.len() as u64;
            if self.skip >= length {
                self.skip -= length;
                // Whoever waits must be told that something comes.
                return Some(Ok(Bytes::new()));
            }
            let skip = usize::try_from(self.skip).unwrap_or(usize::MAX);
            self.skip = 0;
            data = data.split_off(skip.min(data.len()));
            if let Some(left) = &mut self.left {
                data.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= data.len() as u64;
            }
            if !data.is_empty() {
                return Some(Ok(data));
            }
        }
    }

    /// Moves what comes next of what is wanted into `file` at `at`, and says how
    /// many octets; none means that [`Stretch::data`] is to be used.
    ///
    /// Dropping the future half-way loses nothing.
    ///
    /// # Errors
    ///
    /// [`Failure`] when the body is cut off, or of the file.
    pub(super) async fn pass(&mut self, file: &fs::File, at: u64) -> Result<u64, Failure> {
        if self.skip > 0 {
            return Ok(0);
        }
        let most = self.left.unwrap_or(u64::MAX);
        let octets = self.answer.pass(file, at, most).await?;
        if let Some(left) = &mut self.left {
            *left -= octets;
        }
        Ok(octets)
    }

    /// Octets that are wanted of the body, if they are known and come first in it.
    pub(super) fn length(&self) -> Option<u64> {
        let length = self.answer.length().filter(|_| self.skip == 0)?;
        self.left
            .is_none_or(|left| left == length)
            .then_some(length)
    }

    /// The answer, whatever is wanted of it.
    pub(super) fn into_answer(self) -> Answer<'a> {
        self.answer
    }

    /// The answer.
    pub(super) fn answer(&self) -> &Answer<'a> {
        &self.answer
    }

    /// What was asked for, for people.
    pub(super) fn shown(&self) -> &str {
        &self.answer.shown
    }

    /// Ends it; the connection serves others, if little is left of the body.
    pub(super) async fn finish(self) {
        if self.has_ended {
            self.answer.finish();
        } else {
            self.answer.discard().await;
        }
    }
}
