//! All three tiers behind one handle, with a real Redis and real files: what is where, what comes back, and what a tier that is stopped,
//! killed or slow does to those who use the cache.
#![cfg(all(feature = "redis", feature = "disk", not(miri)))]

#[path = "support/folder.rs"]
mod folder;
#[path = "support/load.rs"]
mod load;
#[path = "support/pace.rs"]
mod pace;
#[path = "support/redis.rs"]
mod redis;

use catzilla_cache::{Cache, Get, Options, Pattern, Purge, Put, PutOptions, Read, Status, TierName, Ttl};
use folder::TemporaryFolder;
use load::Load;
use pace::Stopwatch;
use redis::{is_installed, until, Cluster, Proxy, Server, Weather};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

fn open(set: &[(&str, &str)]) -> Arc<Cache> {
    let mut options = Options::new();
    for (name, text) in set {
        options.set(name, text).unwrap();
    }
    Cache::open(&options).unwrap()
}

fn value(cache: &Cache, key: &[u8]) -> Option<(Vec<u8>, TierName)> {
    cache.acquire(key).unwrap().map(|value| (value.to_vec(), value.tier()))
}

fn is_up(cache: &Cache, tier: TierName) -> bool {
    cache.health(tier).unwrap().is_up
}

/// What a call may take on a busy machine: the deadline of a tier that is dead (500 ms), and scheduling. Far below the time for
/// which tiers are kept dead here.
const LONGEST: Duration = Duration::from_millis(2_000);

/// Longer than [`LONGEST`], so that a call that waits for the tier and not for its deadline shows.
const DEAD: Duration = Duration::from_millis(4_000);

/// The control of all that is said here about calls that are late: a machine that keeps its processors to itself is taken off...
#[test]
fn a_process_that_was_stopped_is_not_slow() {
    let name = "is_stopped_while_it_measures";
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--ignored", "--nocapture"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(said.any(|line| line.ends_with("measures")));
    let signal = |name: &str| Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(signal("-STOP").success());
    std::thread::sleep(3 * HELD);
    assert!(signal("-CONT").success());
    assert!(child.wait().unwrap().success());
}

#[test]
#[ignore = "run in a process of its own by the test above"]
#[allow(clippy::print_stdout)]
fn is_stopped_while_it_measures() {
    let (begun, watch) = (Instant::now(), Stopwatch::start());
    println!("measures");
    // Until it was stopped, which is seen by the clock alone.
    let mut last = begun;
    until("it was stopped", || {
        let gap = last.elapsed();
        last = Instant::now();
        gap > 2 * HELD
    });
    let (took, elapsed) = (watch.took(), begun.elapsed());
    assert!(took + 2 * HELD < elapsed, "{took:?} of {elapsed:?}");
}

/// ...and who waits is late, if he does so on a machine that goes on.
#[test]
fn a_call_that_waits_is_slow() {
    until("a wait was told as long as it was", || {
        let watch = Stopwatch::start();
        std::thread::sleep(HELD);
        watch.took() >= HELD
    });
}

const HELD: Duration = Duration::from_millis(200);

#[test]
fn a_warm_restart_reads_back_what_the_disk_held() {
    let folder = TemporaryFolder::new("restart");
    let path = folder.join("cache");
    let options = [("disk.path", &*path), ("memory.capacity", "10")];
    let cache = open(&options);
    for number in 0..1_000_u32 {
        cache.put(&number.to_le_bytes(), &number.to_be_bytes(), Ttl::Default).unwrap();
    }
    cache.put_with(b"tagged", b"value", &PutOptions { tags: &[b"tag"], ..PutOptions::default() }).unwrap();
    cache.remove(&7_u32.to_le_bytes());
    cache.put(b"short", b"value", Ttl::For(Duration::from_millis(1))).unwrap();
    drop(cache);
    let cache = open(&options);
    for number in 0..1_000_u32 {
        let expected = (number != 7).then(|| (number.to_be_bytes().to_vec(), TierName::Disk));
        assert_eq!(value(&cache, &number.to_le_bytes()), expected);
    }
    assert_eq!(value(&cache, b"short"), None);
    assert_eq!(value(&cache, b"tagged").unwrap().0, b"value");
    let statistics = cache.statistics();
    assert_eq!((statistics.hits, statistics.disk.hits), (1_000, 1_000));
    cache.purge(Purge::Tag(b"tag"));
    drop(cache);
    assert_eq!(value(&open(&options), b"tagged"), None);
}

