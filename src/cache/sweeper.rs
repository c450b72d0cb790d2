//! The cache's own thread: frees what has expired though nobody meets it, and gives memory back when it is short. Owned by
//! the cache, which says what there is to do and when something was stored.
//!
//! It is a convenience: nothing is right or wrong because of it. There is none until it is needed, none in a forked child
//! until that needs one, and none once the cache is dropped. It holds the memory tier and never the cache, so that the
//! cache ends with its last user. The host's logger and the cache's listener run on it, outside all locks.

use super::pressure::Gauge;
use crate::clock::Ttl;
use crate::fork::Hold;
use crate::log;
use crate::options::MemoryOptions;
use crate::thread::{guarded, OwnThread};
use crate::tiers::memory::Memory;
use std::sync::atomic::{AtomicU64, AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const NAME: &str = "catzilla-sweep";

/// Enough for a sweep, a logger and a listener, and told to who writes one. Small, because a program may have hundreds of caches, and some lock all their memory.
const STACK_BYTES: usize = 256 << 10;

/// Between two looks at the memory of the system. As the interface promises.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// How much of what it holds a cache gives back at each look that finds memory short.
const SHRINK_DIVISOR: u64 = 10;

/// Which puts start the thread.
mod starts {
    /// None: it runs, or has nothing to do, or could not be started.
    pub(super) const NEVER: u8 = 0;
    /// One whose entry will expire.
    pub(super) const AT_EXPIRING: u8 = 1;
    /// Any.
    pub(super) const AT_ANY: u8 = 2;
}

pub(super) struct Sweeper {
    /// One of [`starts`]. Read by every put, written a few times in a cache's life.
    starts: AtomicU8,
    shared: Arc<Shared>,
    stack_bytes: usize,
}

/// What the thread has of the cache.
struct Shared {
    memory: Arc<Memory>,
    gauge: Gauge,
    look_interval: Duration,
    state: Mutex<State>,
    /// `state` has changed.
    changed: Condvar,
    shrinks: AtomicU64,
}

struct State {
    plan: Plan,
    /// While it is here, the thread owns one share of `Shared`.
    thread: Option<OwnThread<Shared>>,
    stopping: bool,
}

/// What there is to do.
#[derive(Clone, Copy, PartialEq)]
struct Plan {
    /// `None`: nothing is swept.
    sweep_interval: Option<Duration>,
    shrink_on_pressure: bool,
}

impl Plan {
    fn of(options: &MemoryOptions) -> Self {
        let sweep_interval = (!options.sweep_interval.is_zero()).then_some(options.sweep_interval);
        Self { sweep_interval, shrink_on_pressure: options.shrink_on_pressure }
    }

    fn starts(self) -> u8 {
        match self {
            Plan { shrink_on_pressure: true, .. } => starts::AT_ANY,
            Plan { sweep_interval: Some(_), .. } => starts::AT_EXPIRING,
            Plan { .. } => starts::NEVER,
        }
    }
}

impl Sweeper {
    /// Starts nothing yet.
    pub(super) fn new(memory: Arc<Memory>, options: &MemoryOptions) -> Self {
        Self::with(memory, options, Gauge::system(), LOOK_INTERVAL, STACK_BYTES)
    }

    fn with(
        memory: Arc<Memory>,
        options: &MemoryOptions,
        gauge: Gauge,
        look_interval: Duration,
        stack_bytes: usize,
    ) -> Self {
        let plan = Plan::of(options);
        let state = Mutex::new(State { plan, thread: None, stopping: false });
        let (changed, shrinks) = (Condvar::new(), AtomicU64::new(0));
        let shared = Arc::new(Shared { memory, gauge, look_interval, state, changed, shrinks });
        Self { starts: AtomicU8::new(plan.starts()), shared, stack_bytes }
    }

    /// Something was stored with this lifetime.
    #[inline]
    pub(super) fn stored(&self, ttl: Ttl) {
        match self.starts.load(Relaxed) {
            starts::NEVER => {}
            starts::AT_EXPIRING if !ttl.expires() => {}
            _ => self.start(),
        }
    }

    /// As [`Sweeper::stored`], for many.
    #[inline]
    pub(super) fn stored_many(&self, lifetimes: impl Iterator<Item = Ttl>) {
        if self.starts.load(Relaxed) != starts::NEVER {
            lifetimes.for_each(|ttl| self.stored(ttl));
        }
    }

    /// Takes options over. True when there is something new to do, for which the caller has to call [`Sweeper::start`]:
    /// not here, because that may have to tell the logger, and the caller holds a lock.
    #[must_use]
    pub(super) fn configure(&self, options: &MemoryOptions) -> bool {
        let plan = Plan::of(options);
        let mut state = self.shared.lock();
        if state.plan == plan {
            return false;
        }
        state.plan = plan;
        self.shared.changed.notify_all();
        if state.thread.is_none() {
            self.starts.store(plan.starts(), Relaxed);
        }
        plan.starts() != starts::NEVER
    }

    /// Starts the thread if there is none. Where it cannot be started, the cache goes on without it, and the logger is
    /// told; it is tried again when the options change.
    #[cold]
    pub(super) fn start(&self) {
        let started = {
            let mut state = self.shared.lock();
            if state.thread.is_some() || state.stopping {
                return;
            }
            self.starts.store(starts::NEVER, Relaxed);
            OwnThread::spawn(NAME, self.stack_bytes, &self.shared, Shared::serve)
                .map(|thread| state.thread = Some(thread))
        };
        if let Err(error) = started {
            log::warn(|| format!("the thread that frees expired entries could not be started: {error}"));
        }
    }

    /// How often memory was given back because it was short.
    pub(super) fn pressure_shrinks(&self) -> u64 {
        self.shared.shrinks.load(Relaxed)
    }

    /// The lock, for the time of a fork.
    pub(super) fn hold(&self) -> impl Hold + '_ {
        self.shared.lock()
    }

    /// The child has not got the thread. It starts its own when it needs one.
    pub(super) fn after_fork_in_child(&self) {
        let mut state = self.shared.lock();
        if let Some(thread) = state.thread.take() {
            thread.forget_in_child();
        }
        self.starts.store(state.plan.starts(), Relaxed);
    }
}

