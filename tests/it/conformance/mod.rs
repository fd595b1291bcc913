//! The conformance suite: requests as real clients send them, answers compared
//! whole.
//!
//! `tests/fixtures/THEME.toml` tells the stories of a theme: which client sends
//! what, in which order, where the shape of it is known from, and what the
//! answer must be like by the specification. Each theme has a service to
//! itself, and each story an account, which sees nothing of the others' jobs.
//!
//! The requests stand in `tests/fixtures/CLIENT/`, octet by octet as that
//! client writes them but for names in braces, which are filled in:
//! `{MessageID}`, `{JobId}` and whatever else a step sets or keeps. Beside each
//! stands the whole answer, in which what differs from run to run is such a
//! name again.
//!
//! To add one: drop the request into the folder of its client, add a
//! `[[story.step]]` that names it and says what must hold of the answer, run
//! `BITSD_RECORD=1 cargo test --test it conformance`, and review the answer
//! that was written. An answer is recorded only when all that the step says
//! of it holds.

mod client;
mod daemon;
mod document;
mod mask;
mod origin;
mod story;
mod theme;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use daemon::Daemon;
use origin::Origin;
use story::Mode;
use story::Play;
use theme::Theme;
use theme::fixtures;

/// A test a theme, and the list of them.
macro_rules! themes {
    ($($theme:ident: $test:ident,)*) => {
        const THEMES: &[&str] = &[$(stringify!($theme)),*];

        $(
            #[test]
            fn $test() {
                play(stringify!($theme));
            }
        )*
    };
}

themes! {
    identify: identify_is_answered_in_every_form,
    create: instances_come_from_representations,
    transfer: instances_and_fragments_are_got_put_and_deleted,
    invoke: methods_are_called_on_classes_and_instances,
    enumeration: enumerations_run_in_every_mode_to_their_end,
    filters: a_filter_is_held_against_instances_or_refused,
    class_metadata: classes_describe_themselves,
    bitsd: our_own_classes_are_read_set_called_and_listed,
    winrm_config: the_configuration_is_read_and_set,
    languages: sentences_are_in_the_language_of_the_client,
    headers: header_blocks_are_heeded_let_be_or_refused,
    charsets: an_answer_is_written_as_its_request_was,
    faults: what_is_wrong_ends_in_its_fault,
    quotas: a_quota_ends_in_its_fault_or_status,
    mistakes: the_usual_mistakes_get_a_clear_answer,
}

/// Plays every story of a theme against one service.
fn play(name: &str) {
    let theme = Theme::read(name);
    let mode = match std::env::var_os("BITSD_RECORD") {
        Some(_) => Mode::Record,
        None => Mode::Compare,
    };
    let accounts: Vec<_> = theme
        .story
        .iter()
        .map(|story| story.account.as_str())
        .collect();
    let daemon = Daemon::start(&accounts, &theme.settings);
    let origin = Origin::start();
    let mut wrong = Vec::new();
    for story in &theme.story {
        let mut play = Play::new(story, &daemon, &origin);
        for step in &story.step {
            wrong.extend(play.step(step, mode));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    daemon.assert_calm();
}

#[test]
fn every_fixture_belongs_to_a_step_and_says_where_it_comes_from() {
    let (mut requests, mut answers) = (BTreeSet::new(), BTreeSet::new());
    for name in THEMES {
        let theme = Theme::read(name);
        let mut accounts = BTreeSet::new();
        for story in &theme.story {
            assert!(
                !story.source.is_empty() && !story.client.is_empty(),
                "{name}"
            );
            assert!(
                accounts.insert(&story.account),
                "{name}: {} twice",
                story.account
            );
            for step in &story.step {
                assert!(!step.shows.is_empty(), "{}", step.request);
                let text = fs::read_to_string(step.request_file()).expect("the request is there");
                // A value may bring elements: they hold no prefix of their own.
                let filled = text.replace(['{', '}'], "");
                assert_eq!(
                    document::read(&filled).err().is_some(),
                    step.malformed,
                    "{}",
                    step.request
                );
                requests.insert(step.request_file());
                answers.insert(step.answer_file());
            }
        }
    }
    let (mut themes, mut there) = (BTreeSet::new(), BTreeSet::new());
    for path in files() {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("toml") => {
                let stem = path.file_stem().expect("a name").to_string_lossy();
                themes.insert(stem.into_owned());
            }
            Some("xml") => {
                there.insert(path);
            }
            _ => panic!("{} is no fixture", path.display()),
        }
    }
    let listed: BTreeSet<_> = THEMES.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(themes, listed, "a theme has a file and a test");
    let known: BTreeSet<_> = requests.union(&answers).cloned().collect();
    let unknown: Vec<_> = there.difference(&known).collect();
    assert!(unknown.is_empty(), "no step names {unknown:?}");
}

/// Every file below the fixtures.
fn files() -> Vec<PathBuf> {
    let (mut folders, mut found) = (vec![fixtures()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("the folder is there") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found
}
