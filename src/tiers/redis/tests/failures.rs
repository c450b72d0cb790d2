//! A server that stops, dies, dribbles, refuses or talks nonsense, and what is between it and us: deadlines hold, connections that
//! were closed cost nothing, and nothing is ever taken for an answer that is none.

use super::pace::Stopwatch;
use super::support::{free_port, is_installed, until, Proxy, Server, Weather};
use super::{get, on, open, put, put_as};
use crate::tiers::redis::Redis;
use crate::tiers::{FaultKind, Inquiry, Outcome, Tier, What, Write};
use std::io::{Read, Write as _};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// As by default.
const TIMEOUT: Duration = Duration::from_millis(250);

/// What a call may take on a busy machine beyond its deadline: scheduling, no more.
const SLACK: Duration = Duration::from_millis(400);

fn impatient(url: &str) -> Redis {
    open(&[("url", url), ("timeout", "250ms"), ("connect_timeout", "250ms")])
}

/// Does it, and says how long it took, by the clock on the wall; never longer than a call may, by the machine's.
#[track_caller]
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let begun = Stopwatch::start();
    let (before, done) = (Instant::now(), work());
    let (took, elapsed) = (begun.took(), before.elapsed());
    assert!(took < 2 * TIMEOUT + SLACK, "{took:?}");
    (done, elapsed)
}

#[test]
fn nobody_there_is_a_fault_at_once_and_of_a_name_too() {
    let redis = impatient(&format!("redis://127.0.0.1:{}", free_port()));
    let (fault, _) = timed(|| get(&redis, b"k").unwrap_err());
    assert_eq!(fault.kind, FaultKind::Unreachable);
    assert!(fault.message.contains("127.0.0.1:"), "{fault}");
    let redis = impatient("redis://no.such.host.invalid:7000");
    let (fault, _) = timed(|| put(&redis, b"k", b"v").unwrap_err());
    assert!(matches!(fault.kind, FaultKind::Unreachable | FaultKind::TimedOut), "{fault}");
}

#[test]
fn a_host_that_swallows_everything_costs_the_time_of_a_connection() {
    // A socket that listens and whose queue is full: the kernel answers no further one.
    let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    listener.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let port = listener.local_addr().unwrap().as_socket().unwrap().port();
    let _queued: Vec<_> = (0..4)
        .map(|_| {
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            let address = std::net::SocketAddr::from(([127, 0, 0, 1], port)).into();
            let _ = socket.connect_timeout(&address, Duration::from_millis(20));
            socket
        })
        .collect();
    let redis = impatient(&format!("redis://127.0.0.1:{port}"));
    let (fault, took) = timed(|| get(&redis, b"k").unwrap_err());
    assert_eq!(fault.kind, FaultKind::TimedOut, "{fault}");
    // The kernel waits in whole milliseconds, and what was spent before is taken off.
    assert!(took >= TIMEOUT - Duration::from_millis(20), "{took:?}");
}

#[test]
fn a_stopped_server_holds_no_call_beyond_its_deadline_and_goes_on_where_it_was() {
    if !is_installed() {
        return;
    }
    let server = Server::start(&[]);
    let redis = impatient(&server.url());
    put(&redis, b"k", b"v").unwrap();
    server.stop();
    for _ in 0..3 {
        let (fault, took) = timed(|| get(&redis, b"k").unwrap_err());
        assert_eq!(fault.kind, FaultKind::TimedOut, "{fault}");
        assert!(took >= TIMEOUT - Duration::from_millis(20), "{took:?}");
        timed(|| put(&redis, b"k", b"w").unwrap_err());
        timed(|| redis.probe().unwrap_err());
    }
    server.cont();
    // Nothing of what was not waited for is taken for an answer to something else.
    put(&redis, b"other", b"o").unwrap();
    assert_eq!(get(&redis, b"other").unwrap().unwrap(), b"o");
    assert_eq!(get(&redis, b"none").unwrap(), None);
    assert_eq!(redis.figures().connections, 1);
}

