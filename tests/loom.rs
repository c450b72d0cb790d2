//! How a reader that announces and a writer that frees meet, under every order that the memory model allows: what
//! `tests/races`, whose threads take turns, cannot show. Built with `--cfg shuttle` only; `tools/model` does that.
//!
//! `barrier`, `hazard` and `moments` are the engine's own files, on loom's atomics. Both halves of the barrier are fences here, as they
//! are where the kernel offers nothing better; what `moments` is about needs none, and is shown with the light half left out. What
//! stands around them in the engine is said beside each step.
#![cfg(shuttle)]
#![allow(unsafe_code)]

mod sync {
    pub(crate) mod atomic {
        // What `barrier` keeps for the whole process never changes in a model.
        pub(crate) use loom::sync::atomic::{fence, AtomicPtr, AtomicUsize};
        pub(crate) use std::sync::atomic::{compiler_fence, AtomicU64, AtomicU8, Ordering};
    }
}

#[path = "../src/tiers/memory/barrier.rs"]
#[allow(dead_code)]
mod barrier;
#[path = "../src/tiers/memory/hazard.rs"]
mod hazard;
#[path = "../src/tiers/memory/moments.rs"]
#[allow(dead_code)]
mod moments;

use loom::cell::UnsafeCell;
use loom::sync::atomic::{fence, AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use loom::thread;
use moments::Moments;
use std::ptr::null_mut;
use std::sync::Arc;

/// An entry, or a table: loom fails when one thread reads while another one writes.
#[derive(Default)]
struct Block {
    freed: UnsafeCell<bool>,
}

impl Block {
    fn read(&self) {
        self.freed.with(|freed| {
            // SAFETY: loom has checked that nobody writes it.
            let freed = unsafe { *freed };
            assert!(!freed, "read after it was freed");
        });
    }

    fn free(&self) {
        self.freed.with_mut(|freed| {
            // SAFETY: loom has checked that nobody else reads or writes it.
            unsafe { *freed = true };
        });
    }
}

/// A slot of the index that names one block or another, a reader's record, and the blocks.
struct Scene {
    place: AtomicPtr<Block>,
    announcement: AtomicPtr<Block>,
    in_use: AtomicBool,
    blocks: [Block; 2],
}

// SAFETY: what is not an atomic in it is a block's cell, and finding out who uses that beside whom is what loom does.
unsafe impl Sync for Scene {}

impl Scene {
    fn new() -> Arc<Self> {
        let scene = Arc::new(Self {
            place: AtomicPtr::new(null_mut()),
            announcement: AtomicPtr::new(null_mut()),
            in_use: AtomicBool::new(false),
            blocks: Default::default(),
        });
        scene.put(0);
        scene
    }

    fn block(&self, number: usize) -> *mut Block {
        std::ptr::from_ref(&self.blocks[number]).cast_mut()
    }

    /// `Index::replace`.
    fn put(&self, number: usize) {
        self.place.store(self.block(number), Ordering::Release);
    }

    /// `Bucket::take`.
    fn take_out(&self) {
        self.place.store(null_mut(), Ordering::Release);
    }

    /// `Bucket::try_slot`, and the end of the look-up (`Reader::drop`).
    fn look_up(&self) {
        let block = self.place.load(Ordering::Acquire);
        if block.is_null() {
            return;
        }
        if hazard::announce(&self.announcement, block, || self.place.load(Ordering::Acquire)) == block {
            self.read(block);
        }
        hazard::withdraw(&self.announcement);
    }

    fn read(&self, block: *mut Block) {
        let found = self.blocks.iter().find(|known| std::ptr::eq(*known, block));
        found.expect("one of the blocks").read();
    }

    /// `Retired::collect`.
    fn collect(&self, number: usize) {
        if barrier::heavy().is_some() {
            self.collect_announced(number);
        }
    }

    /// `record::snapshot`, and what follows.
    fn collect_announced(&self, number: usize) {
        if hazard::announced(&self.announcement) != self.block(number).addr() {
            self.blocks[number].free();
        }
    }

    /// `record::am_alone`.
    fn am_alone(&self) -> bool {
        fence(Ordering::SeqCst);
        !self.in_use.load(Ordering::SeqCst)
    }

    /// `record::adopt`.
    fn adopt(&self) {
        self.in_use.compare_exchange(false, true, Ordering::SeqCst, Ordering::Relaxed).unwrap();
        fence(Ordering::SeqCst);
    }
}

#[test]
fn what_a_reader_is_in_is_not_freed() {
    loom::model(|| {
        let scene = Scene::new();
        let here = scene.clone();
        let reader = thread::spawn(move || {
            here.look_up();
            here.look_up();
        });
        scene.put(1);
        scene.collect(0);
        scene.take_out();
        scene.collect(1);
        reader.join().unwrap();
    });
}

#[test]
fn a_writer_that_is_alone_frees_nothing_that_a_new_thread_finds() {
    loom::model(|| {
        let scene = Scene::new();
        let here = scene.clone();
        let reader = thread::spawn(move || {
            here.adopt();
            here.look_up();
        });
        scene.take_out();
        if scene.am_alone() {
            scene.collect_announced(0);
        } else {
            scene.collect(0);
        }
        reader.join().unwrap();
    });
}

/// `Flights::any` of who has changed what others load, and `Flights::join` of who loads it: the one knows of the load, or the
/// other loads what was changed.
#[test]
fn who_changes_the_world_knows_of_a_load_that_does_not_see_it() {
    loom::model(|| {
        let [world, loading] = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));
        let (changed, number) = (world.clone(), loading.clone());
        let writer = thread::spawn(move || {
            changed.store(1, Ordering::Relaxed);
            barrier::light();
            number.load(Ordering::Acquire) != 0
        });
        loading.fetch_add(1, Ordering::Relaxed);
        let may_store = barrier::heavy().is_some();
        let is_old = world.load(Ordering::Relaxed) == 0;
        let is_outdated = writer.join().unwrap();
        assert!(!(may_store && is_old) || is_outdated, "an old value is stored after it was outdated");
    });
}

