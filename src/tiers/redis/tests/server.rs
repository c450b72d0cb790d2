//! One server that is well: what is written, what is found, what it is called, and what goes with tags, clearing and namespaces.

use super::pace::Stopwatch;
use super::support::{are_installed, certificates, is_installed, until, Folder, Server};
use super::{get, now_millis, on, open, put, put_as, try_open};
use crate::clock::unix_micros;
use crate::error::Status;
use crate::pattern::{KeySet, Pattern};
use crate::tiers::{FaultKind, Outcome, Tier, What, Write};
use std::time::{Duration, Instant};

fn tagged<'a>(envelope: &'a [u8], tags: &'a [&'a [u8]]) -> What<'a> {
    What::Put { envelope, expires: None, tags, if_absent: false }
}

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
fn clearing_removes_our_keys_and_nobody_elses() {
    if !is_installed() {
        return;
    }
    let server = Server::start(&[]);
    let redis = open(&[("url", &server.url()), ("key_prefix", "a*[b]?\\:")]);
    let neighbour = open(&[("url", &server.url()), ("key_prefix", "axb:")]);
    for number in 0..2500 {
        put(&redis, format!("{number}").as_bytes(), b"v").unwrap();
    }
    put_as(&redis, b"\0odd", tagged(b"v", &[b"t"])).unwrap();
    put(&neighbour, b"stays", b"v").unwrap();
    server.cli(&["set", "foreign", "stays"]);
    server.cli(&["set", "axxbx\\:", "stays"]);
    let before = redis.namespace();
    assert_eq!(redis.clear().unwrap(), 2501);
    assert!(redis.namespace() > before);
    assert_eq!(get(&redis, b"17").unwrap(), None);
    assert_eq!(get(&neighbour, b"stays").unwrap().unwrap(), b"v");
    // Both namespaces, and what is not ours.
    assert_eq!(server.cli(&["dbsize"]), "5");
    assert_eq!(redis.clear().unwrap(), 0);
}

#[test]
fn a_prefix_takes_every_key_that_begins_with_it_and_no_other() {
    if !is_installed() {
        return;
    }
    let server = Server::start(&[]);
    let redis = on(&server);
    let keys: [&[u8]; 7] = [b"user:1", b"user:2", b"user*", b"userx", b"\0zero", b"\0", b"other"];
    let fill = || keys.iter().for_each(|key| put_as(&redis, key, tagged(b"v", &[b"t"])).map(drop).unwrap());
    let left = || {
        let found = redis.read(&keys).unwrap();
        keys.iter().zip(found).filter(|(_, value)| value.is_some()).map(|(key, _)| *key).collect::<Vec<_>>()
    };
    fill();
    assert_eq!(redis.purge_keys(KeySet::Beginning(b"user*")).unwrap(), 1);
    assert_eq!(redis.purge_keys(KeySet::Beginning(b"user:")).unwrap(), 2);
    assert_eq!(left(), [&b"userx"[..], b"\0zero", b"\0", b"other"]);
    assert_eq!(redis.purge_keys(KeySet::Beginning(b"\0z")).unwrap(), 1);
    assert_eq!(redis.purge_keys(KeySet::Beginning(b"\0")).unwrap(), 1);
    assert_eq!(redis.purge_keys(KeySet::Beginning(b"\0tag")).unwrap(), 0);
    assert_eq!(left(), [&b"userx"[..], b"other"]);
    assert_eq!(redis.purge_keys(KeySet::Beginning(b"")).unwrap(), 2);
    // The tag is still known: nothing of the tier's own has gone.
    assert!(!redis.is_purged(&[b"t"], unix_micros()).unwrap());
    assert_ne!(server.raw(&[b"GET", b"catzilla:\0namespace"]), b"$-1\r\n");
}