#[test]
fn a_namespace_that_could_not_be_asked_for_costs_its_deadline_once() {
    if !is_installed() {
        return;
    }
    let server = Server::start(&[]);
    server.stop();
    let redis = impatient(&server.url());
    // What a stack does for a put: both together take no longer than one call may.
    timed(|| {
        assert_eq!(redis.namespace(), 0);
        assert_eq!(put(&redis, b"k", b"v").unwrap_err().kind, FaultKind::TimedOut);
    });
    server.cont();
    until("it is known", || redis.namespace() != 0);
    put(&redis, b"k", b"v").unwrap();
}

#[test]
fn a_restarted_server_costs_no_error() {
    if !is_installed() {
        return;
    }
    let mut server = Server::start(&[]);
    let redis = on(&server);
    std::thread::scope(|scope| {
        for number in 0..5 {
            let redis = &redis;
            scope.spawn(move || put(redis, format!("{number}").as_bytes(), b"v").unwrap());
        }
    });
    let before = redis.namespace();
    for _ in 0..3 {
        server.restart();
        put(&redis, b"k", b"v").unwrap();
        assert_eq!(get(&redis, b"k").unwrap().unwrap(), b"v");
    }
    // It came up empty, so without a namespace.
    until("the new namespace is known", || {
        get(&redis, b"k").unwrap();
        redis.namespace() > before
    });
}

#[test]
fn connections_that_the_server_closes_cost_no_error() {
    if !is_installed() {
        return;
    }
    let server = Server::start(&[]);
    let redis = on(&server);
    put(&redis, b"k", b"v").unwrap();
    for round in 0..6 {
        // Looked at before use, and found closed by the command itself.
        if round % 2 == 0 {
            std::thread::sleep(Duration::from_millis(15));
        } else {
            get(&redis, b"k").unwrap();
        }
        server.cli(&["client", "kill", "type", "normal"]);
        assert_eq!(redis.read(&[b"k", b"none"]).unwrap(), [Some(b"v".to_vec()), None]);
        put(&redis, b"k", b"v").unwrap();
    }
    server.cli(&["config", "set", "timeout", "1"]);
    let before = redis.figures().connects;
    until("the server has closed it", || server.info("connected_clients") == 1);
    put(&redis, b"k", b"v").unwrap();
    assert_eq!((redis.figures().connects, redis.figures().connections), (before + 1, 1));
}

#[test]
fn a_connection_that_ends_under_a_command_is_made_anew_once_and_no_more() {
    if !is_installed() {
        return;
    }
    let server = Server::start(&[]);
    let proxy = Proxy::start(server.port());
    let redis = open(&[("url", &proxy.url())]);
    put(&redis, b"k", b"v").unwrap();
    assert_eq!(proxy.accepted(), 1);
    // The connection is idle for less than a moment, and is cut by what the next command sends; so is the next one.
    proxy.set(Weather { closes: true, ..Weather::default() });
    get(&redis, b"k").unwrap_err();
    let fault = get(&redis, b"k").unwrap_err();
    assert_eq!(fault.kind, FaultKind::Unreachable);
    assert_eq!(proxy.accepted(), 3);
    proxy.set(Weather::default());
    assert_eq!(get(&redis, b"k").unwrap().unwrap(), b"v");
    for _ in 0..20 {
        proxy.cut();
        assert_eq!(get(&redis, b"k").unwrap().unwrap(), b"v");
    }
}

/// What is told of keys, up to a fault.
struct Told<'k>(std::vec::IntoIter<&'k [u8]>, Vec<Option<Vec<u8>>>);

impl<'k> Inquiry<'k> for Told<'k> {
    fn next_key(&mut self) -> Option<&'k [u8]> {
        self.0.next()
    }

    fn found(&mut self, number: usize, envelope: Option<&[u8]>) {
        assert_eq!(number, self.1.len());
        self.1.push(envelope.map(<[u8]>::to_vec));
    }
}