/// A scene in which the two halves of the barrier are not fences: the light one is nothing, as where the kernel has membarrier, and
/// the heavy one is somewhere in what the reader does.
struct Scenery {
    scene: Scene,
    /// Whether the reader announces a table.
    table: AtomicPtr<Block>,
    seen: AtomicUsize,
    moments: Moments,
    asked: AtomicBool,
    answered: AtomicBool,
}

/// Before which of its steps a look-up is interrupted by the barrier.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Announces,
    Sees,
    Finds,
    AnnouncesEntry,
    LooksAgain,
    Reads,
    Ends,
    /// The next look-up.
    Later,
}

impl Scenery {
    fn new() -> Arc<Self> {
        let scene = Arc::into_inner(Scene::new()).expect("nobody else has it");
        let scenery = Arc::new(Self {
            scene,
            table: AtomicPtr::new(null_mut()),
            seen: AtomicUsize::new(0),
            moments: Moments { newest: AtomicUsize::new(0), passed: AtomicUsize::new(0) },
            asked: AtomicBool::new(false),
            answered: AtomicBool::new(false),
        });
        // It has moved.
        scenery.scene.put(0);
        scenery
    }

    /// `Memory::look_up`: a table, an entry of it, and the end of both.
    fn look_up(&self, interrupted: Option<Step>) {
        let scene = &self.scene;
        let now = |step| {
            if interrupted == Some(step) {
                self.pass();
            }
        };
        now(Step::Announces);
        self.table.store(scene.block(0), Ordering::Release);
        now(Step::Sees);
        self.moments.see(&self.seen);
        now(Step::Finds);
        let block = scene.place.load(Ordering::Acquire);
        if !block.is_null() {
            now(Step::AnnouncesEntry);
            scene.announcement.store(block, Ordering::Release);
            now(Step::LooksAgain);
            if scene.place.load(Ordering::Acquire) == block {
                now(Step::Reads);
                scene.read(block);
            }
        }
        now(Step::Ends);
        hazard::withdraw(&scene.announcement);
        hazard::withdraw(&self.table);
    }

    /// The reader's side of a membarrier.
    fn pass(&self) {
        while !self.asked.load(Ordering::Acquire) {
            thread::yield_now();
        }
        fence(Ordering::SeqCst);
        self.answered.store(true, Ordering::Release);
    }

    /// `record::pass_barrier`.
    fn pass_barrier(&self) {
        let moment = self.moments.begin();
        self.asked.store(true, Ordering::Release);
        while !self.answered.load(Ordering::Acquire) {
            thread::yield_now();
        }
        self.moments.pass(moment);
    }

    /// `record::has_passed`.
    fn is_known(&self, moment: usize) -> bool {
        fence(Ordering::SeqCst);
        self.moments.is_known(moment, &self.seen, || hazard::announced(&self.table) != 0)
    }
}

#[test]
fn what_a_reader_is_in_is_not_freed_because_it_has_seen_that_it_was_taken_out() {
    loom::model(|| {
        let scenery = Scenery::new();
        let here = scenery.clone();
        let reader = thread::spawn(move || {
            // The end of an earlier look-up. After a thread has yielded loom no longer gives it what it has written itself.
            hazard::withdraw(&here.scene.announcement);
            while here.seen.load(Ordering::Relaxed) == 0 {
                here.look_up(None);
                thread::yield_now();
            }
        });
        scenery.scene.put(1);
        let moment = scenery.moments.begin();
        while !scenery.is_known(moment) {
            thread::yield_now();
        }
        scenery.scene.collect_announced(0);
        reader.join().unwrap();
    });
}

#[test]
fn what_a_reader_is_in_is_not_freed_because_it_has_rested_since_a_barrier() {
    use Step::{Announces, AnnouncesEntry, Ends, Finds, Later, LooksAgain, Reads, Sees};
    for step in [Announces, Sees, Finds, AnnouncesEntry, LooksAgain, Reads, Ends, Later] {
        let mut model = loom::model::Builder::new();
        // All orders take a minute and a half: the long form of `tools/model` tries them. With three preemptions the mistakes of this half
        // are found.
        model.preemption_bound = std::env::var_os("CATZILLA_MODEL_SCHEDULES").is_none().then_some(3);
        model.check(move || {
            let scenery = Scenery::new();
            let here = scenery.clone();
            let reader = thread::spawn(move || {
                here.look_up(Some(step));
                here.look_up((step == Later).then_some(Announces));
            });
            scenery.pass_barrier();
            scenery.scene.put(1);
            let moment = scenery.moments.begin();
            if scenery.is_known(moment) {
                scenery.scene.collect_announced(0);
            }
            reader.join().unwrap();
        });
    }
}

/// What the models above would miss if loom did not know of weak orders.
#[test]
#[should_panic(expected = "both see nothing")]
fn without_fences_two_threads_may_each_miss_what_the_other_has_written() {
    loom::model(|| {
        let [a, b] = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
        let (theirs, ours) = (a.clone(), b.clone());
        let other = thread::spawn(move || {
            theirs.store(true, Ordering::Release);
            ours.load(Ordering::Acquire)
        });
        b.store(true, Ordering::Release);
        let seen = a.load(Ordering::Acquire);
        assert!(other.join().unwrap() || seen, "both see nothing");
    });
}
