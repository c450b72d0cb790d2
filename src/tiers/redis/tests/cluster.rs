//! Six nodes, three of them replicas: keys of all slots, a slot on the move, a primary that dies or stops.

use super::pace::Stopwatch;
use super::support::{is_installed, until, Cluster};
use super::{get, open, put, put_as};
use crate::clock::unix_micros;
use crate::pattern::{KeySet, Pattern};
use crate::tiers::redis::Redis;
use crate::tiers::{FaultKind, Outcome, Tier, What, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

fn on(cluster: &Cluster) -> Redis {
    open(&[("nodes", &cluster.nodes())])
}

fn keys(count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|number| format!("key {number}").into_bytes()).collect()
}

#[test]
fn keys_of_all_slots_are_written_read_and_cleared_in_batches() {
    if !is_installed() {
        return;
    }
    let cluster = Cluster::start();
    let redis = on(&cluster);
    redis.probe().unwrap();
    let keys = keys(1000);
    let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
    let put = |envelope| What::Put { envelope, expires: None, tags: &[b"t"], if_absent: false };
    let mut writes: Vec<Write<'_>> = keys.iter().map(|key| Write::new(key, put(key))).collect();
    writes.push(Write::new(keys[7], What::Remove));
    writes.push(Write::new(b"none", What::Remove));
    redis.write(&mut writes).unwrap();
    assert!(writes[..1001].iter().all(|write| write.outcome == Outcome::Done));
    assert_eq!(writes[1001].outcome, Outcome::Nothing);
    let found = redis.read(&keys).unwrap();
    for (number, (key, value)) in keys.iter().zip(found).enumerate() {
        assert_eq!(value.as_deref(), (number != 7).then_some(*key));
    }
    assert_eq!(get(&redis, keys[0]).unwrap().unwrap(), keys[0]);
    // One connection to each primary is enough for one caller.
    assert!(redis.figures().connects <= 4, "{:?}", redis.figures());

    let now = unix_micros();
    assert!(!redis.is_purged(&[b"t"], now).unwrap());
    redis.purge_tag(b"t", now).unwrap();
    assert!(redis.is_purged(&[b"t"], now).unwrap() && redis.is_purged(&[b"unknown", b"t"], now + 1).unwrap());

    assert_eq!(redis.purge_keys(KeySet::Beginning(b"key 99")).unwrap(), 11);
    assert_eq!(redis.purge_keys(KeySet::Fitting(&Pattern::new(b"*y 8?7").unwrap())).unwrap(), 10);
    cluster.servers.iter().for_each(|server| drop(server.cli(&["-c", "set", "foreign", "v"])));
    let (other, before) = (on(&cluster), redis.namespace());
    assert_eq!(other.namespace(), before);
    assert_eq!(redis.clear().unwrap(), 1000 - 1 - 11 - 10);
    assert!(redis.namespace() > before);
    assert!(redis.read(&keys).unwrap().iter().all(Option::is_none));
    let left: u64 = cluster
        .servers
        .iter()
        .filter(|server| server.cli(&["role"]).starts_with("master"))
        .map(|server| server.cli(&["dbsize"]).parse::<u64>().unwrap())
        .sum();
    assert_eq!(left, 2, "the namespace and what is not ours");
    until("the other has noticed", || {
        get(&other, b"any").unwrap();
        other.namespace() == redis.namespace()
    });
}

