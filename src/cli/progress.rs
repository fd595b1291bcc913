//! A bar with rate and remaining time; plain lines where nobody sees a bar.

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::HumanBytes;
use indicatif::HumanDuration;
use indicatif::ProgressBar;
use indicatif::ProgressDrawTarget;
use indicatif::ProgressStyle;
use tokio::time::Instant;

use super::output;

/// The progress of one job.
pub(super) enum Progress {
    /// On a terminal.
    Bar(ProgressBar),
    /// Everywhere else.
    Lines(Lines),
}

/// What a plain line needs to know of the past.
pub(super) struct Lines {
    started_at: Instant,
    first: Option<u64>,
    printed_at: Option<Instant>,
    last: String,
}

impl Progress {
    /// A progress of nothing yet.
    pub(super) fn new() -> Self {
        if !std::io::stdout().is_terminal() {
            return Self::Lines(Lines {
                started_at: Instant::now(),
                first: None,
                printed_at: None,
                last: String::new(),
            });
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stdout());
        bar.set_style(style(SPINNER));
        Self::Bar(bar)
    }

    /// Shows how far it has come; `state` is a word.
    pub(super) fn show(&mut self, state: &str, transferred: u64, total: Option<u64>) {
        match self {
            Self::Bar(bar) => {
                if bar.length() != total {
                    match total {
                        Some(total) => {
                            bar.set_length(total);
                            bar.set_style(style(BAR));
                        }
                        None => bar.set_style(style(SPINNER)),
                    }
                }
                bar.set_message(state.to_owned());
                bar.set_position(transferred);
                bar.tick();
            }
            Self::Lines(lines) => lines.show(state, transferred, total),
        }
    }

    /// Leaves what was shown last.
    pub(super) fn finish(self) {
        if let Self::Bar(bar) = self {
            bar.abandon();
        }
    }
}

impl Lines {
    fn show(&mut self, state: &str, transferred: u64, total: Option<u64>) {
        let now = Instant::now();
        let first = *self.first.get_or_insert(transferred);
        let news = state != self.last;
        let waited = self.printed_at.is_none_or(|at| now - at >= BETWEEN_LINES);
        if !news && !waited {
            return;
        }
        state.clone_into(&mut self.last);
        self.printed_at = Some(now);
        let rate = rate(transferred - first.min(transferred), now - self.started_at);
        output::line(&plain(state, transferred, total, rate));
    }
}

/// A line for a log.
fn plain(state: &str, transferred: u64, total: Option<u64>, rate: u64) -> String {
    let done = HumanBytes(transferred);
    let Some(total) = total else {
        return with_rate(format!("{state}: {done} / UNKNOWN"), rate);
    };
    let percent = (u128::from(transferred) * 100)
        .checked_div(u128::from(total))
        .unwrap_or(100);
    let line = format!("{state}: {percent} %, {done} / {}", HumanBytes(total));
    let mut line = with_rate(line, rate);
    if let Some(left) = total.saturating_sub(transferred).checked_div(rate)
        && left > 0
    {
        let left = HumanDuration(Duration::from_secs(left));
        // Writing to a string does not fail.
        let _ = write!(line, ", {left} left");
    }
    line
}

/// The first line has no rate to tell.
fn with_rate(line: String, rate: u64) -> String {
    match rate {
        0 => line,
        _ => format!("{line}, {}/s", HumanBytes(rate)),
    }
}

/// Octets a second.
fn rate(octets: u64, span: Duration) -> u64 {
    let per_s = u128::from(octets) * 1_000 / span.as_millis().max(1);
    u64::try_from(per_s).unwrap_or(u64::MAX)
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

const BAR: &str = "{msg:13} [{bar:30}] {percent:>3} % {bytes} / {total_bytes}, {binary_bytes_per_sec}, {eta} left";
const SPINNER: &str = "{msg:13} {spinner} {bytes} / UNKNOWN, {binary_bytes_per_sec}";

/// So that a log of a long transfer stays short.
const BETWEEN_LINES: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_line_tells_rate_and_what_is_left() {
        let mib = 1_048_576;
        assert_eq!(
            plain("Transferring", 10 * mib, Some(40 * mib), 10 * mib),
            "Transferring: 25 %, 10.00 MiB / 40.00 MiB, 10.00 MiB/s, 3 seconds left"
        );
        assert_eq!(plain("Connecting", 0, None, 0), "Connecting: 0 B / UNKNOWN");
        assert_eq!(
            plain("Transferred", 0, Some(0), 0),
            "Transferred: 100 %, 0 B / 0 B"
        );
        assert_eq!(rate(1_000, Duration::ZERO), 1_000_000);
    }
}
