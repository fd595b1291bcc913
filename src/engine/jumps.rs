//! Notices when the calendar is set, or the host wakes from sleep: jobs that
//! wait for a date are then looked at again.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::time::Itimerspec;
use rustix::time::TimerfdClockId;
use rustix::time::TimerfdFlags;
use rustix::time::TimerfdTimerFlags;
use rustix::time::Timespec;
use tokio::io::unix::AsyncFd;
use tracing::info;
use tracing::warn;

use super::core::Core;
use super::readable::readable;

/// Lets the scheduler look whenever the calendar jumps, until the service stops.
pub(super) async fn watch(core: Arc<Core>) {
    let timer = match timer() {
        Ok(timer) => timer,
        Err(error) => {
            warn!(%error, "Jumps of the calendar are not told; it is looked at now and then");
            return;
        }
    };
    loop {
        tokio::select! {
            () = core.stop.cancelled() => return,
            ready = timer.readable() => match ready {
                Ok(mut ready) => ready.clear_ready(),
                Err(_) => return,
            }
        }
        // Reading says `ECANCELED`; setting it anew arms it again.
        let mut count = [0; 8];
        let _ = rustix::io::read(&timer, &mut count);
        if let Err(error) = arm(&timer) {
            warn!(%error, "Jumps of the calendar are not told any more");
            return;
        }
        info!("The clock of this host was set");
        core.look();
    }
}

fn timer() -> io::Result<AsyncFd<OwnedFd>> {
    let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
    let timer = rustix::time::timerfd_create(TimerfdClockId::Realtime, flags)?;
    let timer = readable(timer)?;
    arm(&timer)?;
    Ok(timer)
}

/// Never, unless the calendar is set.
fn arm(timer: &AsyncFd<OwnedFd>) -> io::Result<()> {
    let never = Itimerspec {
        it_interval: Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        },
        it_value: Timespec {
            tv_sec: NEVER_S,
            tv_nsec: 0,
        },
    };
    let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
    rustix::time::timerfd_settime(timer, flags, &never)?;
    Ok(())
}

/// In the year 2242, within what the kernel counts.
const NEVER_S: i64 = 1 << 33;