#[test]
fn two_caches_share_what_is_in_redis() {
    if !is_installed() {
        return;
    }
    let server = Server::start(&[]);
    let url = server.url();
    let options = [("redis.url", &*url)];
    let (first, second) = (open(&options), open(&options));
    first.put(b"key", b"value", Ttl::For(Duration::from_secs(100))).unwrap();
    assert_eq!(value(&second, b"key"), Some((b"value".to_vec(), TierName::Redis)));
    assert!((90..=100).contains(&server.cli(&["TTL", "catzilla:key"]).trim().parse::<i64>().unwrap()));
    assert!(second.acquire(b"key").unwrap().unwrap().remaining().unwrap() <= Duration::from_secs(100));
    first.put(b"default", b"", Ttl::Default).unwrap();
    assert!(server.cli(&["TTL", "catzilla:default"]).trim().parse::<i64>().unwrap() > 86_000);
    // A batch is one round trip, whichever cache has written.
    let keys: Vec<String> = (0..100).map(|number| format!("k{number}")).collect();
    let mut puts: Vec<Put<'_>> =
        keys.iter().map(|key| Put::new(key.as_bytes(), key.as_bytes(), Ttl::Default)).collect();
    first.put_many(&mut puts);
    let before = server.info("total_commands_processed");
    let mut buffers = vec![[0; 8]; keys.len()];
    let mut gets: Vec<Get<'_>> =
        keys.iter().zip(&mut buffers).map(|(key, buffer)| Get::new(key.as_bytes(), buffer)).collect();
    second.get_many(&mut gets);
    assert!(gets.iter().all(|get| get.outcome == Ok(Some(Read::Copied(get.key.len())))));
    assert!(server.info("total_commands_processed") - before < 10, "not one command a key");
    // Somebody else's keys stay.
    server.cli(&["SET", "foreign", "stays"]);
    assert!(first.purge(Purge::All) >= 102);
    assert_eq!(server.cli(&["GET", "foreign"]).trim(), "stays");
    assert_eq!(value(&open(&options), b"k1"), None);
}

#[test]
fn a_pattern_is_purged_from_every_tier_and_from_what_waits_for_one() {
    if !is_installed() {
        return;
    }
    let (server, folder) = (Server::start(&[]), TemporaryFolder::new("pattern"));
    let (url, path) = (server.url(), folder.join("cache"));
    let options = [("redis.url", &*url), ("disk.path", &path)];
    for more in [&[][..], &[("cache.write", "behind"), ("disk.commit_interval", "60s")]] {
        let cache = open(&[&options[..], more].concat());
        let key = |number: u32| format!("http:GET:/item/{number}:{}", ["en", "de"][number as usize % 2]);
        for number in 0..300 {
            cache.put(key(number).as_bytes(), b"value", Ttl::Default).unwrap();
        }
        let pattern = Pattern::new(b"http:*/item/?5:??").unwrap();
        assert_eq!(cache.purge(Purge::Pattern(&pattern)), 9);
        let is_purged = |number: &u32| number % 10 == 5 && (10..100).contains(number);
        let left = || (0..300).filter(|number| value(&cache, key(*number).as_bytes()).is_some());
        assert!(left().eq((0..300).filter(|number| !is_purged(number))));
        drop(cache);
        // Each of the two tiers alone.
        for tier in options {
            let cache = open(&[tier]);
            let left = (0..300).filter(|number| value(&cache, key(*number).as_bytes()).is_some());
            assert!(left.eq((0..300).filter(|number| !is_purged(number))), "{tier:?} {more:?}");
            assert_eq!(cache.purge(Purge::Pattern(&Pattern::new(b"http*:?x").unwrap())), 0);
            cache.purge(Purge::All);
        }
    }
}

#[test]
fn a_cache_opens_without_redis_and_the_tier_joins_when_it_comes_up() {
    if !is_installed() {
        return;
    }
    let mut server = Server::start(&[]);
    let url = server.url();
    server.kill();
    let begun = Stopwatch::start();
    let cache = open(&[("redis.url", &url)]);
    cache.put(b"key", b"value", Ttl::Default).unwrap();
    assert_eq!(value(&cache, b"key").unwrap().1, TierName::Memory);
    assert!(begun.took() < LONGEST, "{:?}", begun.took());
    assert!(!is_up(&cache, TierName::Redis));
    let health = cache.health(TierName::Redis).unwrap();
    assert!(health.last_error.is_some() && health.last_error_at > 0);
    let mut required = Options::new();
    required.set("redis.url", &url).unwrap().set("redis.required", "on").unwrap();
    let refused = Cache::open(&required).unwrap_err();
    assert_eq!(refused.status(), Status::TierUnavailable);
    assert!(refused.message().contains("redis.required"), "{refused}");
    server.restart();
    until("the tier has joined", || is_up(&cache, TierName::Redis));
    cache.put(b"key", b"newer", Ttl::Default).unwrap();
    assert_eq!(value(&open(&[("redis.url", &url)]), b"key"), Some((b"newer".to_vec(), TierName::Redis)));
    Cache::open(&required).unwrap();
}