impl Drop for Sweeper {
    /// Ends the thread, and waits for it if it is in the middle of a sweep.
    fn drop(&mut self) {
        let thread = {
            let mut state = self.shared.lock();
            state.stopping = true;
            state.thread.take()
        };
        self.shared.changed.notify_all();
        if let Some(thread) = thread {
            thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that is done under the lock can leave it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the thread does.
    fn serve(&self) {
        let mut swept = Instant::now();
        let mut looked = None;
        let mut watch = Watch::default();
        let mut state = self.lock();
        while !state.stopping {
            let plan = state.plan;
            let left = |interval: Duration, since: Instant| interval.saturating_sub(since.elapsed());
            let sweep = plan.sweep_interval.map(|interval| left(interval, swept));
            let look =
                plan.shrink_on_pressure.then(|| looked.map_or(Duration::ZERO, |at| left(self.look_interval, at)));
            let pause = sweep.into_iter().chain(look).min();
            state = match pause {
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(pause) if !pause.is_zero() => {
                    self.changed.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner).0
                }
                Some(_) => {
                    drop(state);
                    if sweep == Some(Duration::ZERO) {
                        swept = Instant::now();
                        guarded(|| _ = self.memory.sweep());
                    }
                    if look == Some(Duration::ZERO) {
                        looked = Some(Instant::now());
                        guarded(|| self.relieve(&mut watch));
                    }
                    self.lock()
                }
            };
            if !state.plan.shrink_on_pressure {
                watch.episode = None;
            }
        }
    }

    /// Gives a part of the memory back if it is short, and tells the logger when that begins and when it ends.
    fn relieve(&self, watch: &mut Watch) {
        let look = self.gauge.look();
        if let Some(trouble) = look.trouble.filter(|_| !std::mem::replace(&mut watch.told_trouble, true)) {
            log::warn(|| format!("memory.shrink_on_pressure: {trouble}; that counts as no pressure"));
        }
        let held = self.memory.bytes();
        match (look.pressure, &mut watch.episode) {
            (Some(why), episode) => {
                if episode.is_none() {
                    *episode = Some(held);
                    log::warn(|| format!("memory is short ({why}): a tenth of {held} bytes is given back each second"));
                }
                if self.memory.shrink(held - held.div_ceil(SHRINK_DIVISOR)) > 0 {
                    self.shrinks.fetch_add(1, Relaxed);
                }
            }
            (None, episode @ Some(_)) => {
                let before = episode.take().unwrap_or(held);
                log::info(|| format!("memory is no longer short: {held} bytes are left of {before}"));
            }
            (None, None) => {}
        }
    }
}

/// What the thread remembers from one look at the system's memory to the next.
#[derive(Default)]
struct Watch {
    /// How many bytes the cache held when memory became short; `None` while it is not.
    episode: Option<u64>,
    told_trouble: bool,
}

#[cfg(all(test, not(miri)))]
mod tests {
    #![allow(unsafe_code)]

