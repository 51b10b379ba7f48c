//! The system's clocks.

use agentguard_core::{Clock, Moment};
use rustix::time::{ClockId, Timespec, clock_gettime};

/// The clocks of this machine.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Moment {
        let (wall, boot) = (
            clock_gettime(ClockId::Realtime),
            clock_gettime(ClockId::Boottime),
        );
        Moment {
            unix_micros: nanos(wall) / 1000,
            boot_nanos: nanos(boot),
        }
    }
}

/// A time before 1970 is 1970: the log says then that the clock is off.
fn nanos(time: Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0))
}