#[test]
fn a_pattern_takes_every_key_that_fits_and_no_other() {
    if !is_installed() {
        return;
    }
    let server = Server::start(&[]);
    let redis = open(&[("url", &server.url()), ("key_prefix", "a*[b]?\\:")]);
    let neighbour = open(&[("url", &server.url()), ("key_prefix", "axb:")]);
    let keys: [&[u8]; 12] = [
        b"page:1:en",
        b"page:2:en",
        b"page:12:en",
        b"page:1:de",
        b"page:",
        b"[p]age",
        b"p*ge",
        b"\0x",
        b"\0",
        b"\xff\xfe",
        b"x",
        b"",
    ];
    let purges: [(&[u8], &[&[u8]]); 14] = [
        (b"page:*:en", &[b"page:1:en", b"page:2:en", b"page:12:en"]),
        (b"page:?:*", &[b"page:1:en", b"page:2:en", b"page:1:de"]),
        (b"*:1?:*", &[b"page:12:en"]),
        (b"*a*e*:*:*n", &[b"page:1:en", b"page:2:en", b"page:12:en"]),
        (b"[p]*", &[b"[p]age"]),
        (br"p\*ge", &[b"p*ge"]),
        (b"p*ge", &[b"p*ge"]),
        (b"?x", &[b"\0x"]),
        (b"?", &[b"\0", b"x"]),
        (b"\0*", &[b"\0x", b"\0"]),
        (b"\xff?", &[b"\xff\xfe"]),
        (b"", &[b""]),
        (b"*tag:t", &[]),
        (b"**", &keys),
    ];
    put(&neighbour, b"page:1:en", b"v").unwrap();
    server.cli(&["set", "page:1:en", "stays"]);
    for (pattern, expected) in purges {
        keys.iter().for_each(|key| put_as(&redis, key, tagged(b"v", &[b"t"])).map(drop).unwrap());
        let pattern = Pattern::new(pattern).unwrap();
        assert_eq!(redis.purge_keys(KeySet::Fitting(&pattern)).unwrap(), expected.len() as u64, "{pattern:?}");
        let found = redis.read(&keys).unwrap();
        for (key, value) in keys.iter().zip(found) {
            assert_eq!(value.is_none(), expected.contains(key), "{pattern:?} {}", key.escape_ascii());
        }
    }
    // The tag and the namespaces are still known, and what is somebody else's.
    assert!(!redis.is_purged(&[b"t"], unix_micros()).unwrap());
    assert_eq!(server.cli(&["dbsize"]), "5");
    // A server would take years to try how these stars share a key.
    put(&redis, &[b'a'; 10_000], b"v").unwrap();
    let stars = [&b"*a".repeat(2_000)[..], b"*b"].concat();
    assert_eq!(redis.purge_keys(KeySet::Fitting(&Pattern::new(&stars).unwrap())).unwrap(), 0);
    let pattern = Pattern::new(&stars[..4_001]).unwrap();
    assert_eq!(redis.purge_keys(KeySet::Fitting(&pattern)).unwrap(), 1);
}

#[test]
fn a_purged_tag_says_so_of_what_was_made_before() {
    if !is_installed() {
        return;
    }
    let server = Server::start(&[]);
    let redis = on(&server);
    let made = unix_micros();
    put_as(&redis, b"k", tagged(b"v", &[b"red", b"blue"])).unwrap();
    assert!(!redis.is_purged(&[], made).unwrap());
    assert!(!redis.is_purged(&[b"red", b"blue"], made).unwrap());
    redis.purge_tag(b"blue", made).unwrap();
    assert!(redis.is_purged(&[b"red", b"blue"], made).unwrap());
    assert!(!redis.is_purged(&[b"red", b"blue"], made + 1).unwrap());
    assert!(!redis.is_purged(&[b"red"], made).unwrap());
    // An earlier purge takes nothing back, and neither does a put.
    redis.purge_tag(b"blue", made - 10).unwrap();
    put_as(&redis, b"k", tagged(b"v", &[b"blue"])).unwrap();
    assert!(redis.is_purged(&[b"blue"], made).unwrap());
    // Another client sees the same.
    assert!(on(&server).is_purged(&[b"blue"], made).unwrap());
}

