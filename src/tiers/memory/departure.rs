//! Entries that have left, on their way to whoever listens: see [`crate::Cache::set_listener`].
//!
//! An entry is put here under its shard's lock, in the step in which it leaves, and is pinned from then on, so that it can be
//! read when its memory would be another's already. It is told when the call that made it leave has done its work, outside
//! all locks, on the thread that made the call: each thread has a queue of its own. What the listener's own calls make leave
//! goes to the end of the same queue, and the loop that is telling tells that too: nothing recurses.
//!
//! Decides nothing about entries. While nobody listens, one byte is all that is looked at where an entry leaves.

use super::entry::Pinned;
use super::Memory;
use crate::clock::{Clock, Tick};
use crate::codec::envelope::Body;
use crate::error::Result;
use crate::fork::Hold;
use crate::log;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use crate::sync::{this_thread, Condvar, Mutex, MutexGuard};
use std::cell::OnceCell;
use std::collections::VecDeque;
use std::panic::{catch_unwind, AssertUnwindSafe};
// Whether a thread has something to tell is for that thread alone to know: a model has nothing to choose there.
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, PoisonError};

/// Why an entry has left a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The cache was full, by entries or by bytes, or memory was short. Also what was stored but was too heavy to be kept.
    Evicted,
    /// Its time was over, and a call or the cache's own thread has met it.
    Expired,
    /// Another value was stored under its key, whether its time was over or not.
    Replaced,
    /// It was removed by its key.
    Removed,
    /// It went with many others, in a purge.
    Purged,
}

/// An entry that has left a cache, as a listener is told of it. Key and value are as they were, whatever is stored meanwhile.
pub struct Departed {
    pinned: Pinned,
    cause: Cause,
    /// When it left, by [`Clock::nanos`].
    at: u64,
    /// The plain form of a compressed value, once it has been asked for.
    plain: OnceCell<Pinned>,
}

/// What is told of entries that leave: see [`crate::Cache::set_listener`].
pub type Listener = Arc<dyn Fn(&Departed) + Send + Sync>;

impl Departed {
    fn new(Waiting { pinned, cause, at }: Waiting) -> Self {
        Self { pinned, cause, at, plain: OnceCell::new() }
    }

    /// When it left, by [`Clock::nanos`]: what was written before that was there before.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// Its value as it was kept.
    pub(crate) fn body(&self) -> Body<'_> {
        self.pinned.body()
    }

    /// Whether it carried tags; their names are not known any more.
    pub(crate) fn is_tagged(&self) -> bool {
        self.pinned.entry().is_tagged()
    }

    /// When its time would have been over.
    pub(crate) fn deadline(&self) -> Tick {
        self.pinned.entry().deadline()
    }

    /// Why it has left.
    pub fn cause(&self) -> Cause {
        self.cause
    }

    /// Its key.
    pub fn key(&self) -> &[u8] {
        self.pinned.key()
    }

    /// How long its value is. Decompresses nothing.
    pub fn value_len(&self) -> usize {
        self.pinned.value_len()
    }

    /// Its value, which is decompressed now, once, if it is kept compressed.
    ///
    /// # Errors
    ///
    /// There is no memory to decompress it into, or it was damaged in memory.
    pub fn value(&self) -> Result<&[u8]> {
        if self.plain.get().is_none() {
            if let Some(plain) = self.pinned.decompressed()? {
                let _ = self.plain.set(plain);
            }
        }
        Ok(self.plain.get().unwrap_or(&self.pinned).plain())
    }
}

impl std::fmt::Debug for Departed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Departed").field("key", &self.key()).field("cause", &self.cause).finish_non_exhaustive()
    }
}

/// Arbitrary: so that threads seldom meet. In models, where they should, one.
const STRIPES: usize = if cfg!(shuttle) { 1 } else { 8 };

/// A call that makes many entries leave tells them on the way when so many of them wait, and pins no more of them at one time
/// than that and what one step takes out. In models few, as there are few.
const MANY: usize = if cfg!(shuttle) { 2 } else { 256 };

pub(super) struct Departures {
    clock: Clock,
    wanted: AtomicBool,
    /// Entries in all queues.
    waiting: AtomicUsize,
    untold: AtomicU64,
    listener: Mutex<Option<Listener>>,
    /// How often the listener has been changed. Written under its lock.
    changes: AtomicU64,
    stripes: [Stripe; STRIPES],
}

/// The queues of some threads.
#[derive(Default)]
struct Stripe {
    queues: Mutex<Queues>,
    /// Somebody who waits for a call of the listener may find that it has ended.
    ended: Condvar,
}

