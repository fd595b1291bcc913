//! How the options of a job are set, and how it changes hands.

use super::Job;
use crate::bits::Effect;
use crate::bits::Hresult;
use crate::bits::Now;
use crate::bits::OptionChange;
use crate::bits::OptionRefused;
use crate::bits::Owner;
use crate::bits::Priority;
use crate::bits::Refused;
use crate::bits::Stage;

impl Job {
    /// What the rules of options look at.
    pub(crate) fn stage(&self) -> Stage {
        Stage {
            kind: self.kind,
            was_resumed: self.was_resumed,
        }
    }

    /// Sets options: all of them or, on an error, none.
    ///
    /// # Errors
    ///
    /// [`OptionRefused`]; `BG_E_INVALID_STATE` when the job is final or on its
    /// way there.
    pub(crate) fn set_options(
        &mut self,
        changes: impl IntoIterator<Item = OptionChange>,
        now: impl Into<Now>,
    ) -> Result<Effect, OptionRefused> {
        let now = now.into();
        let mut next = self.clone();
        for change in changes {
            let option = change.name();
            self.check_open()
                .map_err(|Refused(code)| OptionRefused { option, code })?;
            next.0.options.set(change, self.stage())?;
        }
        if next.options == self.options {
            return Ok(Effect::Unchanged);
        }
        let mut effect = Effect::Changed;
        if next.options.is_foreground_only(next.kind) && next.priority != Priority::Foreground {
            next.0.priority = Priority::Foreground;
            effect = Effect::Schedule;
        }
        let (old, new) = (&self.options, next.options.clone());
        if new.maximum_download_time_s != old.maximum_download_time_s {
            effect = Effect::Schedule;
        }
        if new.start_after != old.start_after && next.follow_start_after(now) == Effect::Schedule {
            effect = Effect::Schedule;
        }
        next.0.modified_at = now.date;
        *self = next;
        Ok(effect)
    }

    /// Another owner has the job from now on; what the last one trusted it with
    /// does not go along ("`IBackgroundCopyJob::TakeOwnership`"), and the queries of
    /// its addresses are not shown.
    ///
    /// # Errors
    ///
    /// [`Refused`] with `BG_E_INVALID_STATE` when the job is final or on its way
    /// there.
    pub(crate) fn take_over(
        &mut self,
        owner: Owner,
        now: impl Into<Now>,
    ) -> Result<Effect, Refused> {
        self.check_open()?;
        if self.owner == owner {
            return Ok(Effect::Unchanged);
        }
        self.0.owner = owner;
        self.0.client_certificate = None;
        self.0.options.hides_queries = true;
        self.0.options.has_custom_headers = false;
        self.0.options.headers_are_write_only = false;
        self.0.modified_at = now.into().date;
        Ok(Effect::Schedule)
    }

    /// Did `account` write the addresses of the files? The query of an address is
    /// a secret, which whoever takes a job over does not learn.
    pub(crate) fn shows_queries_to(&self, account: &Owner) -> bool {
        self.owner == *account && !self.options.hides_queries
    }

    /// The priority that a client may set.
    ///
    /// # Errors
    ///
    /// [`Refused`] with `BG_E_READ_ONLY_PROPERTY` when the job runs in the
    /// foreground for good.
    pub(super) fn check_priority(&self, priority: Priority) -> Result<(), Refused> {
        let is_fixed = self.options.is_foreground_only(self.kind);
        if is_fixed && priority != Priority::Foreground {
            return Err(Refused(Hresult::BG_E_READ_ONLY_PROPERTY));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::bits::Input;
    use crate::bits::JobId;
    use crate::bits::JobOptions;
    use crate::bits::NewFile;
    use crate::bits::NewJob;
    use crate::bits::Timestamp;

    const NOW: Timestamp = Timestamp::from_ticks(1_000_000_000);

    fn job(options: JobOptions) -> Job {
        let new = NewJob {
            display_name: "a".to_owned(),
            files: vec![NewFile::default()],
            suspended: true,
            options,
            ..NewJob::default()
        };
        let (job, _) = Job::create(JobId::new(), Owner::new("ann"), new, NOW).expect("a job");
        job
    }

    fn method(text: &str) -> OptionChange {
        OptionChange::Method(Some(text.to_owned()))
    }

    #[test]
    fn another_method_makes_a_foreground_job_for_good() {
        let mut job = job(JobOptions::default());
        assert_eq!(job.set_options([method("POST")], NOW), Ok(Effect::Schedule));
        assert_eq!(job.priority, Priority::Foreground);
        let lower = crate::bits::Changes {
            priority: Some(2),
            ..crate::bits::Changes::default()
        };
        assert_eq!(
            job.set(lower, NOW),
            Err(Refused(Hresult::BG_E_READ_ONLY_PROPERTY))
        );
        job.set_options([method("GET")], NOW).expect("not resumed");
        assert_eq!(job.priority, Priority::Foreground);
    }

    #[test]
    fn a_job_is_made_in_the_foreground_with_another_method() {
        let options = JobOptions {
            method: Some("POST".to_owned()),
            ..JobOptions::default()
        };
        assert_eq!(job(options).priority, Priority::Foreground);
    }

    #[test]
    fn all_options_are_set_or_none() {
        let mut job = job(JobOptions::default());
        job.apply(Input::Resume, NOW).expect("has a file");
        let before = job.clone();
        let refused = job.set_options([OptionChange::SecurityFlags(2), method("POST")], NOW);
        assert_eq!(
            refused,
            Err(OptionRefused {
                option: "HttpMethod",
                code: Hresult::BG_E_READ_ONLY_PROPERTY_AFTER_RESUME
            })
        );
        assert_eq!(job, before);
    }

    #[test]
    fn a_queued_job_waits_until_its_start() {
        let mut job = job(JobOptions::default());
        job.apply(Input::Resume, NOW).expect("has a file");
        let later = NOW + Duration::from_mins(1);
        let set = |job: &mut Job, at| job.set_options([OptionChange::StartAfter(at)], NOW);
        assert_eq!(set(&mut job, Some(later)), Ok(Effect::Schedule));
        assert_eq!(job.wake_at, Some(later));
        assert_eq!(set(&mut job, None), Ok(Effect::Schedule));
        assert_eq!(job.wake_at, None);
    }

    #[test]
    fn a_job_that_is_ended_keeps_its_options() {
        let mut job = job(JobOptions::default());
        job.apply(Input::Cancel, NOW).expect("open");
        let refused = job.set_options([OptionChange::SecurityFlags(2)], NOW);
        assert_eq!(
            refused.map_err(|refused| refused.code),
            Err(Hresult::BG_E_INVALID_STATE)
        );
        assert_eq!(job.set_options([], NOW), Ok(Effect::Unchanged));
    }

    #[test]
    fn what_the_last_owner_trusted_a_job_with_does_not_go_along() {
        let mut job = job(JobOptions {
            has_custom_headers: true,
            headers_are_write_only: true,
            ..JobOptions::default()
        });
        let new = Owner::new("root");
        assert_eq!(job.take_over(new.clone(), NOW), Ok(Effect::Schedule));
        assert_eq!(job.owner, new);
        assert_eq!(
            job.options,
            JobOptions {
                hides_queries: true,
                ..JobOptions::default()
            }
        );
        assert!(!job.shows_queries_to(&new));
        assert_eq!(job.take_over(new, NOW), Ok(Effect::Unchanged));
    }
}
