//! One server that is well: what is written, what is found, what it is called, and in which namespace.

use super::pace::Stopwatch;
use super::support::{is_installed, until, Server};
use super::{get, now_millis, on, put, put_as, tagged};
use crate::tiers::{FaultKind, Outcome, Tier, What, Write};
use std::time::{Duration, Instant};

#[test]
fn what_is_written_comes_back_by_any_number_of_keys() {
    if !is_installed() {
        return;
    }
    let server = Server::start(&[]);
    let redis = on(&server);
    assert_eq!(redis.read(&[]).unwrap(), Vec::<Option<Vec<u8>>>::new());
    assert_eq!(get(&redis, b"none").unwrap(), None);
    let values: Vec<(Vec<u8>, Vec<u8>)> = [0, 1, 100, 65_000, 65_536, 70_000, 1 << 20, 5_000_000]
        .iter()
        .map(|length| (format!("{length}\r\n").into_bytes(), vec![b'\n'; *length]))
        .collect();
    let put = |(key, envelope): &'static (Vec<u8>, Vec<u8>)| {
        Write::new(key, What::Put { envelope, expires: None, tags: &[], if_absent: false })
    };
    let values: &'static [_] = values.leak();
    let mut writes: Vec<Write<'_>> = values.iter().map(put).collect();
    redis.write(&mut writes).unwrap();
    assert!(writes.iter().all(|write| write.outcome == Outcome::Done));
    for (key, value) in values {
        assert_eq!(get(&redis, key).unwrap().as_ref(), Some(value));
    }
    let mut keys: Vec<&[u8]> = values.iter().map(|(key, _)| &key[..]).collect();
    keys.insert(3, b"none");
    let mut found = redis.read(&keys).unwrap();
    assert_eq!(found.remove(3), None);
    assert!(found.iter().map(Option::as_ref).eq(values.iter().map(|(_, value)| Some(value))));
    assert_eq!(redis.figures().connections, 1);
}

#[test]
fn writes_of_a_batch_are_done_in_their_order_and_each_has_its_outcome() {
    if !is_installed() {
        return;
    }
    let server = Server::start(&[]);
    let redis = on(&server);
    let put = |envelope, if_absent| What::Put { envelope, expires: None, tags: &[], if_absent };
    let mut writes = [
        Write::new(b"a", put(b"1", true)),
        Write::new(b"a", put(b"2", true)),
        Write::new(b"a", What::Remove),
        Write::new(b"a", What::Remove),
        Write::new(b"a", put(b"3", true)),
        Write::new(b"a", put(b"4", false)),
    ];
    redis.write(&mut writes).unwrap();
    use Outcome::{Done, Nothing};
    assert_eq!(writes.map(|write| write.outcome), [Done, Nothing, Done, Nothing, Done, Done]);
    assert_eq!(get(&redis, b"a").unwrap().unwrap(), b"4");
}

#[test]
fn a_key_is_called_by_its_prefix_and_itself_and_none_is_called_like_ours() {
    if !is_installed() {
        return;
    }
    let server = Server::start(&[]);
    let redis = on(&server);
    put(&redis, b"page", b"plain").unwrap();
    assert_eq!(server.cli(&["get", "catzilla:page"]), "plain");
    put(&redis, b"\0namespace", b"mine").unwrap();
    put(&redis, b"\0tag:x", b"mine too").unwrap();
    put(&redis, b"", b"empty").unwrap();
    assert_eq!(server.raw(&[b"GET", b"catzilla:\0\0namespace"]), b"$4\r\nmine\r\n");
    assert_eq!(server.raw(&[b"GET", b"catzilla:\0tag:x"]), b"$-1\r\n");
    let namespace = redis.namespace().to_string();
    assert_eq!(
        server.raw(&[b"GET", b"catzilla:\0namespace"]),
        format!("${}\r\n{namespace}\r\n", namespace.len()).as_bytes()
    );
    let found = redis.read(&[b"\0namespace", b"", b"\0tag:x"]).unwrap();
    assert_eq!(found.into_iter().flatten().collect::<Vec<_>>(), [&b"mine"[..], b"empty", b"mine too"]);
}

#[test]
fn redis_forgets_by_itself_what_has_expired() {
    if !is_installed() {
        return;
    }
    let server = Server::start(&[]);
    let redis = on(&server);
    let put = |key, millis: u64| {
        let expires = Some(now_millis() + millis);
        put_as(&redis, key, What::Put { envelope: b"v", expires, tags: &[], if_absent: false }).unwrap();
    };
    put(b"hour", 3_600_000);
    let left: i64 = server.cli(&["pttl", "catzilla:hour"]).parse().unwrap();
    assert!((3_500_000..=3_600_000).contains(&left), "{left}");
    super::put(&redis, b"ever", b"v").unwrap();
    assert_eq!(server.cli(&["pttl", "catzilla:ever"]), "-1");
    // It was over before it arrived, and still takes the place of what was there.
    let expires = Some(now_millis() - 5000);
    put_as(&redis, b"ever", What::Put { envelope: b"w", expires, tags: &[], if_absent: false }).unwrap();
    until("it has expired", || get(&redis, b"ever").unwrap().is_none());
    put(b"short", 30);
    until("it has expired", || get(&redis, b"short").unwrap().is_none());
    // An entry with tags goes before its tags do.
    put_as(&redis, b"tagged", tagged(b"v", &[b"t"])).unwrap();
    let entry: u64 = server.cli(&["ttl", "catzilla:tagged"]).parse().unwrap();
    let answer = server.raw(&[b"TTL", b"catzilla:\0tag:t"]);
    let tag: u64 = std::str::from_utf8(&answer[1..]).unwrap().trim().parse().unwrap();
    assert!((399 * 86_400 - 60..=399 * 86_400).contains(&entry) && tag > entry, "{entry} {tag}");
}