#[derive(Default)]
struct Queues {
    of: Vec<Queue>,
    /// The last number that a call of the listener was given.
    begun: u64,
    /// Threads that wait for calls to end.
    waiters: usize,
}

/// What a thread has to tell. There is none for a thread that has nothing.
struct Queue {
    thread: u64,
    waiting: VecDeque<Waiting>,
    /// The number of the call of the listener that the thread is in, or is about to begin; 0: none.
    call: u64,
}

struct Waiting {
    pinned: Pinned,
    cause: Cause,
    at: u64,
}

impl Queues {
    fn find(&mut self, thread: u64) -> Option<&mut Queue> {
        self.of.iter_mut().find(|queue| queue.thread == thread)
    }

    /// False when there is no memory.
    fn push(&mut self, thread: u64, waiting: Waiting) -> bool {
        let queue = match self.of.iter().position(|queue| queue.thread == thread) {
            Some(queue) => queue,
            None if self.of.try_reserve(1).is_err() => return false,
            None => {
                self.of.push(Queue { thread, waiting: VecDeque::new(), call: 0 });
                self.of.len() - 1
            }
        };
        let queue = &mut self.of[queue].waiting;
        let has_room = queue.try_reserve(1).is_ok();
        if has_room {
            queue.push_back(waiting);
        }
        has_room
    }

    /// The thread begins to tell. False when it has nothing, or is telling already: this is in a call that the listener makes,
    /// and the loop that has called it goes on with what there is.
    fn begin(&mut self, thread: u64) -> bool {
        let call = self.begun + 1;
        let Some(queue) = self.find(thread).filter(|queue| queue.call == 0) else { return false };
        queue.call = call;
        self.begun = call;
        true
    }

    /// What the thread tells next. Its last call has ended, and the next has begun.
    fn next(&mut self, thread: u64) -> Option<Waiting> {
        let call = self.begun + 1;
        let queue = self.find(thread)?;
        let next = queue.waiting.pop_front()?;
        queue.call = call;
        self.begun = call;
        Some(next)
    }

    /// The thread has told all it had.
    fn end(&mut self, thread: u64) {
        self.of.retain(|queue| queue.thread != thread);
    }
}