#[test]
fn of_a_reply_that_breaks_off_what_came_before_holds_and_nothing_is_asked_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let redis = impatient(&format!("redis://{}", listener.local_addr().unwrap()));
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let commands = |mut stream: &std::net::TcpStream, wanted: usize| {
            let (mut buffer, mut seen) = ([0; 4096], 0);
            while seen < wanted {
                let received = stream.read(&mut buffer).unwrap();
                assert!(received > 0, "the tier has gone");
                seen += buffer[..received].iter().filter(|byte| **byte == b'*').count();
            }
        };
        // The number of the namespace and one value.
        commands(&stream, 2);
        stream.write_all(b"$1\r\n7\r\n*1\r\n$1\r\nv\r\n").unwrap();
        // 80 keys are pieces of 32 and 48.
        commands(&stream, 2);
        let values = "$1\r\nv\r\n$-1\r\n".repeat(16);
        stream.write_all(format!("*32\r\n{values}*48\r\n{values}$5\r\nhal").as_bytes()).unwrap();
        drop(stream);
        listener.set_nonblocking(true).unwrap();
        listener
    });
    assert_eq!(get(&redis, b"k").unwrap(), Some(b"v".to_vec()));
    let mut told = Told(vec![&b"k"[..]; 80].into_iter(), Vec::new());
    let fault = redis.answer(&mut told).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Unreachable);
    let whole: Vec<_> = (0..64).map(|number| (number % 2 == 0).then(|| b"v".to_vec())).collect();
    assert_eq!(told.1, whole);
    let listener = server.join().unwrap();
    assert!(listener.accept().is_err(), "what was partly answered is not asked again");
}

#[test]
fn a_namespace_that_has_to_be_made_first_takes_no_second_connection() {
    if !is_installed() {
        return;
    }
    let server = Server::start(&[]);
    server.cli(&["set", "catzilla:k", "v"]);
    let redis = open(&[("url", &server.url()), ("max_connections", "1")]);
    assert_eq!(redis.read(&[b"none", b"k"]).unwrap(), [None, Some(b"v".to_vec())]);
    assert_eq!(redis.figures().connects, 1);
    assert_ne!(redis.namespace(), 0);
}

#[test]
fn a_server_that_dribbles_holds_nobody_beyond_the_deadline() {
    if !is_installed() {
        return;
    }
    let server = Server::start(&[]);
    let proxy = Proxy::start(server.port());
    let redis = impatient(&proxy.url());
    put(&redis, b"large", &[7; 5000]).unwrap();
    // Each byte comes long before a socket's own timeout.
    proxy.set(Weather { delay: Duration::from_millis(20), piece: 1, ..Weather::default() });
    let (fault, took) = timed(|| get(&redis, b"large").unwrap_err());
    assert_eq!(fault.kind, FaultKind::TimedOut, "{fault}");
    assert!(took >= TIMEOUT - Duration::from_millis(20));
    proxy.set(Weather::default());
    assert_eq!(get(&redis, b"large").unwrap().unwrap(), [7; 5000]);
    // Slow is not wrong.
    proxy.set(Weather { delay: Duration::from_millis(30), ..Weather::default() });
    assert_eq!(get(&redis, b"large").unwrap().unwrap(), [7; 5000]);
}

#[test]
fn a_server_that_takes_nothing_holds_no_large_write_beyond_the_deadline() {
    if !is_installed() {
        return;
    }
    let server = Server::start(&[]);
    let redis = impatient(&server.url());
    put(&redis, b"k", b"v").unwrap();
    server.stop();
    let huge = vec![0; 64 << 20];
    let (fault, _) = timed(|| put(&redis, b"huge", &huge).unwrap_err());
    assert_eq!(fault.kind, FaultKind::TimedOut, "{fault}");
    server.cont();
    assert_eq!(get(&redis, b"k").unwrap().unwrap(), b"v");
}

