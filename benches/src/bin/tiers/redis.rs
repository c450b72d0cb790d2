//! A hit in Redis beside a bare round trip of the same GET, and a batch of 100 beside a bare MGET of the same 100: sockets and replies
//! by hand, as little as will do. Memory holds so few entries that nearly every look-up goes to Redis, and is taken into memory.

use crate::cache::{self, Get, Tiers};
use crate::server::Server;
use crate::{Goal, Verdict};
use catzilla_benches::args::Args;
use catzilla_benches::keys::{accesses, keys, Key, Skew, Value, VALUE_LEN};
use catzilla_benches::ways::{take_turns, way};
use catzilla_benches::worker;
use std::io::{Read, Write};
use std::net::TcpStream;

const KEYS: usize = 10_000;
const IN_MEMORY: usize = 64;
const ORDER_LENGTH: usize = 1 << 16;
const TOGETHER: usize = 100;
const PREFIX: &[u8] = b"catzilla:";

pub fn ask(server: &Server, args: &Args, verdict: &mut Verdict) {
    let engine = Tiers { server: Some(server), ..Tiers::default() }.open(IN_MEMORY);
    let keys = keys(KEYS);
    worker::fill(&engine, &keys);
    let order = accesses(Skew::Uniform, KEYS, 0, 0, ORDER_LENGTH);
    let wrong = std::cell::Cell::new(0u64);
    let expect = |right: bool| wrong.set(wrong.get() + u64::from(!right));

    let mut bare = Bare::to(server);
    let mut at = [0; 4];
    let next = |at: &mut usize| {
        *at = (*at + 1) % ORDER_LENGTH;
        order[*at]
    };
    let [at_bare, at_ours, many_bare, many_ours] = &mut at;
    let mut buffer = [0; VALUE_LEN];
    {
        let mut ways = [
            way("bare GET", |count| {
                for _ in 0..count {
                    let id = next(at_bare);
                    bare.ask(b"GET", [&keys[id as usize]]);
                    bare.read_values(1, |value| expect(value.len() > VALUE_LEN));
                }
            }),
            way("ours", |count| {
                for _ in 0..count {
                    let id = next(at_ours);
                    let read = engine.read(keys[id as usize].bytes(), &mut buffer);
                    expect(read == Ok(VALUE_LEN) && Value::ends_match(id, &buffer));
                }
            }),
        ];
        take_turns(&mut ways, 16, args);
        println!("\nredis: values of {VALUE_LEN} bytes, TCP on 127.0.0.1, microseconds");
        println!("  bare GET {:.2}, a hit through C {:.2}", ways[0].median() / 1e3, ways[1].median() / 1e3);
        verdict.line("a hit in Redis over a bare GET", ways[1].over(&ways[0]), "x", Goal::AtMost(1.15));
    }

    let mut buffers = vec![[0u8; VALUE_LEN]; TOGETHER];
    let mut items: Vec<Get> = buffers
        .iter_mut()
        .map(|buffer| Get {
            key: std::ptr::null(),
            key_len: 0,
            buffer: buffer.as_mut_ptr().cast(),
            capacity: VALUE_LEN,
            value_len: 0,
            status: 0,
        })
        .collect();
    let mut ways = [
        way("bare MGET", |count| {
            for _ in 0..count {
                bare.ask(b"MGET", (0..TOGETHER).map(|_| &keys[next(many_bare) as usize]));
                bare.read_values(TOGETHER, |value| expect(value.len() > VALUE_LEN));
            }
        }),
        way("ours", |count| {
            for _ in 0..count {
                for item in &mut items {
                    let key = keys[next(many_ours) as usize].bytes();
                    (item.key, item.key_len) = (key.as_ptr().cast(), key.len());
                }
                expect(cache::get_many(&engine, &mut items));
                items.iter().for_each(|item| expect(item.status == 0 && item.value_len == VALUE_LEN));
            }
        }),
    ];
    take_turns(&mut ways, 1, args);
    println!(
        "  bare MGET of {TOGETHER} {:.1}, get_many of {TOGETHER} {:.1}",
        ways[0].median() / 1e3,
        ways[1].median() / 1e3
    );
    verdict.line("a batch of 100 over a bare MGET", ways[1].over(&ways[0]), "x", Goal::AtMost(1.5));
    drop(ways);
    let figures = cache::figures(&engine, cache::REDIS);
    verdict.expect(figures.errors == 0 && figures.hits > 0, "redis: errors of the tier");
    verdict.expect(wrong.get() == 0, "redis: wrong values");
}

/// A connection by hand.
struct Bare {
    stream: TcpStream,
    command: Vec<u8>,
    reply: Vec<u8>,
}

impl Bare {
    fn to(server: &Server) -> Bare {
        Bare { stream: server.connect(), command: Vec::new(), reply: vec![0; 1 << 16] }
    }

    fn ask<'a>(&mut self, name: &[u8], keys: impl IntoIterator<Item = &'a Key, IntoIter: ExactSizeIterator>) {
        let keys = keys.into_iter();
        self.command.clear();
        write!(self.command, "*{}\r\n${}\r\n", keys.len() + 1, name.len()).expect("memory");
        self.command.extend_from_slice(name);
        for key in keys {
            write!(self.command, "\r\n${}\r\n", PREFIX.len() + key.bytes().len()).expect("memory");
            self.command.extend_from_slice(PREFIX);
            self.command.extend_from_slice(key.bytes());
        }
        self.command.extend_from_slice(b"\r\n");
        self.stream.write_all(&self.command).expect("the server is there");
    }

    /// Reads so many values, and hands each on.
    fn read_values(&mut self, count: usize, mut with: impl FnMut(&[u8])) {
        let (mut filled, mut at, mut left) = (0, 0, count);
        while left > 0 {
            let got = self.stream.read(&mut self.reply[filled..]).expect("the server is there");
            assert!(got > 0, "the server has closed the connection");
            filled += got;
            while left > 0 {
                let Some((line, after)) = line(&self.reply[at..filled]) else { break };
                if self.reply[at] == b'*' {
                    at += after;
                    continue;
                }
                assert_eq!(self.reply[at], b'$', "a value is wanted");
                let len = line[1..].iter().fold(0, |len, digit| len * 10 + usize::from(digit - b'0'));
                if filled < at + after + len + 2 {
                    break;
                }
                with(&self.reply[at + after..at + after + len]);
                at += after + len + 2;
                left -= 1;
            }
        }
    }
}

/// The first line, and where the next begins.
fn line(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let end = bytes.iter().position(|&byte| byte == b'\n')?;
    Some((&bytes[..end - 1], end + 1))
}