impl Stripe {
    fn lock(&self) -> MutexGuard<'_, Queues> {
        // Nothing that is done under the lock can leave it half changed.
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A listener as it was when it was looked up. Only had by a thread that is in a call, so that who waits for the call waits
/// for this to be dropped, too.
#[derive(Default)]
struct Heard {
    listener: Option<Listener>,
    /// The change that made it what it is; `None`: it was not looked up.
    change: Option<u64>,
}

/// What the loop that tells does next.
enum Step {
    Tell(Waiting),
    LookAgain,
    Forget,
    End,
}

impl Departures {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            wanted: AtomicBool::new(false),
            waiting: AtomicUsize::new(0),
            untold: AtomicU64::new(0),
            listener: Mutex::new(None),
            changes: AtomicU64::new(0),
            stripes: std::array::from_fn(|_| Stripe::default()),
        }
    }

    /// Whether anybody listens.
    #[inline(always)]
    pub(super) fn are_wanted(&self) -> bool {
        self.wanted.load(Relaxed)
    }

    /// An entry is leaving, or what was to be one is not kept. `None`: there was no memory to pin it. May be called under a
    /// shard's lock.
    #[cold]
    pub(super) fn push(&self, pinned: Option<Pinned>, cause: Cause) {
        let me = this_thread();
        let at = self.clock.nanos();
        let is_kept = pinned.is_some_and(|pinned| self.stripe(me).lock().push(me, Waiting { pinned, cause, at }));
        if is_kept {
            self.waiting.fetch_add(1, Relaxed);
        } else {
            self.untold.fetch_add(1, Relaxed);
        }
    }

    /// How many entries have left that there was no memory to tell of.
    pub(super) fn untold(&self) -> u64 {
        self.untold.load(Relaxed)
    }

    /// Whether the calling thread should tell what it has before it makes more leave. Never in a call that the listener makes:
    /// what waits then is told when the listener has returned.
    pub(super) fn are_many(&self) -> bool {
        if self.waiting.load(Relaxed) < MANY {
            return false;
        }
        let me = this_thread();
        self.stripe(me).lock().find(me).is_some_and(|queue| queue.call == 0 && queue.waiting.len() >= MANY)
    }

    /// Tells what the calling thread's calls have made leave, oldest first. The thread holds no lock and announces nothing.
    #[inline(always)]
    pub(super) fn tell(&self) {
        // What this thread has put there it sees; what others have is theirs to tell.
        if self.waiting.load(Relaxed) != 0 {
            self.tell_waiting();
        }
    }

    #[cold]
    fn tell_waiting(&self) {
        let me = this_thread();
        let stripe = self.stripe(me);
        if !stripe.lock().begin(me) {
            return;
        }
        let mut heard = Heard::default();
        loop {
            match self.step(me, stripe, heard.change) {
                Step::Tell(waiting) => {
                    self.waiting.fetch_sub(1, Relaxed);
                    let departed = Departed::new(waiting);
                    if let Some(listener) = &heard.listener {
                        guarded(|| listener(&departed));
                    }
                }
                Step::LookAgain => heard = self.heard(),
                Step::Forget => heard = Heard::default(),
                Step::End => break,
            }
        }
    }

    fn step(&self, me: u64, stripe: &Stripe, heard: Option<u64>) -> Step {
        let mut queues = stripe.lock();
        let step = if queues.find(me).is_none_or(|queue| queue.waiting.is_empty()) {
            if heard.is_some() {
                return Step::Forget;
            }
            queues.end(me);
            Step::End
        } else {
            // Under the lock in which a call gets its number: whoever changes the listener looks at the numbers after that,
            // so it waits for this call, or this call finds the change.
            if heard != Some(self.changes.load(Acquire)) {
                return Step::LookAgain;
            }
            queues.next(me).map_or(Step::End, Step::Tell)
        };
        if queues.waiters > 0 {
            stripe.ended.notify_all();
        }
        step
    }

    fn heard(&self) -> Heard {
        let listener = self.listener();
        Heard { listener: listener.clone(), change: Some(self.changes.load(Relaxed)) }
    }

    fn listener(&self) -> MutexGuard<'_, Option<Listener>> {
        self.listener.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a listener in the place of the former one, or nobody. When this returns no call of the former is under way, or will
    /// ever be, unless it was called by the listener.
    pub(super) fn set(&self, listener: Option<Listener>) {
        let former = {
            let mut current = self.listener();
            self.wanted.store(listener.is_some(), Relaxed);
            self.changes.fetch_add(1, Release);
            std::mem::replace(&mut *current, listener)
        };
        self.wait_for_calls();
        drop(former);
    }

    /// Waits until all calls of the listener that have begun have ended, unless this is in one of them.
    fn wait_for_calls(&self) {
        let me = this_thread();
        if self.stripe(me).lock().find(me).is_some_and(|queue| queue.call != 0) {
            return;
        }
        for stripe in &self.stripes {
            let mut queues = stripe.lock();
            let last = queues.begun;
            while queues.of.iter().any(|queue| queue.call != 0 && queue.call <= last) {
                queues.waiters += 1;
                queues = stripe.ended.wait(queues).unwrap_or_else(PoisonError::into_inner);
                queues.waiters -= 1;
            }
        }
    }

    /// Every lock, for the time of a fork.
    pub(super) fn hold(&self) -> impl Hold + '_ {
        let queues: Vec<_> = self.stripes.iter().map(Stripe::lock).collect();
        (queues, self.listener())
    }

    /// In a forked child: what other threads have to tell is told in the parent, and none of them is in a call any more.
    pub(super) fn after_fork_in_child(&self) {
        let me = this_thread();
        for stripe in &self.stripes {
            let mut theirs = Vec::new();
            {
                let mut queues = stripe.lock();
                queues.waiters = 0;
                std::mem::swap(&mut queues.of, &mut theirs);
                if let Some(mine) = theirs.iter().position(|queue| queue.thread == me) {
                    queues.of.push(theirs.swap_remove(mine));
                }
            }
            let count: usize = theirs.iter().map(|queue| queue.waiting.len()).sum();
            self.waiting.fetch_sub(count, Relaxed);
        }
    }

    /// The cache is gone: nothing is told any more.
    pub(super) fn forget(&mut self) {
        for stripe in &mut self.stripes {
            stripe.queues.get_mut().unwrap_or_else(PoisonError::into_inner).of.clear();
        }
    }

    fn stripe(&self, thread: u64) -> &Stripe {
        // Threads that came one after the other are far apart by the golden ratio.
        let spread = thread.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        &self.stripes[spread as usize % STRIPES]
    }
}

/// A listener that panics has been told; the others go on.
fn guarded(call: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(call)) {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
        log::error(|| format!("a listener has panicked, which was caught: {text}"));
    }
}

impl Memory {
    /// See [`crate::Cache::set_listener`].
    pub(crate) fn set_listener(&self, listener: Option<Listener>) {
        self.shared.departures.set(listener);
    }

    /// Tells the listener of what the calling thread's calls have made leave: the end of every call that may have. Outside all
    /// locks, and while the thread reads nothing here.
    #[inline(always)]
    pub(crate) fn tell(&self) {
        self.shared.departures.tell();
    }
}