    use super::super::pressure::tests::{psi, FakeSystem};
    use super::*;
    use crate::clock::Clock;
    use crate::log::{set_logger, Level};
    use crate::options::Options;

    /// The logger is the process's, and so are its messages.
    static LOGGER: Mutex<()> = Mutex::new(());

    /// Runs `test`; gives the messages that were sent meanwhile and have `about` in them.
    fn messages(about: &'static str, test: impl FnOnce(&dyn Fn() -> usize)) -> Vec<(Level, String)> {
        let _alone = LOGGER.lock().unwrap_or_else(PoisonError::into_inner);
        let heard = Arc::new(Mutex::new(Vec::new()));
        let sink = heard.clone();
        let listen = move |level: Level, message: &str| {
            if message.contains(about) {
                sink.lock().unwrap().push((level, message.to_owned()));
            }
        };
        set_logger(Some((Level::Debug, Arc::new(listen))));
        test(&|| heard.lock().unwrap().len());
        set_logger(None);
        let heard = heard.lock().unwrap();
        heard.clone()
    }

    fn options(set: &[(&str, &str)]) -> MemoryOptions {
        let mut options = Options::new();
        for (name, text) in set {
            options.set(name, text).unwrap();
        }
        options.memory
    }

    fn sweeper(options: &MemoryOptions, gauge: Gauge) -> Sweeper {
        let memory = Memory::open(options, Clock::default());
        Sweeper::with(memory, options, gauge, Duration::from_millis(5), STACK_BYTES)
    }

    fn fill(sweeper: &Sweeper) {
        for i in 0..2_000_u32 {
            sweeper.shared.memory.put(&i.to_le_bytes(), &[7; 400], Ttl::Forever).unwrap();
        }
    }

    /// Waits for what must come one day; only a hang reaches the deadline.
    fn wait_for(what: &str, come: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !come() {
            assert!(Instant::now() < deadline, "never came: {what}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn memory_goes_back_by_tenths_while_it_is_short_and_no_longer() {
        let system = FakeSystem::new("episode");
        let told = messages("memory is", |heard| {
            let options = options(&[("memory.shrink_on_pressure", "on"), ("memory.capacity", "10000")]);
            let sweeper = sweeper(&options, system.gauge());
            fill(&sweeper);
            let full = sweeper.shared.memory.bytes();
            sweeper.stored(Ttl::Forever);
            system.write("sys/fs/cgroup/memory.pressure", &psi("25.00"));
            wait_for("three shrinks", || sweeper.pressure_shrinks() >= 3);
            system.write("sys/fs/cgroup/memory.pressure", &psi("0.00"));
            wait_for("the end of the episode", || heard() == 2);
            let (left, shrinks) = (sweeper.shared.memory.bytes(), sweeper.pressure_shrinks());
            assert!(left <= full / 1000 * 729, "{left} of {full} are left after three tenths of what was there");
            let least = (0..shrinks).fold(full, |held, _| held - held.div_ceil(SHRINK_DIVISOR));
            // An entry of each step may go beyond a tenth, and each of nine shards may hold a KiB less than it was granted.
            assert!(
                left + 200 * shrinks + (9 << 10) >= least,
                "{left} are left after {shrinks} shrinks, fewer than {least}"
            );
        });
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].0 == Level::Warn && told[0].1.contains("25.00%"), "{told:?}");
        assert!(told[1].0 == Level::Info && told[1].1.contains("no longer short"), "{told:?}");
    }