#[test]
fn a_pool_without_a_free_connection_is_waited_for_and_not_for_ever() {
    if !is_installed() {
        return;
    }
    let server = Server::start(&[]);
    let proxy = Proxy::start(server.port());
    let redis = open(&[("url", &proxy.url()), ("max_connections", "2"), ("timeout", "2s")]);
    put(&redis, b"k", b"v").unwrap();
    // Eight callers on two connections of 20 ms an answer: all are served.
    proxy.set(Weather { delay: Duration::from_millis(20), ..Weather::default() });
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(get(&redis, b"k").unwrap().unwrap(), b"v"));
        }
    });
    assert!(redis.figures().connections <= 2 && proxy.accepted() <= 2);
    // Both are lent to calls that get no answer.
    let redis =
        open(&[("url", &proxy.url()), ("max_connections", "1"), ("timeout", "250ms"), ("connect_timeout", "2s")]);
    put(&redis, b"k", b"v").unwrap();
    proxy.set(Weather { swallows: true, ..Weather::default() });
    std::thread::scope(|scope| {
        let faults: Vec<_> = (0..3).map(|_| scope.spawn(|| timed(|| get(&redis, b"k").unwrap_err()).0)).collect();
        let faults: Vec<_> = faults.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert!(faults.iter().all(|fault| fault.kind == FaultKind::TimedOut), "{faults:?}");
        assert!(faults.iter().any(|fault| fault.message.contains("were taken")), "{faults:?}");
    });
}

