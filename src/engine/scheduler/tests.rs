//! Single decisions, and whole days of a line with many accounts.

use std::convert::Infallible;

use proptest::prelude::*;

use super::*;

const SLICE: Duration = Duration::from_secs(10);

const SLOTS: Slots = Slots {
    count: 2,
    per_user: None,
    per_host: None,
    time_slice: SLICE,
};

/// A line in the order in which its jobs came.
#[derive(Clone, Debug, Default)]
struct Queue(Vec<Queued>);

impl Line for Queue {
    type Error = Infallible;

    fn owners(
        &self,
        level: Priority,
        after: Option<&Owner>,
        limit: usize,
    ) -> Result<Vec<Owner>, Infallible> {
        let mut owners: Vec<Owner> = self.at(level).map(|job| job.owner.clone()).collect();
        owners.retain(|owner| after.is_none_or(|after| owner > after));
        owners.sort();
        owners.dedup();
        owners.truncate(limit);
        Ok(owners)
    }

    fn of(&self, level: Priority, owner: &Owner, limit: usize) -> Result<Vec<Queued>, Infallible> {
        let line = self.at(level).filter(|job| job.owner == *owner);
        Ok(line.take(limit).cloned().collect())
    }

    fn hosts(
        &self,
        level: Priority,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, Infallible> {
        let mut hosts: Vec<String> = self.at(level).map(|job| job.host.clone()).collect();
        hosts.retain(|host| after.is_none_or(|after| host.as_str() > after));
        hosts.sort();
        hosts.dedup();
        hosts.truncate(limit);
        Ok(hosts)
    }

    fn to(&self, level: Priority, host: &str, limit: usize) -> Result<Vec<Queued>, Infallible> {
        let line = self.at(level).filter(|job| job.host == host);
        Ok(line.take(limit).cloned().collect())
    }
}

impl Queue {
    fn at(&self, level: Priority) -> impl Iterator<Item = &Queued> {
        self.0.iter().filter(move |job| job.priority == level)
    }

