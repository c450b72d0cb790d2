//! The listener beside what makes entries leave, and beside its own end.

use crate::model::{Model, Way, KEY, LIFETIME};
use crate::schedules::{explore, join, version};
use catzilla_cache::{Departed, Purge};
use shuttle::thread::{spawn, yield_now};
// What models note down: nothing to choose.
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

/// Two threads that make entries leave, in every way: each value that was stored is told once, as it was, or still there.
#[test]
fn entries_that_leave_are_told_once() {
    type Writer = fn(&Model);
    let others: [(&str, Writer, &'static [(u8, u8)]); 5] = [
        ("overwrite", |model| (1..3).for_each(|version| model.put(KEY, 10 * version)), &[(KEY, 10), (KEY, 20)]),
        (
            "clear",
            |model| {
                model.put(KEY, 10);
                model.cache.purge(Purge::All);
            },
            &[(KEY, 10)],
        ),
        (
            "prefix",
            |model| {
                model.put(KEY, 10);
                model.cache.purge(Purge::Prefix(b"key-"));
            },
            &[(KEY, 10)],
        ),
        ("resize", |model| model.set_capacity("1"), &[]),
        (
            "expiry",
            |model| {
                model.put_for(KEY, 10, LIFETIME);
                model.time.advance(2 * LIFETIME);
                assert!(model.get(Way::Acquire, 3).is_none());
                model.cache.sweep();
            },
            &[(KEY, 10)],
        ),
    ];
    for (variant, other, puts) in others {
        explore(variant, move || {
            let model = Model::open(&[("memory.capacity", "2")]);
            let told = Arc::new(Mutex::new(Vec::new()));
            let list = told.clone();
            model.cache.set_listener(Some(Arc::new(move |departed: &Departed| {
                let (key, value) = (departed.key()[4] - b'a', departed.value().unwrap());
                // A value that is torn or gone panics, and is then missing.
                let version = version(value, key);
                list.lock().unwrap().push((key, version));
            })));
            model.put(KEY, 0);
            let (here, there) = (model.clone(), model.clone());
            let writers = [
                spawn(move || {
                    here.put(KEY, 1);
                    here.put(1, 2);
                    here.put(2, 3);
                    here.remove(1);
                }),
                spawn(move || other(&there)),
            ];
            join(writers);
            let mut all = std::mem::take(&mut *told.lock().unwrap());
            all.extend((0..3).filter_map(|key| Some((key, model.version(key)?))));
            // The look at what is there may have met something expired.
            all.append(&mut told.lock().unwrap());
            all.sort_unstable();
            let mut stored: Vec<_> = [(KEY, 0), (KEY, 1), (1, 2), (2, 3)].iter().chain(puts).copied().collect();
            stored.sort_unstable();
            assert_eq!(all, stored);
            model.end();
        });
    }
}

/// A listener is taken off, or another put in its place, while threads tell it: then nobody is in it, and nobody comes.
#[test]
fn a_listener_that_was_taken_off_is_in_no_call() {
    for replaced in [false, true] {
        explore(if replaced { "replaced" } else { "taken off" }, move || {
            let model = Model::open(&[("memory.capacity", "1")]);
            let (inside, late, is_off) =
                (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
            let (in_it, after, off) = (inside.clone(), late.clone(), is_off.clone());
            model.cache.set_listener(Some(Arc::new(move |_: &Departed| {
                in_it.fetch_add(1, Relaxed);
                after.fetch_add(off.load(Relaxed).into(), Relaxed);
                yield_now();
                after.fetch_add(off.load(Relaxed).into(), Relaxed);
                in_it.fetch_sub(1, Relaxed);
            })));
            let writers = [0, 3].map(|first| {
                let model = model.clone();
                spawn(move || (first..first + 3).for_each(|key| model.put(key, 0)))
            });
            model.cache.set_listener(replaced.then(|| Arc::new(|_: &Departed| ()) as _));
            is_off.store(true, Relaxed);
            assert_eq!(inside.load(Relaxed), 0, "somebody is still in it");
            assert_eq!(Arc::strong_count(&inside), 1, "somebody still has it");
            join(writers);
            assert_eq!(late.load(Relaxed), 0, "somebody came after it had been taken off");
            model.end();
        });
    }
}
