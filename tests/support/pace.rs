//! Time as a test's threads get it. A deadline promises how long a call waits for somebody else, not when a machine gives the caller a
//! processor again; so what the machine keeps to itself is taken off before a call is said to be late. Used through `#[path]`.
//!
//! On each processor that this process may use a thread sleeps and looks how late it wakes: of each, since one may be taken
//! away while another goes on. Less than [`USUAL`] at a time is scheduling, which a test's own slack is for. `tests/tiers.rs`
//! shows that a stopped process is excused, and that waiting is not.
#![allow(unsafe_code, dead_code, unreachable_pub)]

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// How often it is looked.
const STEP: Duration = Duration::from_millis(5);

/// What is never taken off, so that on a machine that is only busy a call that is late is told to be so.
const USUAL: Duration = Duration::from_millis(50);

struct Watch {
    /// When something was to run and did not, from when to when.
    stalls: Vec<(Instant, Instant)>,
    /// When the watcher of each processor should be awake again.
    due: Vec<Instant>,
}

/// The watchers of this process, which end with it.
fn watch() -> &'static Mutex<Watch> {
    static WATCH: OnceLock<Mutex<Watch>> = OnceLock::new();
    let mut starts = Vec::new();
    let watch = WATCH.get_or_init(|| {
        starts = allowed();
        Mutex::new(Watch { stalls: Vec::new(), due: vec![Instant::now() + STEP; starts.len()] })
    });
    for (index, processor) in starts.into_iter().enumerate() {
        std::thread::spawn(move || {
            stay_on(processor);
            loop {
                std::thread::sleep(STEP);
                let mut watch = watch.lock().unwrap_or_else(PoisonError::into_inner);
                let (due, now) = (watch.due[index], Instant::now());
                if now.saturating_duration_since(due) > USUAL {
                    watch.stalls.push((due, now));
                }
                watch.due[index] = now + STEP;
            }
        });
    }
    watch
}

/// The numbers of the processors that this process may use.
fn allowed() -> Vec<usize> {
    // SAFETY: a set is plain numbers, and the call writes one of this size.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        assert_eq!(libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set), 0);
        (0..libc::CPU_SETSIZE as usize).filter(|number| libc::CPU_ISSET(*number, &set)).collect()
    }
}

/// Keeps this thread on a processor; where that is refused, it watches whichever it is on.
fn stay_on(processor: usize) {
    // SAFETY: as above.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(processor, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set);
    }
}

/// Measures a call.
pub struct Stopwatch(Instant);

impl Stopwatch {
    pub fn start() -> Self {
        watch();
        Self(Instant::now())
    }

    /// How long it has taken, without the times in which the machine has kept a processor to itself.
    pub fn took(&self) -> Duration {
        let (begun, now) = (self.0, Instant::now());
        let elapsed = now - begun;
        if elapsed < USUAL {
            return elapsed;
        }
        let watch = watch().lock().unwrap_or_else(PoisonError::into_inner);
        // Who is given his processor before its watcher is, is to know of that, too.
        let late = watch.due.iter().filter(|due| now.saturating_duration_since(**due) > USUAL).map(|due| (*due, now));
        let mut stalls: Vec<_> = watch.stalls.iter().copied().chain(late).filter(|(_, until)| *until > begun).collect();
        drop(watch);
        stalls.sort_unstable();
        let (mut lost, mut counted) = (Duration::ZERO, begun);
        for (from, until) in stalls {
            lost += until.saturating_duration_since(from.max(counted));
            counted = counted.max(until);
        }
        elapsed.saturating_sub(lost)
    }
}