#[test]
fn a_redis_that_has_never_answered_costs_its_deadline_once_and_not_each_call() {
    if !is_installed() {
        return;
    }
    let server = Server::start(&[]);
    let url = server.url();
    for write in ["through", "behind"] {
        server.stop();
        let cache = open(&[("redis.url", &url), ("cache.write", write)]);
        let begun = Stopwatch::start();
        for number in 0..50_u32 {
            let key = number.to_le_bytes();
            cache.put_with(&key, b"value", &PutOptions { tags: &[b"tag"], ..PutOptions::default() }).unwrap();
            assert!(cache.acquire(&key).unwrap().is_some());
            assert!(cache.acquire(b"absent").unwrap().is_none());
            cache.purge(Purge::Prefix(b"nothing"));
        }
        // Once and, after a first probe, perhaps a second time; not fifty times.
        assert!(begun.took() < DEAD, "{:?} with cache.write={write}", begun.took());
        server.cont();
        until("the tier has joined", || {
            cache.contains(b"anything");
            is_up(&cache, TierName::Redis)
        });
    }
}

/// Runs a load over all tiers while something happens to Redis, and looks whether everybody was served all the while.
fn survives(set: &[(&str, &str)], drive: impl FnOnce(&Cache)) -> (Arc<Cache>, Load, TemporaryFolder) {
    let folder = TemporaryFolder::new("survives");
    let path = folder.join("cache");
    let mut options = vec![("disk.path", &*path), ("memory.capacity", "40")];
    options.extend(set);
    let cache = open(&options);
    let load = Load::new(200);
    load.during(&cache, 3, || drive(&cache));
    assert!(load.seen.longest() < LONGEST, "{:?}", load.seen);
    until("the tier has come back", || {
        cache.contains(b"anything");
        is_up(&cache, TierName::Redis)
    });
    let statistics = cache.statistics();
    assert!(statistics.disk.hits > 0, "the disk has not helped: {statistics:?}");
    assert_eq!(statistics.disk.openings, 0);
    (cache, load, folder)
}

#[test]
fn a_redis_that_stops_answering_costs_a_deadline_and_comes_back_by_itself() {
    if !is_installed() {
        return;
    }
    let server = Server::start(&[]);
    let (cache, load, _folder) = survives(&[("redis.url", &server.url())], |cache| {
        until("it is used", || cache.statistics().redis.hits > 50);
        server.stop();
        until("that is noticed", || !is_up(cache, TierName::Redis));
        std::thread::sleep(DEAD);
        server.cont();
        until("it is used again", || is_up(cache, TierName::Redis));
        let hits = cache.statistics().redis.hits;
        until("it answers again", || cache.statistics().redis.hits > hits);
    });
    let redis = cache.statistics().redis;
    assert!(redis.timeouts > 0 && redis.owed_ever > 0, "{redis:?}");
    // Two deadlines of 500 ms at most in this time, and scheduling.
    assert!(load.seen.lost() < Duration::from_millis(2_500), "{:?}", load.seen);
}

#[test]
fn a_redis_that_is_killed_and_started_anew_is_used_again_and_never_lies() {
    if !is_installed() {
        return;
    }
    // With its data on disk, so that it comes back with what is old by then.
    let mut server = Server::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let url = server.url();
    let (cache, _, _folder) = survives(&[("redis.url", &url)], |cache| {
        for _ in 0..3 {
            let hits = cache.statistics().redis.hits;
            until("it is used", || cache.statistics().redis.hits > hits + 50);
            server.kill();
            until("that is noticed", || !is_up(cache, TierName::Redis));
            std::thread::sleep(Duration::from_millis(300));
            server.restart();
            until("it is used again", || is_up(cache, TierName::Redis));
        }
    });
    let redis = cache.statistics().redis;
    assert!(redis.openings >= 3 && redis.connection_errors > 0 && redis.owed_ever > 0, "{redis:?}");
}