#[test]
fn a_slot_on_the_move_is_followed() {
    if !is_installed() {
        return;
    }
    let cluster = Cluster::start();
    let redis = on(&cluster);
    let key = |number: usize| format!("{{x}}{number}");
    let name = |number: usize| format!("catzilla:{}", key(number));
    for number in 0..20 {
        put(&redis, key(number).as_bytes(), key(number).as_bytes()).unwrap();
    }
    let slot = cluster.servers[0].cli(&["cluster", "keyslot", &name(0)]);
    let from = cluster.primary_of(&name(0));
    let to =
        (0..6).find(|index| *index != from && cluster.servers[*index].cli(&["role"]).starts_with("master")).unwrap();
    let id = |index: usize| cluster.servers[index].cli(&["cluster", "myid"]);
    let say = |index: usize, command: &[&str]| assert_eq!(cluster.servers[index].cli(command), "OK", "{command:?}");
    say(to, &["cluster", "setslot", &slot, "importing", &id(from)]);
    say(from, &["cluster", "setslot", &slot, "migrating", &id(to)]);
    let port = cluster.servers[to].port().to_string();
    for number in 0..10 {
        say(from, &["migrate", "127.0.0.1", &port, &name(number), "0", "5000"]);
    }
    // Half of the keys are there already (-ASK), half are not.
    let all: Vec<String> = (0..21).map(key).collect();
    let all: Vec<&[u8]> = all.iter().map(String::as_bytes).collect();
    let read = || {
        let found = redis.read(&all).unwrap();
        assert!(found[..20].iter().zip(&all).all(|(value, key)| value.as_deref() == Some(*key)), "{found:?}");
        assert_eq!(found[20], None);
    };
    read();
    assert_eq!(put_as(&redis, all[20], What::Remove).unwrap(), Outcome::Nothing);
    put(&redis, all[3], all[3]).unwrap();
    for number in 10..20 {
        say(from, &["migrate", "127.0.0.1", &port, &name(number), "0", "5000"]);
    }
    say(to, &["cluster", "setslot", &slot, "node", &id(to)]);
    say(from, &["cluster", "setslot", &slot, "node", &id(to)]);
    // -MOVED, and from then on straight there.
    read();
    read();
    assert_eq!(redis.purge_keys(KeySet::Beginning(b"{x}")).unwrap(), 20);
}

#[test]
fn replicas_answer_reads_where_that_is_wanted() {
    if !is_installed() {
        return;
    }
    let cluster = Cluster::start();
    let redis = open(&[("nodes", &cluster.nodes()), ("read_from_replicas", "on")]);
    let keys = keys(60);
    let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
    keys.iter().for_each(|key| put(&redis, key, key).unwrap());
    let reads_of = |role: &str| -> u64 {
        let servers = cluster.servers.iter().filter(|server| server.cli(&["role"]).starts_with(role));
        servers.map(|server| server.info("keyspace_hits")).sum()
    };
    let before = reads_of("slave");

    until("all replicas have everything, and answer", || {
        let found = redis.read(&keys).unwrap();
        found.iter().zip(&keys).for_each(|(value, key)| assert!(value.is_none() || value.as_deref() == Some(*key)));
        found.iter().all(Option::is_some) && reads_of("slave") >= before + 60
    });
    assert!(reads_of("master") > 0);
}

/// Works on the cluster until it is told to stop. No call may take longer than its deadline, and each value has to be one that was
/// written under its key, and not an older one than the last that is known to have been written.
struct Load {
    over: AtomicBool,
    done: AtomicU64,
    failed: AtomicU64,
    slowest: AtomicU64,
}

impl Load {
    fn work(&self, redis: &Redis, worker: usize, deadline: Duration) {
        for round in 0_u64.. {
            if self.over.load(SeqCst) {
                return;
            }
            let key = format!("{worker}-{}", round % 50);
            let value = format!("{key}={round}");
            let begun = Stopwatch::start();
            let written = put(redis, key.as_bytes(), value.as_bytes());
            self.slowest.fetch_max(begun.took().as_millis() as u64, SeqCst);
            let begun = Stopwatch::start();
            let read = redis.read(&[key.as_bytes(), b"none"]);
            self.slowest.fetch_max(begun.took().as_millis() as u64, SeqCst);
            if let Ok(values) = &read {
                assert_eq!(values[1], None);
                if let Some(value) = &values[0] {
                    assert!(value.starts_with(format!("{key}=").as_bytes()), "{key} is {value:?}");
                }
            }
            let counter = if written.is_ok() && read.is_ok() { &self.done } else { &self.failed };
            counter.fetch_add(1, SeqCst);
            let slowest = Duration::from_millis(self.slowest.load(SeqCst));
            assert!(slowest < deadline, "a call took {slowest:?}");
        }
    }

