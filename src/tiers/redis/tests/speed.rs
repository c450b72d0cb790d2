//! What the tier costs beside a bare socket. Run by hand, in release: `cargo test --release --lib tiers::redis::tests::speed -- --ignored
//! --nocapture`. Both take turns, so that what else the machine does befalls both.
#![allow(clippy::print_stderr)]

use super::support::{is_installed, Cluster, Server};
use super::{get, open, put};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

const VALUE: usize = 1024;
const KEYS: usize = 100;

/// The least that can be done: a command that was packed before, replies read into one buffer and only measured.
struct Bare<S> {
    stream: S,
    buffer: Vec<u8>,
}

impl<S: Read + Write> Bare<S> {
    /// How many bytes the reply has.
    fn ask(&mut self, command: &[u8], expected: usize) -> usize {
        self.stream.write_all(command).unwrap();
        let mut filled = 0;
        while filled < expected {
            filled += self.stream.read(&mut self.buffer[filled..]).unwrap();
        }
        filled
    }

    /// The values of a reply to MGET, in place.
    fn values(&self, filled: usize) -> usize {
        let (mut at, mut values) = (0, 0);
        let reply = &self.buffer[..filled];
        while at < reply.len() {
            let end = at + reply[at..].iter().position(|byte| *byte == b'\n').unwrap();
            let number: usize = std::str::from_utf8(&reply[at + 1..end - 1]).unwrap().parse().unwrap();
            at = end + 1;
            if reply[end - 1] == b'\r' && values + at > 6 {
                std::hint::black_box(&reply[at..at + number]);
                at += number + 2;
                values += 1;
            }
        }
        values
    }
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_nanos() as f64 / 1000.0
}

fn compare(what: &str, turns: usize, mut bare: impl FnMut(), mut ours: impl FnMut()) {
    const BLOCK: usize = 200;
    let mut times = [Vec::new(), Vec::new()];
    for turn in 0..turns {
        for which in [turn % 2, 1 - turn % 2] {
            for _ in 0..BLOCK {
                let begun = Instant::now();
                if which == 0 {
                    bare()
                } else {
                    ours()
                }
                times[which].push(begun.elapsed());
            }
        }
    }
    let [bare, ours] = times.map(median);
    eprintln!("{what}: bare {bare:.2} us, ours {ours:.2} us, ratio {:.3}", ours / bare);
}

fn pack(arguments: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", arguments.len()).into_bytes();
    for argument in arguments {
        bytes.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        bytes.extend_from_slice(argument);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

fn both(what: &str, stream: impl Read + Write, url: &str) {
    let redis = open(&[("url", url), ("timeout", "250ms"), ("connect_timeout", "250ms")]);
    let keys: Vec<Vec<u8>> = (0..KEYS).map(|number| format!("key:{number:06}").into_bytes()).collect();
    let value = vec![b'x'; VALUE];
    keys.iter().for_each(|key| put(&redis, key, &value).unwrap());
    put(&redis, b"short", &value[..128]).unwrap();
    let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
    let mut bare = Bare { stream, buffer: vec![0; 1 << 20] };

    let short = pack(&[b"GET", b"catzilla:short"]);
    compare(
        &format!("{what} GET of 128 bytes"),
        200,
        || assert_eq!(bare.ask(&short, 128 + 8), 128 + 8),
        || assert_eq!(get(&redis, b"short").unwrap().unwrap().len(), 128),
    );
    let one = pack(&[b"GET", b"catzilla:key:000007"]);
    compare(
        &format!("{what} GET of 1 KiB"),
        200,
        || assert_eq!(bare.ask(&one, VALUE + 9), VALUE + 9),
        || assert_eq!(get(&redis, b"key:000007").unwrap().unwrap().len(), VALUE),
    );
    let names: Vec<Vec<u8>> = keys.iter().map(|key| [b"catzilla:", *key].concat()).collect();
    let mut command: Vec<&[u8]> = vec![b"MGET"];
    command.extend(names.iter().map(Vec::as_slice));
    let many = pack(&command);
    let expected = 6 + KEYS * (VALUE + 9);
    compare(
        &format!("{what} MGET of 100 x 1 KiB"),
        60,
        || {
            let filled = bare.ask(&many, expected);
            assert_eq!(bare.values(filled), KEYS);
        },
        || assert_eq!(crate::tiers::Tier::read(&redis, &keys).unwrap().len(), KEYS),
    );
}

#[test]
#[ignore = "a measurement"]
fn beside_a_bare_socket() {
    if !is_installed() {
        return;
    }
    let server = Server::start(&[]);
    let tcp = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    tcp.set_nodelay(true).unwrap();
    both("tcp", tcp, &server.url());
    let unix = UnixStream::connect(server.socket()).unwrap();
    both("unix", unix, &format!("unix://{}", server.socket().display()));
}

#[test]
#[ignore = "a measurement"]
fn in_a_cluster() {
    if !is_installed() {
        return;
    }
    let cluster = Cluster::start();
    let redis = open(&[("nodes", &cluster.nodes())]);
    let keys: Vec<Vec<u8>> = (0..KEYS).map(|number| format!("key:{number:06}").into_bytes()).collect();
    keys.iter().for_each(|key| put(&redis, key, &[7; VALUE]).unwrap());
    let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
    compare(
        "cluster: GET (called bare) and 100 keys of 1 KiB",
        20,
        || assert!(get(&redis, b"key:000007").unwrap().is_some()),
        || assert_eq!(crate::tiers::Tier::read(&redis, &keys).unwrap().len(), KEYS),
    );
}