    fn remove(&mut self, id: JobId) -> Queued {
        let at = self.0.iter().position(|job| job.id == id);
        self.0.remove(at.expect("who starts stands in the line"))
    }
}

fn id(number: u32) -> JobId {
    let mut octets = [0; 16];
    octets[..4].copy_from_slice(&number.to_be_bytes());
    JobId::from_octets(octets)
}

fn job(number: u32, owner: &str, priority: Priority) -> Queued {
    Queued {
        id: id(number),
        owner: Owner::new(owner),
        host: "h".to_owned(),
        priority,
    }
}

fn running(number: u32, owner: &str, priority: Priority, started_s: u64) -> Running {
    Running {
        job: job(number, owner, priority),
        started_at: at(started_s),
        is_ending: false,
    }
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::default() + Duration::from_secs(seconds)
}

fn in_background(holders: &[Running], line: &[Queued], slots: Slots, now: Timestamp) -> Decision {
    let queue = Queue(line.to_vec());
    let mut turns = Turns::default();
    let Ok(decision) = decide(&queue, BACKGROUND, holders, slots, &mut turns, now);
    decision
}

#[test]
fn free_slots_go_to_the_most_urgent() {
    let line = [
        job(3, "a", Priority::Low),
        job(2, "a", Priority::Normal),
        job(1, "a", Priority::High),
        job(4, "a", Priority::Foreground),
    ];
    let decision = in_background(&[], &line, SLOTS, at(0));
    assert_eq!(decision.start, [id(1), id(2)]);
    assert!(decision.preempt.is_empty());
}

#[test]
fn foreground_jobs_start_all_at_once_beside_the_background() {
    let holders = [
        running(1, "a", Priority::Normal, 0),
        running(2, "a", Priority::Normal, 0),
    ];
    let line = Queue(
        (10..30)
            .map(|n| job(n, "a", Priority::Foreground))
            .collect(),
    );
    let many = Slots {
        count: 256,
        ..SLOTS
    };
    let mut turns = Turns::default();
    let Ok(decision) = decide(&line, FOREGROUND, &holders, many, &mut turns, at(0));
    assert_eq!(decision.start.len(), 20);
    assert!(decision.preempt.is_empty());
}

#[test]
fn an_urgent_job_takes_the_slot_of_the_least_urgent_at_once() {
    let holders = [
        running(1, "a", Priority::Low, 5),
        running(2, "a", Priority::Normal, 0),
    ];
    let decision = in_background(&holders, &[job(3, "b", Priority::High)], SLOTS, at(6));
    assert_eq!(decision.preempt, [id(1)]);
    assert!(decision.start.is_empty());
}

#[test]
fn a_slot_that_is_being_freed_is_not_freed_twice() {
    let mut ending = running(1, "a", Priority::Low, 5);
    ending.is_ending = true;
    let holders = [ending, running(2, "a", Priority::Normal, 5)];
    let decision = in_background(&holders, &[job(3, "b", Priority::High)], SLOTS, at(6));
    assert_eq!((decision.start, decision.preempt), (vec![], vec![]));
}

#[test]
fn equals_take_turns_when_the_slice_is_over() {
    let holders = [
        running(1, "a", Priority::Normal, 0),
        running(2, "a", Priority::Normal, 4),
    ];
    let line = [job(3, "a", Priority::Normal)];
    let early = in_background(&holders, &line, SLOTS, at(9));
    assert_eq!((early.preempt, early.look_at), (vec![], Some(at(10))));
    let decision = in_background(&holders, &line, SLOTS, at(10));
    assert_eq!(decision.preempt, [id(1)]);
}

#[test]
fn an_account_with_many_jobs_does_not_take_the_slot_of_one_with_few() {
    let holders = [
        running(1, "many", Priority::Normal, 0),
        running(2, "few", Priority::Normal, 0),
    ];
    let line: Vec<Queued> = (10..99).map(|n| job(n, "many", Priority::Normal)).collect();
    let decision = in_background(&holders, &line, SLOTS, at(100));
    assert_eq!(decision.preempt, [id(1)]);
}

#[test]
fn at_its_limit_an_account_swaps_its_own_jobs_only() {
    let slots = Slots {
        per_user: Some(1),
        ..SLOTS
    };
    let holders = [
        running(1, "a", Priority::Low, 0),
        running(2, "b", Priority::Low, 0),
    ];
    let line = [job(3, "a", Priority::High), job(4, "a", Priority::High)];
    let decision = in_background(&holders, &line, slots, at(1));
    assert_eq!((decision.start, decision.preempt), (vec![], vec![id(1)]));
    let decision = in_background(&holders[..1], &line[..0], slots, at(1));
    assert_eq!(decision, Decision::default());
}

#[test]
fn a_host_that_has_enough_does_not_keep_a_slot_idle() {
    let slots = Slots {
        per_host: Some(1),
        ..SLOTS
    };
    let holders = [running(1, "a", Priority::Normal, 0)];
    let mut line: Vec<Queued> = (10..500).map(|n| job(n, "a", Priority::Normal)).collect();
    line.push(Queued {
        host: "other".to_owned(),
        ..job(500, "a", Priority::Normal)
    });
    assert_eq!(
        in_background(&holders, &line, slots, at(1)).start,
        [id(500)]
    );
}

#[test]
fn a_limit_holds_until_those_have_ended_who_lose_their_slots() {
    let slots = Slots {
        count: 3,
        per_user: Some(1),
        per_host: Some(1),
        time_slice: SLICE,
    };
    let to = |host: &str, job: Queued| Queued {
        host: host.to_owned(),
        ..job
    };
    // One of A's takes the slot of another one, which fetches from H.
    let holders = [running(1, "a", Priority::Low, 0)];
    let line = [
        to("other", job(2, "a", Priority::High)),
        job(3, "b", Priority::Low),
    ];
    let decision = in_background(&holders, &line, slots, at(1));
    assert_eq!((decision.start, decision.preempt), (vec![], vec![id(1)]));
}

#[test]
fn who_lost_the_slot_does_not_get_it_back_before_the_one_it_was_taken_for() {
    let mut queue = Queue(vec![job(3, "c", Priority::Normal)]);
    let mut turns = Turns::default();
    turns.0[Priority::Normal as usize].after = Some(Owner::new("a"));
    // B has run longest; after A it would be B's turn in the round.
    let holders = [
        running(1, "b", Priority::Normal, 0),
        running(2, "a", Priority::Normal, 1),
    ];
    let Ok(first) = decide(&queue, BACKGROUND, &holders, SLOTS, &mut turns, at(10));
    assert_eq!(first.preempt, [id(1)]);
    queue.0.push(holders[0].job.clone());
    let Ok(second) = decide(&queue, BACKGROUND, &holders[1..], SLOTS, &mut turns, at(10));
    assert_eq!(second.start, [id(3)]);
}

/// A service that runs jobs as it is told to: each job needs so many seconds
/// of a slot.
struct Day {
    queue: Queue,
    running: Vec<Running>,
    left: std::collections::HashMap<JobId, u64>,
    turns: Turns,
    slots: Slots,
    now: u64,
    /// How long each job has waited since it last ran.
    waited: std::collections::HashMap<JobId, u64>,
}

impl Day {
    fn new(jobs: &[(u32, u32, u32, u64)], slots: Slots) -> Self {
        let mut day = Self {
            queue: Queue::default(),
            running: Vec::new(),
            left: std::collections::HashMap::new(),
            turns: Turns::default(),
            slots,
            now: 0,
            waited: std::collections::HashMap::new(),
        };
        for (number, (owner, host, priority, needs)) in (0..).zip(jobs) {
            day.queue.0.push(Queued {
                id: id(number),
                owner: Owner::new(&format!("owner {owner}")),
                host: format!("host {host}"),
                priority: Priority::from_number(*priority).expect("in range"),
            });
            day.left.insert(id(number), *needs);
        }
        day
    }