#[test]
fn a_namespace_raised_by_another_client_is_noticed_soon_and_by_the_one_who_raised_it_at_once() {
    if !is_installed() {
        return;
    }
    let server = Server::start(&[]);
    let (one, other) = (on(&server), on(&server));
    let before = one.namespace();
    assert_ne!(before, 0);
    assert_eq!(other.namespace(), before);
    other.clear().unwrap();
    let raised = other.namespace();
    assert!(raised > before);
    let cleared = Stopwatch::start();
    until("the other has noticed", || {
        get(&one, b"any").unwrap();
        one.namespace() == raised
    });
    // A second, and what a busy machine adds to it.
    assert!(cleared.took() < Duration::from_secs(3), "{:?}", cleared.took());
    // Who has been away looks on the way back, in the same exchange.
    one.clear().unwrap();
    std::thread::sleep(Duration::from_millis(800));
    get(&other, b"any").unwrap();
    assert_eq!(other.namespace(), one.namespace());
}

#[test]
fn the_namespace_is_asked_for_by_the_first_read_and_costs_no_round_trip() {
    if !is_installed() {
        return;
    }
    let server = Server::start(&[]);
    on(&server).namespace();
    let redis = on(&server);
    get(&redis, b"any").unwrap();
    assert_ne!(redis.namespace.known(), 0);
    let before = server.info("total_commands_processed");
    let begun = Instant::now();
    for _ in 0..500 {
        get(&redis, b"any").unwrap();
    }
    // INFO is a command too.
    let commands = server.info("total_commands_processed") - before - 1;
    let looks = commands - 500;
    assert!(looks <= 1 + begun.elapsed().as_millis() as u64 / 700, "{looks} in {:?}", begun.elapsed());
}

#[test]
fn a_lost_or_older_namespace_is_replaced_by_one_that_was_never_used() {
    if !is_installed() {
        return;
    }
    let server = Server::start(&[]);
    let redis = on(&server);
    let mut before = redis.namespace();
    let key = b"catzilla:\0namespace";
    for broken in [&b""[..], b"17", b"nonsense", b"0", b"a list"] {
        match broken {
            b"" => server.raw(&[b"DEL", key]),
            b"a list" => {
                server.raw(&[b"EVAL", b"redis.call('del', KEYS[1]) redis.call('lpush', KEYS[1], 'x')", b"1", key])
            }
            text => server.raw(&[b"SET", key, text]),
        };
        until("it has noticed", || {
            get(&redis, b"any").unwrap();
            redis.namespace() != before
        });
        assert!(redis.namespace() > before, "{broken:?}");
        before = redis.namespace();
        assert_eq!(on(&server).namespace(), before, "{broken:?}");
    }
}

#[test]
fn something_else_under_a_name_of_ours_is_a_miss_and_is_written_over() {
    if !is_installed() {
        return;
    }
    let server = Server::start(&[]);
    let redis = on(&server);
    server.cli(&["lpush", "catzilla:list", "x"]);
    assert_eq!(get(&redis, b"list").unwrap(), None);
    assert_eq!(redis.read(&[b"list", b"none"]).unwrap(), [None, None]);
    put(&redis, b"list", b"v").unwrap();
    assert_eq!(get(&redis, b"list").unwrap().unwrap(), b"v");
}

#[test]
fn a_server_without_room_refuses_writes_one_by_one_and_is_still_read() {
    if !is_installed() {
        return;
    }
    let server = Server::start(&["--maxmemory-policy", "noeviction"]);
    let redis = on(&server);
    put(&redis, b"there", b"v").unwrap();
    server.raw(&[b"SET", b"ballast", &[0; 2 << 20]]);
    server.cli(&["config", "set", "maxmemory", "1mb"]);
    let mut writes = [
        Write::new(b"more", tagged(b"v", &[])),
        Write::new(b"there", What::Remove),
        Write::new(b"with a tag", tagged(b"v", &[b"t"])),
    ];
    assert_eq!(get(&redis, b"there").unwrap().unwrap(), b"v");
    redis.write(&mut writes).unwrap();
    let [more, there, with_a_tag] = writes.map(|write| write.outcome);
    assert_eq!(there, Outcome::Done);
    for refused in [more, with_a_tag] {
        assert!(
            matches!(&refused, Outcome::Refused(fault) if fault.kind == FaultKind::Full && fault.message.contains("OOM")),
            "{refused:?}"
        );
    }
}

#[test]
fn a_value_that_redis_cannot_take_is_refused_before_it_is_sent() {
    if !is_installed() {
        return;
    }
    let server = Server::start(&[]);
    let redis = on(&server);
    let huge = vec![0; (512 << 20) + 1];
    let mut writes = [Write::new(b"huge", tagged(&huge, &[])), Write::new(b"small", tagged(b"v", &[]))];
    redis.write(&mut writes).unwrap();
    let [huge, small] = writes.map(|write| write.outcome);
    assert!(matches!(&huge, Outcome::Refused(fault) if fault.kind == FaultKind::TooLarge), "{huge:?}");
    assert_eq!(small, Outcome::Done);
    assert_eq!(get(&redis, b"huge").unwrap(), None);
}