#[test]
fn a_network_that_is_slow_or_cuts_connections_is_survived() {
    if !is_installed() {
        return;
    }
    let server = Server::start(&[]);
    let proxy = Proxy::start(server.port());
    let (cache, _, _folder) = survives(&[("redis.url", &proxy.url())], |cache| {
        until("it is used", || cache.statistics().redis.hits > 50);
        proxy.set(Weather { delay: Duration::from_secs(30), ..Weather::default() });
        until("that is noticed", || !is_up(cache, TierName::Redis));
        std::thread::sleep(DEAD);
        proxy.set(Weather::default());
        until("it is used again", || is_up(cache, TierName::Redis));
        for _ in 0..5 {
            proxy.cut();
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    assert!(cache.statistics().redis.timeouts > 0);
}

#[test]
fn a_redis_without_memory_loses_values_and_never_lies() {
    if !is_installed() {
        return;
    }
    let server = Server::start(&["--maxmemory", "1500kb", "--maxmemory-policy", "noeviction"]);
    let (cache, _, _folder) = survives(&[("redis.url", &server.url())], |cache| {
        until("it is full", || {
            server.cli(&["SET", &format!("ballast:{}", rand()), &"x".repeat(20_000)]);
            cache.statistics().redis.full_errors > 20
        });
        server.cli(&["CONFIG", "SET", "maxmemory", "0"]);
        let puts = cache.statistics().redis.puts;
        until("it takes values again", || cache.statistics().redis.puts > puts + 20);
    });
    assert!(cache.statistics().redis.full_errors > 0);
}

fn rand() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    NUMBER.fetch_add(1, Relaxed)
}

#[test]
fn writes_that_are_left_behind_are_seen_at_once_and_arrive() {
    if !is_installed() {
        return;
    }
    let mut server = Server::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let url = server.url();
    let (cache, _, _folder) = survives(&[("redis.url", &url), ("cache.write", "behind")], |cache| {
        until("it is used", || cache.statistics().redis.puts > 50);
        server.kill();
        until("that is noticed", || !is_up(cache, TierName::Redis));
        std::thread::sleep(Duration::from_millis(500));
        server.restart();
        until("it is used again", || is_up(cache, TierName::Redis));
    });
    cache.put(b"last", b"value", Ttl::Default).unwrap();
    cache.flush(Duration::from_secs(60)).unwrap();
    assert_eq!(value(&open(&[("redis.url", &url)]), b"last").unwrap().0, b"value");
}

#[test]
fn a_cluster_that_loses_a_primary_goes_on_and_never_lies() {
    if !is_installed() {
        return;
    }
    let mut cluster = Cluster::start();
    let nodes = cluster.nodes();
    let (cache, _, _folder) = survives(&[("redis.nodes", &nodes)], |cache| {
        until("it is used", || cache.statistics().redis.hits > 50);
        cluster.kill_primary_of("catzilla:load:1");
        std::thread::sleep(Duration::from_secs(1));
        cluster.wait_until_up();
        until("it is used again", || is_up(cache, TierName::Redis));
        let hits = cache.statistics().redis.hits;
        until("it answers again", || cache.statistics().redis.hits > hits + 50);
    });
    cache.purge(Purge::All);
    assert_eq!(cache.statistics().memory.entries, 0);
}

#[test]
fn a_password_that_is_wrong_is_told_and_the_other_tiers_go_on() {
    if !is_installed() {
        return;
    }
    let server = Server::start(&["--requirepass", "right"]);
    let folder = TemporaryFolder::new("password");
    let path = folder.join("cache");
    let url = format!("redis://:wrong@127.0.0.1:{}", server.port());
    let cache = open(&[("redis.url", &url), ("disk.path", &path)]);
    cache.put(b"key", b"value", Ttl::Default).unwrap();
    let health = cache.health(TierName::Redis).unwrap();
    assert!(!health.is_up);
    let told = health.last_error.unwrap();
    assert!(told.contains("WRONGPASS") || told.contains("password"), "{told}");
    assert!(!told.contains("wrong@"), "{told}");
    assert_eq!(cache.statistics().redis.refusals, 1);
    assert_eq!(value(&cache, b"key").unwrap().0, b"value");
}

#[test]
fn what_is_asked_of_a_tier_that_can_never_be_is_refused() {
    let folder = TemporaryFolder::new("refused");
    let file = folder.join("file");
    std::fs::write(&file, b"no folder").unwrap();
    let link = folder.join("link");
    std::os::unix::fs::symlink(folder.path(), &link).unwrap();
    let deep = format!("{file}/below");
    for (name, text) in [
        ("redis.url", "http://localhost"),
        ("redis.url", "no url"),
        ("redis.nodes", "redis://"),
        ("redis.ca_file", "/does/not/exist"),
        ("disk.path", &file),
        ("disk.path", &link),
        ("disk.path", &deep),
    ] {
        let mut options = Options::new();
        options.set(name, text).unwrap();
        if name == "redis.ca_file" {
            options.set("redis.url", "rediss://localhost").unwrap();
        }
        let error = Cache::open(&options).expect_err(text);
        assert!(error.message().contains(name), "{name}={text}: {error}");
    }
}