    /// One second: decide until nothing more is to do, then run.
    fn second(&mut self) -> Result<(), TestCaseError> {
        for _ in 0..1_000 {
            let (queue, now) = (self.queue.clone(), at(self.now));
            let Ok(decision) = decide(
                &queue,
                BACKGROUND,
                &self.running,
                self.slots,
                &mut self.turns,
                now,
            );
            if decision.start.is_empty() && decision.preempt.is_empty() {
                self.check()?;
                self.run();
                return Ok(());
            }
            for id in decision.preempt {
                let at = self.running.iter().position(|holder| holder.job.id == id);
                let holder = self.running.remove(at.expect("runs"));
                self.queue.0.push(holder.job);
            }
            for id in decision.start {
                let job = self.queue.remove(id);
                self.waited.remove(&id);
                self.running.push(Running {
                    job,
                    started_at: at(self.now),
                    is_ending: false,
                });
            }
        }
        Err(TestCaseError::fail("it never comes to rest"))
    }

    fn held(&self, is: impl Fn(&Queued) -> bool) -> usize {
        self.running.iter().filter(|holder| is(&holder.job)).count()
    }

    fn may_start(&self, job: &Queued) -> bool {
        let user = self.slots.per_user.unwrap_or(usize::MAX);
        let host = self.slots.per_host.unwrap_or(usize::MAX);
        self.held(|other| other.owner == job.owner) < user
            && self.held(|other| other.host == job.host) < host
    }

    fn check(&self) -> Result<(), TestCaseError> {
        prop_assert!(self.running.len() <= self.slots.count, "too many run");
        for holder in &self.running {
            let user = self.held(|other| other.owner == holder.job.owner);
            prop_assert!(user <= self.slots.per_user.unwrap_or(usize::MAX));
            let host = self.held(|other| other.host == holder.job.host);
            prop_assert!(host <= self.slots.per_host.unwrap_or(usize::MAX));
        }
        for waiting in self.queue.0.iter().filter(|job| self.may_start(job)) {
            prop_assert!(
                self.running.len() == self.slots.count,
                "a slot is idle while {waiting:?} waits"
            );
            let less_urgent = self.held(|other| other.priority > waiting.priority);
            prop_assert_eq!(
                less_urgent,
                0,
                "less urgent jobs run while {:?} waits",
                waiting
            );
        }
        Ok(())
    }