    #[test]
    fn a_system_that_tells_nothing_is_told_once_and_costs_nothing() {
        let told = messages("memory.shrink_on_pressure", |heard| {
            let options = options(&[("memory.shrink_on_pressure", "on"), ("memory.sweep_interval", "off")]);
            let sweeper = sweeper(&options, Gauge::at("/nowhere/at/all"));
            fill(&sweeper);
            let full = sweeper.shared.memory.bytes();
            sweeper.stored(Ttl::Forever);
            wait_for("the message", || heard() > 0);
            // Time for a dozen looks more.
            std::thread::sleep(Duration::from_millis(60));
            assert_eq!((sweeper.shared.memory.bytes(), sweeper.pressure_shrinks()), (full, 0));
        });
        assert_eq!(told.len(), 1, "{told:?}");
    }

    #[test]
    fn a_thread_that_cannot_be_started_is_told_once_and_puts_go_on() {
        let told = messages("could not be started", |_| {
            let options = options(&[]);
            let memory = Memory::open(&options, Clock::default());
            // More than there are addresses.
            let sweeper = Sweeper::with(memory, &options, Gauge::system(), LOOK_INTERVAL, 1 << 56);
            for _ in 0..3 {
                sweeper.stored(Ttl::Default);
            }
            assert!(sweeper.shared.lock().thread.is_none());
        });
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0].0, Level::Warn);
    }

    /// Which a program in Rust can bring about: its logger owns the cache, and lets go of it in the middle of a message.
    #[test]
    fn a_cache_that_is_dropped_on_its_own_thread_ends_without_waiting_for_itself() {
        let _alone = LOGGER.lock().unwrap_or_else(PoisonError::into_inner);
        let options = options(&[("memory.shrink_on_pressure", "on")]);
        let sweeper = Arc::new(sweeper(&options, Gauge::at("/nowhere/at/all")));
        let shared = Arc::downgrade(&sweeper.shared);
        let (let_go, wait) = std::sync::mpsc::channel();
        let owned = Mutex::new(Some((sweeper.clone(), wait)));
        set_logger(Some((
            Level::Warn,
            Arc::new(move |_: Level, message: &str| {
                if message.contains("shrink_on_pressure") {
                    if let Some((sweeper, wait)) = owned.lock().unwrap().take() {
                        wait.recv_timeout(Duration::from_secs(60)).unwrap();
                        drop(sweeper);
                    }
                }
            }),
        )));
        sweeper.start();
        drop(sweeper);
        let_go.send(()).unwrap();
        wait_for("the end of the thread", || shared.strong_count() == 0);
        set_logger(None);
    }

    #[test]
    fn only_what_there_is_to_do_starts_the_thread() {
        let started = |set: &[(&str, &str)], ttl| {
            let sweeper = sweeper(&options(set), Gauge::system());
            assert!(sweeper.shared.lock().thread.is_none(), "opening starts nothing");
            sweeper.stored(ttl);
            let started = sweeper.shared.lock().thread.is_some();
            started
        };
        let century = Duration::from_secs(101 * 365 * 24 * 3600);
        assert!(started(&[], Ttl::Default));
        assert!(started(&[], Ttl::For(Duration::from_secs(1))));
        assert!(!started(&[], Ttl::Forever));
        assert!(!started(&[], Ttl::For(century)));
        assert!(!started(&[("memory.sweep_interval", "off")], Ttl::Default));
        assert!(started(&[("memory.shrink_on_pressure", "on")], Ttl::Forever));
    }

    /// Under a fork's locks, as the handlers have them.
    #[test]
    fn a_forked_child_has_no_thread_and_no_share_of_one_and_starts_its_own() {
        let sweeper = sweeper(&options(&[]), Gauge::system());
        sweeper.start();
        assert_eq!(Arc::strong_count(&sweeper.shared), 2);
        let held = sweeper.hold();
        // SAFETY: the child only uses the sweeper and leaves at once.
        let child = unsafe { libc::fork() };
        drop(held);
        if child == 0 {
            sweeper.after_fork_in_child();
            let alone = Arc::strong_count(&sweeper.shared) == 1;
            sweeper.stored(Ttl::Default);
            let started = sweeper.shared.lock().thread.is_some();
            drop(sweeper);
            // SAFETY: ends the child.
            unsafe { libc::_exit(i32::from(!alone) + 2 * i32::from(!started)) }
        }
        let mut status = -1;
        // SAFETY: a child of this process, and a place for its status.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        assert!(libc::WIFEXITED(status), "{status}");
        assert_eq!(libc::WEXITSTATUS(status), 0);
        assert_eq!(Arc::strong_count(&sweeper.shared), 2);
    }
}