/// A tier whose server answers the same to everything.
fn answered(answer: &str) -> Redis {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let answer = answer.to_owned();
    // Ends with the process.
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let answer = answer.clone();
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(received @ 1..) = stream.read(&mut buffer) {
                    // One for each command that has come.
                    let commands = buffer[..received].iter().filter(|byte| **byte == b'*').count();
                    if stream.write_all(answer.repeat(commands).as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    impatient(&url)
}

#[test]
fn refusals_of_a_server_are_faults_of_all_calls() {
    for (line, kind) in [
        ("-LOADING Redis is loading the dataset in memory\r\n", FaultKind::Refused),
        ("-NOAUTH Authentication required.\r\n", FaultKind::Refused),
        ("-MASTERDOWN Link with MASTER is down\r\n", FaultKind::Refused),
        ("-CLUSTERDOWN The cluster is down\r\n", FaultKind::Refused),
        ("-TRYAGAIN Multiple keys request during rehashing of slot\r\n", FaultKind::Refused),
        ("-MOVED 3999 127.0.0.1:6381\r\n", FaultKind::Refused),
        ("-ASK 3999 127.0.0.1:6381\r\n", FaultKind::Refused),
        ("-READONLY You can't write against a read only replica.\r\n", FaultKind::Refused),
        ("-ERR max number of clients reached\r\n", FaultKind::Refused),
        ("-OOM command not allowed when used memory > 'maxmemory'.\r\n", FaultKind::Full),
        ("HTTP/1.1 400 Bad Request\r\n", FaultKind::Damaged),
        ("$5\r\nabc\r\n\r\n\r\n", FaultKind::Damaged),
        ("$999999999999\r\n", FaultKind::Damaged),
        (":1\r\n", FaultKind::Damaged),
    ] {
        let redis = answered(line);
        let (fault, _) = timed(|| get(&redis, b"k").unwrap_err());
        assert_eq!(fault.kind, kind, "{line}: {fault}");
        assert!(timed(|| put(&redis, b"k", b"v")).0.is_err(), "{line}");
        assert!(timed(|| redis.is_purged(&[b"t"], 1)).0.is_err(), "{line}");
        assert!(timed(|| redis.clear()).0.is_err(), "{line}");
    }
}

#[test]
fn more_than_was_asked_for_is_never_taken_for_the_next_answer() {
    let redis = answered("$1\r\na\r\n$1\r\nb\r\n");
    for _ in 0..5 {
        assert_eq!(get(&redis, b"k").unwrap_err().kind, FaultKind::Damaged);
        assert_eq!(redis.figures().connections, 0);
    }
}

#[test]
fn a_replica_is_read_but_writes_there_are_refused_on_a_new_connection_each() {
    if !is_installed() {
        return;
    }
    let primary = Server::start(&[]);
    let writer = on(&primary);
    put(&writer, b"k", b"v").unwrap();
    let replica =
        Server::start(&["--replicaof", "127.0.0.1", &primary.port().to_string(), "--repl-diskless-sync-delay", "0"]);
    until("it is linked", || replica.cli(&["info", "replication"]).contains("master_link_status:up"));
    let redis = on(&replica);
    assert_eq!(get(&redis, b"k").unwrap().unwrap(), b"v");
    let before = redis.figures().connects;
    for refused in 1..4 {
        let fault = put(&redis, b"k", b"w").unwrap_err();
        assert!(fault.kind == FaultKind::Refused && fault.message.contains("READONLY"), "{fault}");
        assert_eq!(redis.figures().connections, 0, "the connection may lead to a former primary");
        assert_eq!(get(&redis, b"k").unwrap().unwrap(), b"v");
        assert_eq!(redis.figures().connects, before + refused);
    }
}

#[test]
fn a_server_that_cannot_save_refuses_writes_and_is_still_read() {
    if !is_installed() {
        return;
    }
    let server = Server::start(&["--min-replicas-to-write", "1"]);
    let redis = on(&server);
    // Not even the namespace can be written.
    assert_eq!(put(&redis, b"k", b"v").unwrap_err().kind, FaultKind::Full);
    server.cli(&["config", "set", "min-replicas-to-write", "0"]);
    until("it is tried again", || put(&redis, b"k", b"v").is_ok());
    server.cli(&["config", "set", "min-replicas-to-write", "1"]);
    let refused =
        put_as(&redis, b"k", What::Put { envelope: b"w", expires: None, tags: &[], if_absent: false }).unwrap();
    assert!(matches!(&refused, Outcome::Refused(fault) if fault.kind == FaultKind::Full), "{refused:?}");
    assert_eq!(get(&redis, b"k").unwrap().unwrap(), b"v");
}

#[test]
fn under_storms_every_value_is_one_that_was_written_under_its_key() {
    if !is_installed() {
        return;
    }
    let server = Server::start(&[]);
    let proxy = Proxy::start(server.port());
    let redis =
        open(&[("url", &proxy.url()), ("timeout", "20ms"), ("connect_timeout", "100ms"), ("max_connections", "3")]);
    let over = AtomicBool::new(false);
    let [mut answered, mut failed] = [0_u64; 2];
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4_u64)
            .map(|worker| {
                let (redis, over) = (&redis, &over);
                scope.spawn(move || {
                    let (mut answered, mut failed) = (0, 0);
                    for round in 0_u64.. {
                        if over.load(SeqCst) {
                            break;
                        }
                        let key = |number: u64| format!("{worker}-{}", number % 7).into_bytes();
                        let value = [key(round), vec![b'#'; (round % 3000) as usize]].concat();
                        let mut write = [Write::new(b"", What::Remove)];
                        let name = key(round);
                        write[0] = Write::new(
                            &name,
                            What::Put { envelope: &value, expires: None, tags: &[], if_absent: false },
                        );
                        let written = redis.write(&mut write).is_ok();
                        let keys: Vec<Vec<u8>> = (0..3).map(|more| key(round + more)).collect();
                        let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
                        let read = if round % 2 == 0 { redis.read(&keys) } else { redis.read(&keys[..1]) };
                        for (key, value) in keys.iter().zip(read.iter().flatten()) {
                            let Some(value) = value else { continue };
                            assert!(value.starts_with(key) && value[key.len()..].iter().all(|byte| *byte == b'#'));
                        }
                        if written && read.is_ok() {
                            answered += 1
                        } else {
                            failed += 1
                        }
                    }
                    (answered, failed)
                })
            })
            .collect();
        for round in 0..40_u64 {
            proxy.set(match round % 5 {
                0 => Weather::default(),
                1 => Weather { delay: Duration::from_millis(15), ..Weather::default() },
                2 => Weather { piece: 100, delay: Duration::from_millis(1), ..Weather::default() },
                3 => Weather { swallows: true, ..Weather::default() },
                _ => Weather::default(),
            });
            if round % 2 == 0 {
                proxy.cut();
            }
            std::thread::sleep(Duration::from_millis(30));
        }
        proxy.set(Weather::default());
        std::thread::sleep(Duration::from_millis(30));
        over.store(true, SeqCst);
        for worker in workers {
            let (of_answered, of_failed) = worker.join().unwrap();
            answered += of_answered;
            failed += of_failed;
        }
    });
    assert!(answered > 0 && failed > 0, "{answered} {failed}");
    assert_eq!(redis.figures().connections, redis.shared.open.load(SeqCst));
    assert!(redis.figures().connections <= 3);
}