    fn run(&mut self) {
        self.now += 1;
        for job in &self.queue.0 {
            *self.waited.entry(job.id).or_default() += 1;
        }
        let left = &mut self.left;
        self.running.retain(|holder| {
            let left = left.get_mut(&holder.job.id).expect("known");
            *left -= 1;
            *left > 0
        });
    }
}

fn jobs(most_levels: u32) -> impl Strategy<Value = Vec<(u32, u32, u32, u64)>> {
    prop::collection::vec((0_u32..6, 0_u32..4, 1..=most_levels, 1_u64..40), 1..40)
}

fn slots() -> impl Strategy<Value = Slots> {
    let limit = || prop::option::of(1_usize..4);
    (1_usize..5, limit(), limit()).prop_map(|(count, per_user, per_host)| Slots {
        count,
        per_user,
        per_host,
        time_slice: SLICE,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn no_slot_is_idle_no_limit_is_broken_and_all_jobs_end(jobs in jobs(3), slots in slots()) {
        let work: u64 = jobs.iter().map(|job| job.3).sum();
        let mut day = Day::new(&jobs, slots);
        // One at a time at worst: every second some job goes on.
        for _ in 0..=work {
            day.second()?;
        }
        prop_assert!(day.queue.0.is_empty() && day.running.is_empty(), "{:?}", day.queue);
    }

    #[test]
    fn nobody_waits_longer_than_a_round_of_slices(jobs in jobs(1), count in 1_usize..5) {
        let slots = Slots { count, ..SLOTS };
        let mut day = Day::new(&jobs, slots);
        // The accounts take turns, and so do the jobs of an account.
        let owners = 6;
        let most_of_one = (0..6).map(|owner| jobs.iter().filter(|job| job.0 == owner).count()).max();
        let round = SLICE.as_secs() * (owners * most_of_one.unwrap_or_default() as u64 + 1);
        while !day.queue.0.is_empty() {
            day.second()?;
            for (id, waited) in &day.waited {
                prop_assert!(*waited <= round, "{id} waits for {waited} s");
            }
        }
    }

    #[test]
    fn an_account_with_one_job_does_not_wait_for_those_with_many(
        others in 1_u32..5, of_each in 1_u32..50, count in 1_usize..4,
    ) {
        let mut jobs: Vec<(u32, u32, u32, u64)> = (0..of_each)
            .flat_map(|_| (0..others).map(|owner| (owner, 0, 2, 1_000)))
            .collect();
        jobs.push((9, 0, 2, 1));
        let last = id(u32::try_from(jobs.len() - 1).expect("few"));
        let mut day = Day::new(&jobs, Slots { count, ..SLOTS });
        let mut waited = 0;
        while day.queue.0.iter().any(|job| job.id == last) {
            day.second()?;
            waited += 1;
            prop_assert!(waited <= SLICE.as_secs() * u64::from(others) + 1, "{waited} s");
        }
    }

    #[test]
    fn a_job_that_is_held_and_started_again_waits_no_longer_than_one_that_comes_then(
        jobs in jobs(1), count in 1_usize..4, at_s in 1_u64..30, which in any::<prop::sample::Index>(),
    ) {
        let mut day = Day::new(&jobs, Slots { count, ..SLOTS });
        for _ in 0..at_s {
            day.second()?;
        }
        if day.queue.0.is_empty() {
            return Ok(());
        }
        // Held and started again at once, it stands at the end of the line of
        // its own account, just before one that comes then.
        let held = day.queue.0.remove(which.index(day.queue.0.len()));
        let fresh = Queued { id: id(9_999), ..held.clone() };
        day.left.insert(fresh.id, 5);
        day.queue.0.extend([held.clone(), fresh.clone()]);
        let waits = |day: &Day, id| day.queue.0.iter().any(|job| job.id == id);
        while waits(&day, held.id) {
            day.second()?;
            prop_assert!(waits(&day, fresh.id) || !waits(&day, held.id), "it was overtaken");
        }
    }
}