#[test]
fn a_tag_that_redis_has_lost_counts_as_purged_and_stays_so_for_what_was_there() {
    if !is_installed() {
        return;
    }
    let server = Server::start(&[]);
    let redis = on(&server);
    assert!(redis.is_purged(&[b"never written"], unix_micros()).unwrap());
    let long_ago = unix_micros() - 60_000_000;
    put_as(&redis, b"old", tagged(b"v", &[b"t"])).unwrap();
    redis.purge_tag(b"t", long_ago).unwrap();
    server.raw(&[b"DEL", b"catzilla:\0tag:t"]);
    assert!(redis.is_purged(&[b"t"], long_ago).unwrap());
    let made = unix_micros();
    put_as(&redis, b"new", tagged(b"v", &[b"t"])).unwrap();
    assert!(redis.is_purged(&[b"t"], long_ago).unwrap(), "what was purged has come back");
    assert!(!redis.is_purged(&[b"t"], made).unwrap());
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

#[test]
fn passwords_users_and_databases_are_used_and_a_wrong_one_is_said() {
    if !is_installed() {
        return;
    }
    let mut server = Server::start(&["--requirepass", "s3 cret"]);
    server.entrance = vec!["--no-auth-warning".into(), "-a".into(), "s3 cret".into()];
    let at = |entrance: &str| open(&[("url", &format!("redis://{entrance}127.0.0.1:{}/3", server.port()))]);
    let redis = at(":s3%20cret@");
    redis.probe().unwrap();
    put(&redis, b"k", b"v").unwrap();
    assert_eq!(server.cli(&["-n", "3", "get", "catzilla:k"]), "v");
    for (entrance, word) in [(":wr0ng@", "WRONGPASS"), ("nobody:s3%20cret@", "WRONGPASS"), ("", "NOAUTH")] {
        let fault = at(entrance).probe().unwrap_err();
        assert_eq!(fault.kind, FaultKind::Refused);
        assert!(fault.message.contains(word) && !fault.message.contains("wr0ng"), "{fault}");
    }
    let fault = open(&[("url", &format!("redis://:s3%20cret@127.0.0.1:{}/99", server.port()))]).probe().unwrap_err();
    assert!(fault.kind == FaultKind::Refused && fault.message.contains("DB index"), "{fault}");
}

#[test]
fn a_user_who_may_use_nothing_but_our_prefix_is_enough() {
    if !is_installed() {
        return;
    }
    let server = Server::start(&[]);
    let commands = ["+get", "+mget", "+set", "+unlink", "+expire", "+scan", "+ping"];
    let user = ["acl", "setuser", "cache", "on", ">pw", "resetkeys", "~catzilla:*", "-@all"];
    assert_eq!(server.cli(&[&user[..], &commands].concat()), "OK");
    let at =
        |prefix| open(&[("url", &format!("redis://cache:pw@127.0.0.1:{}", server.port())), ("key_prefix", prefix)]);
    let redis = at("catzilla:");
    redis.probe().unwrap();
    put_as(&redis, b"k", tagged(b"v", &[b"t"])).unwrap();
    assert!(!redis.is_purged(&[b"t"], unix_micros()).unwrap());
    redis.purge_tag(b"t", 5).unwrap();
    assert_eq!(redis.read(&[b"k", b"none"]).unwrap(), [Some(b"v".to_vec()), None]);
    assert_eq!(redis.clear().unwrap(), 1);
    let fault = get(&at("other:"), b"k").unwrap_err();
    assert!(fault.kind == FaultKind::Refused && fault.message.contains("NOPERM"), "{fault}");
}

#[test]
fn a_unix_socket_is_as_good_as_a_port() {
    if !is_installed() {
        return;
    }
    let server = Server::start(&[]);
    for scheme in ["redis+unix", "unix"] {
        let redis = open(&[("url", &format!("{scheme}://{}?db=2", server.socket().display()))]);
        redis.probe().unwrap();
        put(&redis, scheme.as_bytes(), b"v").unwrap();
        assert_eq!(server.cli(&["-n", "2", "get", &format!("catzilla:{scheme}")]), "v");
    }
    let fault = open(&[("url", "redis+unix:///nowhere/at/all")]).probe().unwrap_err();
    assert_eq!(fault.kind, FaultKind::Unreachable);
}

#[test]
fn a_server_by_tls_is_believed_if_its_certificate_is_and_believes_ours() {
    if !is_installed() || !are_installed(&["openssl"]) {
        return;
    }
    let folder = Folder::new();
    certificates(folder.path()).unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let port = super::support::free_port().to_string();
    let (certificate, key, ca) = (file("server.pem"), file("server.key"), file("ca.pem"));
    let arguments =
        ["--tls-port", &port, "--tls-cert-file", &certificate, "--tls-key-file", &key, "--tls-ca-cert-file", &ca];
    let server = Server::start(&[&arguments[..], &["--tls-auth-clients", "yes"]].concat());
    let tls = |host: &str, options: &[(&str, &str)]| {
        let url = format!("rediss://{host}:{port}");
        open(&[&[("url", &url[..])], options].concat())
    };
    let (mine, my_key, other) = (file("client.pem"), file("client.key"), file("other.pem"));
    let shown = [("certificate_file", &mine[..]), ("key_file", &my_key[..])];
    for host in ["127.0.0.1", "localhost"] {
        let redis = tls(host, &[&[("ca_file", &ca[..])], &shown[..]].concat());
        redis.probe().unwrap();
        let large = vec![7; 3_000_000];
        put(&redis, b"large", &large).unwrap();
        assert!(get(&redis, b"large").unwrap().unwrap() == large);
        std::thread::sleep(Duration::from_millis(20));
        assert!(get(&redis, b"large").unwrap().is_some());
        assert_eq!(redis.figures().connects, 1);
    }
    assert_eq!(server.cli(&["exists", "catzilla:large"]), "1");
    let refusal = |options: &[(&str, &str)]| tls("127.0.0.1", options).probe().unwrap_err();
    let unknown = refusal(&[&[("ca_file", &other[..])], &shown[..]].concat());
    assert!(unknown.kind == FaultKind::Refused && unknown.message.contains("certificate"), "{unknown}");
    // Without a certificate of ours the server ends it.
    let silent = refusal(&[("ca_file", &ca)]);
    assert!(matches!(silent.kind, FaultKind::Refused | FaultKind::Unreachable), "{silent}");
    // The name has to be the certificate's.
    let stranger = tls("127.0.0.2", &[&[("ca_file", &ca[..])], &shown[..]].concat()).probe().unwrap_err();
    assert_ne!(stranger.kind, FaultKind::TimedOut);
}

#[test]
fn options_that_can_never_work_are_refused_without_a_word_of_the_password() {
    let folder = Folder::new();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (nonsense, empty) =
        (file("nonsense", "-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n"), file("empty", ""));
    let (tls, plain) = (("url", "rediss://h"), ("url", "redis://h"));
    for (options, part) in [
        (&[("url", "http://user:s3cret@host")][..], "no scheme that is known"),
        (&[("url", "s3cret")], "no scheme that is known"),
        (&[("url", "redis://user:s3cret@host:port")], "cannot be understood"),
        (&[("url", "redis://user:s3cret@host/x")], "cannot be understood"),
        (&[("url", "redis://user:s3cret@")], "cannot be understood"),
        (&[("url", "redis://user:s3cret@host/-1")], "below 0"),
        (&[("url", "redis://s3cret@host")], "without a password"),
        (&[("url", "redis+unix:///")], "names no socket"),
        (&[("url", "rediss://:s3cret@host/#insecure")], "not offered"),
        (&[plain, ("nodes", "a:1")], "both given"),
        (&[("nodes", " , ")], "names no node"),
        (&[("nodes", "a:1,b:x")], "cannot be understood"),
        (&[("nodes", "redis://a:1/2")], "database other than 0"),
        (&[("nodes", "redis+unix:///a")], "unix socket"),
        (&[("nodes", "redis://:s3cret@a:1,redis://b:1")], "different users"),
        (&[("nodes", "redis://a:1,rediss://b:1")], "different users"),
        (&[plain, ("ca_file", &empty)], "are for TLS"),
        (&[tls, ("ca_file", "/nowhere/ca.pem")], "cannot be read"),
        (&[tls, ("ca_file", &empty)], "holds no certificate"),
        (&[tls, ("ca_file", &nonsense)], "no file of PEM"),
    ] {
        let error = try_open(options).err().unwrap_or_else(|| panic!("{options:?} was taken"));
        assert_eq!(error.status(), Status::InvalidOption, "{options:?}");
        assert!(error.message().contains(part) && error.message().starts_with("`redis."), "{options:?}: {error}");
        assert!(!error.message().contains("s3cret"), "{error}");
    }
    if are_installed(&["openssl"]) {
        certificates(folder.path()).unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let (ca, mine, my_key, other) = (path("ca.pem"), path("client.pem"), path("client.key"), path("other.key"));
        let refused = |options: &[(&str, &str)]| {
            try_open(&[&[tls, ("ca_file", &ca[..])], options].concat()).err().unwrap().message().to_owned()
        };
        assert!(refused(&[("certificate_file", &mine)]).contains("`redis.key_file` is missing"));
        assert!(refused(&[("key_file", &my_key)]).contains("`redis.certificate_file` is missing"));
        assert!(refused(&[("certificate_file", &mine), ("key_file", &mine)]).contains("no private key"));
        assert!(refused(&[("certificate_file", &mine), ("key_file", &other)]).contains("does not fit"));
    }
}

#[test]
fn options_that_may_work_make_no_connection() {
    for options in [
        &[("url", "redis://127.0.0.1:1")][..],
        &[("url", "redis://user:p%40ss@no.such.host.invalid:7000/5")],
        &[("url", "redis://[::1]:7000")],
        &[("nodes", "127.0.0.1:1, redis://127.0.0.1:2,[::1]:7")],
    ] {
        let redis = try_open(options).unwrap();
        assert_eq!(redis.figures().connects, 0);
    }
}