    fn run(redis: &Redis, deadline: Duration, meanwhile: impl FnOnce(&Load)) -> Load {
        let [done, failed, slowest] = [(); 3].map(|()| AtomicU64::new(0));
        let load = Load { over: AtomicBool::new(false), done, failed, slowest };
        std::thread::scope(|scope| {
            let load = &load;
            let workers: Vec<_> =
                (0..3).map(|worker| scope.spawn(move || load.work(redis, worker, deadline))).collect();
            load.wait_for_more(100);
            let happened = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| meanwhile(load)));
            load.over.store(true, SeqCst);
            workers.into_iter().for_each(|worker| worker.join().unwrap());
            happened.unwrap();
        });
        load
    }

    fn wait_for_more(&self, count: u64) {
        let before = self.done.load(SeqCst);
        until("more has been done", || self.done.load(SeqCst) >= before + count);
    }
}

#[test]
fn a_killed_primary_is_taken_over_for_under_load() {
    if !is_installed() {
        return;
    }
    let mut cluster = Cluster::start();
    let redis = open(&[("nodes", &cluster.nodes()), ("timeout", "250ms"), ("connect_timeout", "250ms")]);
    let load = Load::run(&redis, Duration::from_millis(900), |load| {
        let killed = cluster.kill_primary_of("catzilla:0-1");
        cluster.wait_until_up();
        assert_ne!(cluster.primary_of("catzilla:0-1"), killed);
        // By itself, without a probe, and with every key.
        let failed = || load.failed.load(SeqCst);
        until("all goes well again", || {
            let before = failed();
            load.wait_for_more(500);
            failed() == before
        });
        // The old one comes back as a replica.
        cluster.servers[killed].restart();
        load.wait_for_more(300);
    });
    assert!(load.failed.load(SeqCst) > 0, "nobody noticed that a primary was gone");
    redis.probe().unwrap();
    assert!(redis.clear().unwrap() > 0);
}

#[test]
fn a_stopped_primary_holds_no_call_beyond_its_deadline() {
    if !is_installed() {
        return;
    }
    let cluster = Cluster::start();
    let redis = open(&[("nodes", &cluster.nodes()), ("timeout", "250ms"), ("connect_timeout", "250ms")]);
    let load = Load::run(&redis, Duration::from_millis(900), |load| {
        let stopped = cluster.primary_of("catzilla:0-1");
        cluster.servers[stopped].stop();
        std::thread::sleep(Duration::from_millis(700));
        load.wait_for_more(100);
        until("its replica has taken over", || {
            let other = (stopped + 1) % 6;
            let nodes = cluster.servers[other].cli(&["cluster", "nodes"]);
            nodes.lines().filter(|line| line.contains("master") && !line.contains("fail")).count() == 3
        });
        load.wait_for_more(500);
        cluster.servers[stopped].cont();
        load.wait_for_more(500);
    });
    assert!(load.failed.load(SeqCst) > 0);
}

#[test]
fn a_cluster_that_is_gone_is_a_fault_in_time_and_one_that_is_back_is_found() {
    if !is_installed() {
        return;
    }
    let mut cluster = Cluster::start();
    let redis = open(&[("nodes", &cluster.nodes()), ("timeout", "250ms"), ("connect_timeout", "250ms")]);
    put(&redis, b"k", b"v").unwrap();
    cluster.servers.iter().for_each(|server| server.stop());
    for _ in 0..3 {
        let begun = Stopwatch::start();
        assert_eq!(get(&redis, b"k").unwrap_err().kind, FaultKind::TimedOut);
        redis.probe().unwrap_err();
        assert!(begun.took() < Duration::from_millis(1800), "{:?}", begun.took());
    }
    cluster.servers.iter().for_each(|server| server.cont());
    until("it is found", || get(&redis, b"k").is_ok_and(|value| value.as_deref() == Some(b"v")));
    cluster.servers.iter_mut().for_each(super::support::Server::kill);
    let begun = Stopwatch::start();
    assert_eq!(get(&redis, b"k").unwrap_err().kind, FaultKind::Unreachable);
    assert_eq!(open(&[("nodes", &cluster.nodes())]).probe().unwrap_err().kind, FaultKind::Unreachable);
    assert!(begun.took() < Duration::from_millis(1800), "{:?}", begun.took());
}
