//! A fork: parent and child each have connections of their own, and neither disturbs the other's.
#![allow(unsafe_code)]

use super::support::{is_installed, until, Folder, Server};
use super::{get, on, put};
use crate::tiers::redis::Redis;
use crate::tiers::Tier;
use std::io::Read;
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// Forks as `crate::fork` does. `child` runs in a copy of this process that has only this thread, and says whether all went well.
fn fork(redis: &Redis, child: impl FnOnce() -> bool) -> libc::pid_t {
    let held = redis.hold();
    // SAFETY: the child uses the tier and plain memory only, and leaves without running anything else.
    let id = unsafe { libc::fork() };
    drop(held);
    if id == 0 {
        redis.after_fork_in_child();
        let well = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child)).unwrap_or(false);
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(i32::from(!well)) }
    }
    assert!(id > 0, "fork failed");
    id
}

fn went_well(child: libc::pid_t) -> bool {
    let mut status = 0;
    let mut ended = 0;
    until("the child has ended", || {
        // SAFETY: `status` may be written; the child is ours.
        ended = unsafe { libc::waitpid(child, &mut status, libc::WNOHANG) };
        ended != 0
    });
    ended == child && libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0
}

#[test]
fn parent_and_child_never_share_a_connection() {
    if !is_installed() {
        return;
    }
    let server = Server::start(&[]);
    let redis = on(&server);
    let over = AtomicBool::new(false);
    let works = |who: u32, rounds: u32| {
        (0..rounds).all(|round| {
            let key = format!("{who}-{}", round % 10);
            let value = format!("{key}={round}");
            put(&redis, key.as_bytes(), value.as_bytes()).is_ok()
                && get(&redis, key.as_bytes()).is_ok_and(|found| found.as_deref() == Some(value.as_bytes()))
        })
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..3)
            .map(|thread| {
                let (works, over) = (&works, &over);
                scope.spawn(move || {
                    while !over.load(SeqCst) {
                        assert!(works(thread, 20))
                    }
                })
            })
            .collect();
        for number in 0..8 {
            let child = fork(&redis, || {
                let begun = redis.figures();
                let works = works(1000 + std::process::id(), 200);
                works && begun.connections == 0 && redis.figures().connections == 1
            });
            assert!(went_well(child), "child {number}");
        }
        over.store(true, SeqCst);
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

#[test]
fn what_a_child_closes_stays_open_in_its_parent() {
    if !is_installed() {
        return;
    }
    let server = Server::start(&[]);
    let redis = on(&server);
    put(&redis, b"k", b"v").unwrap();
    let connects = redis.figures().connects;
    let child = fork(&redis, || get(&redis, b"k").is_ok_and(|value| value.as_deref() == Some(b"v")));
    assert!(went_well(child));
    assert_eq!(get(&redis, b"k").unwrap().unwrap(), b"v");
    assert_eq!(redis.figures().connects, connects, "the child has ended the parent's connection");
    // The server saw the child's own one come and go, and no word on the parent's.
    until("the child's connection is gone", || server.info("connected_clients") == 2);
}

/// A write to a connection that was closed must not end a program that leaves SIGPIPE as it is by default.
#[test]
fn a_server_that_closes_ends_no_program_by_a_signal() {
    let folder = Folder::new();
    let path = folder.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    // Hangs up in the middle of the first command. Ends with the process.
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.read(&mut [0; 100]);
        }
    });
    let redis = super::open(&[("url", &format!("unix://{}", path.display()))]);
    let child = fork(&redis, || {
        // SAFETY: the child's own; as every program that is not Rust has it.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        // More than the sockets between them hold.
        let long = vec![b'k'; 8 << 20];
        get(&redis, &long).is_err()
    });
    assert!(went_well(child));
}
