//! Transfers that a test plays: it says what they report and how they end, and
//! that goes the way of real ones.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;

use super::Ended;
use super::Failed;
use super::Files;
use super::Report;
use super::Run;
use super::outcome;
use super::record_batch;
use crate::bits::Effect;
use crate::bits::FileReport;
use crate::bits::Input;
use crate::bits::JobId;
use crate::engine::Error;
use crate::engine::core::Core;
use crate::engine::slots::EndOfRun;
use crate::transfer::Failure;

/// The jobs whose transfers have begun, for the test to take.
#[derive(Default)]
pub(in crate::engine) struct Stage(Mutex<HashMap<JobId, Played>>);

/// A run without transfers of its own.
pub(in crate::engine) struct Played {
    id: JobId,
    pub(in crate::engine) run: Arc<Run>,
    files: Files,
    /// How it ended, though that is not kept yet.
    owed: Option<Input>,
    /// Held: the slot is taken until this goes.
    _done: EndOfRun,
}

/// How the files of a run came to their end.
#[derive(Clone, Debug)]
pub(in crate::engine) enum End {
    Done,
    Stopped,
    Failed(Option<u32>, Failure),
}

impl Stage {
    pub(in crate::engine) fn enter(&self, id: JobId, run: Arc<Run>, done: EndOfRun) {
        let played = Played {
            id,
            run,
            files: Files::default(),
            owed: None,
            _done: done,
        };
        let before = self.plays().insert(id, played);
        assert!(before.is_none(), "a job runs twice");
    }

    pub(in crate::engine) fn plays(&self) -> std::sync::MutexGuard<'_, HashMap<JobId, Played>> {
        self.0.lock().expect("not poisoned")
    }
}

impl Played {
    /// Takes in what the transfer of a file says, in one commit.
    pub(in crate::engine) async fn say(
        &mut self,
        core: &Core,
        index: u32,
        said: Vec<FileReport>,
    ) -> Result<(), Error> {
        let mut batch = Vec::new();
        for said in said {
            let file = if self.files.open.contains_key(&index) || !batch.is_empty() {
                None
            } else {
                core.store.files(self.id, index, 1)?.pop()
            };
            batch.push(Report {
                index,
                file,
                said,
                kept: None,
            });
        }
        let kept = record_batch(core, self.id, &self.run, &mut self.files, &mut batch).await;
        if let Err(error) = &kept {
            self.run.stop.cancel();
            self.owed = outcome(core, self.id, Ok(Ended::Stopped), Err(error.clone()));
        }
        kept
    }

    /// Something could not be kept: there is but one end.
    pub(in crate::engine) fn owes(&self) -> bool {
        self.owed.is_some()
    }

    /// Ends; gives what came of it, once that is kept.
    pub(in crate::engine) async fn end(&mut self, core: &Core, end: End) -> Result<Effect, Error> {
        if self.owed.is_none() {
            let fetched = match end {
                End::Done => Ok(Ended::Done),
                End::Stopped => Ok(Ended::Stopped),
                End::Failed(file, failure) => {
                    self.run.stop.cancel();
                    Err(Failed { file, failure })
                }
            };
            self.owed = outcome(core, self.id, fetched, Ok(()));
        }
        let Some(input) = self.owed.clone() else {
            return Ok(Effect::Unchanged);
        };
        let effect = core.advance(self.id, input).await?;
        self.owed = None;
        Ok(effect)
    }
}
