//! The tier against real servers: `tests/support/redis.rs` starts them.

mod access;
mod cluster;
mod failures;
mod fork;
#[path = "../../../../tests/support/pace.rs"]
mod pace;
mod purges;
mod server;
mod speed;
#[path = "../../../../tests/support/redis.rs"]
mod support;

use self::support::Server;
use super::Redis;
use crate::clock::unix_micros;
use crate::options::Options;
use crate::tiers::{Fault, Outcome, Tier, What, Write};

/// A tier by its options, those that begin with `redis.`; they get patient deadlines where they give none.
fn try_open(options: &[(&str, &str)]) -> crate::error::Result<Redis> {
    let mut all = Options::new();
    all.set("redis.timeout", "30s")?.set("redis.connect_timeout", "30s")?;
    for (name, value) in options {
        all.set(&format!("redis.{name}"), value)?;
    }
    Redis::open(&all.redis)
}

fn open(options: &[(&str, &str)]) -> Redis {
    try_open(options).unwrap()
}

fn on(server: &Server) -> Redis {
    open(&[("url", &server.url())])
}

fn put_as<'a>(redis: &Redis, key: &'a [u8], what: What<'a>) -> Result<Outcome, Fault> {
    let mut write = [Write::new(key, what)];
    redis.write(&mut write)?;
    let [write] = write;
    assert_ne!(write.outcome, Outcome::Undone);
    Ok(write.outcome)
}

fn put(redis: &Redis, key: &[u8], envelope: &[u8]) -> Result<(), Fault> {
    match put_as(redis, key, What::Put { envelope, expires: None, tags: &[], if_absent: false })? {
        Outcome::Done => Ok(()),
        Outcome::Refused(fault) => Err(fault),
        other => panic!("a put is {other:?}"),
    }
}

fn tagged<'a>(envelope: &'a [u8], tags: &'a [&'a [u8]]) -> What<'a> {
    What::Put { envelope, expires: None, tags, if_absent: false }
}

fn get(redis: &Redis, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
    redis.read(&[key]).map(|mut values| values.pop().unwrap())
}

fn now_millis() -> u64 {
    unix_micros() / 1000
}
