//! A cluster: which server has which slot, and a batch spread over the servers that have its keys. Used through `link`.
//!
//! The `redis` crate has this too, but every step of it (a node, an attempt, a look at the slots) has a timeout of its own, so that a call during
//! a failover lasts for as many of them as there are nodes. Here all steps of a call share its budget.
//!
//! A server that cannot be reached, or that sends us elsewhere, makes the map of slots doubtful: it is then made anew by asking any
//! server that answers, and what has failed is done once more where the new map says so.

use super::address::Place;
use super::connection::Budget;
use super::faults::{code, complaint};
use super::link::exchange;
use super::map::{parse, Shape};
use super::pool::{Lease, Pool, Shared};
use super::slots::SLOTS;
use super::wire::{Batch, Reply};
use crate::tiers::{Fault, FaultKind};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// How often a command is sent on: to a new primary, to where a slot is moving, and back if that was given up. Redis' own client
/// stops after five.
const MOST_ROUNDS: usize = 5;

/// How old a map may be where replicas are asked: a new one makes no difference to anything else that would show it. Arbitrary: a
/// round trip in some ten thousand.
const OLDEST: Duration = Duration::from_secs(3);

const ASKING: &[u8] = b"*1\r\n$6\r\nASKING\r\n";

pub(super) struct Cluster {
    seeds: Vec<Place>,
    shared: Arc<Shared>,
    map: RwLock<Option<Arc<Map>>>,
    /// Whether the map may be wrong.
    doubtful: AtomicBool,
    pools: Mutex<HashMap<Place, Arc<Pool>>>,
    /// Goes round, so that not always the same server is asked.
    turn: AtomicUsize,
}

/// Who has which slot.
pub(super) struct Map {
    made: Instant,
    shards: Vec<Shard>,
    /// For each slot its shard; those that nobody has: `NOBODY`.
    slots: Box<[u16]>,
}

const NOBODY: u16 = u16::MAX;

struct Shard {
    primary: Arc<Pool>,
    replicas: Vec<Arc<Pool>>,
}

impl Map {
    pub(super) fn primaries(&self) -> Vec<&Arc<Pool>> {
        self.shards.iter().map(|shard| &shard.primary).collect()
    }

    fn shard(&self, slot: u16) -> Option<&Shard> {
        self.shards.get(usize::from(self.slots[usize::from(slot)]))
    }

    /// Whether every slot has the same primary as in the other.
    pub(super) fn is_like(&self, other: &Map) -> bool {
        let place = |map: &Map, slot| map.shard(slot).map(|shard| shard.primary.place().clone());
        (0..SLOTS as u16).all(|slot| place(self, slot) == place(other, slot))
    }

    fn pools(&self) -> impl Iterator<Item = &Arc<Pool>> {
        self.shards.iter().flat_map(|shard| std::iter::once(&shard.primary).chain(&shard.replicas))
    }
}

/// A command that has no reply yet.
struct Open {
    index: usize,
    whom: Whom,
}

#[derive(Clone)]
enum Whom {
    /// Who has the slot.
    Primary,
    /// Any of those that have the slot.
    Anyone,
    /// This one, whatever the map says; `asked`: though it has the slot not yet.
    This { pool: Arc<Pool>, asked: bool },
}

/// What goes to one server.
struct Part {
    pool: Arc<Pool>,
    open: Vec<Open>,
    bytes: Vec<u8>,
    /// With those that are not of the batch.
    commands: usize,
}

impl Cluster {
    pub(super) fn new(seeds: Vec<Place>, shared: Arc<Shared>) -> Self {
        Self {
            seeds,
            shared,
            map: RwLock::new(None),
            doubtful: AtomicBool::new(false),
            pools: Mutex::default(),
            turn: AtomicUsize::new(0),
        }
    }

    pub(super) fn run(&self, batch: &Batch, budget: &Budget) -> Result<Vec<Reply>, Fault> {
        let whom = |from_replica: bool| match from_replica && self.shared.access.replicas {
            true => Whom::Anyone,
            false => Whom::Primary,
        };
        let mut open: Vec<Open> = batch
            .commands()
            .iter()
            .enumerate()
            .map(|(index, command)| Open { index, whom: whom(command.from_replica) })
            .collect();
        let mut replies: Vec<Option<Reply>> = batch.commands().iter().map(|_| None).collect();
        for _ in 0..MOST_ROUNDS {
            let map = self.map(budget)?;
            let parts = self.parts(batch, open, &map)?;
            let round = self.round(batch, parts, budget, &mut replies);
            open = round.again;
            if let Some((fault, failed)) = round.failed {
                open.extend(self.elsewhere(batch, failed, fault, &map, budget)?);
                // So that writes of one key stay in their order.
                open.sort_by_key(|open| open.index);
            }
            if open.is_empty() {
                return Ok(replies.into_iter().map(|reply| reply.unwrap_or(Reply::Nil)).collect());
            }
        }
        Err(Fault::new(FaultKind::Refused, "the nodes of the cluster send each other's keys round in a circle"))
    }

    /// Groups commands by the server that gets them. In the order of places, so that two callers that each need connections
    /// to two servers never wait for each other.
    fn parts(&self, batch: &Batch, open: Vec<Open>, map: &Map) -> Result<BTreeMap<Place, Part>, Fault> {
        let turn = self.turn.fetch_add(1, Relaxed);
        let mut parts = BTreeMap::new();
        for open in open {
            let slot = batch.commands()[open.index].slot;
            let (pool, asked) = match &open.whom {
                Whom::This { pool, asked } => (pool.clone(), *asked),
                whom => {
                    let Some(shard) = map.shard(slot) else {
                        self.doubtful.store(true, SeqCst);
                        let message = format!("no node of the cluster has slot {slot}");
                        return Err(Fault::new(FaultKind::Refused, message));
                    };
                    let replica = match whom {
                        // The primary has its turn too.
                        Whom::Anyone => shard.replicas.get(turn % (shard.replicas.len() + 1)),
                        _ => None,
                    };
                    (replica.unwrap_or(&shard.primary).clone(), false)
                }
            };
            let part = parts.entry(pool.place().clone()).or_insert_with(|| Part {
                pool,
                open: Vec::new(),
                bytes: Vec::new(),
                commands: 0,
            });
            if asked {
                part.bytes.extend_from_slice(ASKING);
                part.commands += 1;
            }
            part.bytes.extend_from_slice(batch.bytes_of(open.index));
            part.commands += 1;
            part.open.push(open);
        }
        Ok(parts)
    }

    /// Sends all parts, then takes the replies: as long as the slowest server takes, not as long as all together.
    fn round(
        &self,
        batch: &Batch,
        parts: BTreeMap<Place, Part>,
        budget: &Budget,
        replies: &mut [Option<Reply>],
    ) -> Round {
        let mut round = Round { again: Vec::new(), failed: None };
        let sent: Vec<(&Part, Result<Lease<'_>, Fault>)> =
            parts.values().map(|part| (part, send(part, budget))).collect();
        let mut results = Vec::with_capacity(sent.len());
        for (part, lease) in sent {
            results.push(lease.and_then(|mut lease| lease.receive(&part.bytes, part.commands, budget)));
        }
        for (part, result) in parts.into_values().zip(results) {
            match result {
                Ok(answers) => self.sort(batch, part, answers, &mut round, replies),
                Err(fault) => round.fail(fault, part.open),
            }
        }
        round
    }

    /// Takes the replies of one server: those that are some, and those that send us elsewhere.
    fn sort(&self, batch: &Batch, part: Part, answers: Vec<Reply>, round: &mut Round, replies: &mut [Option<Reply>]) {
        let mut answers = answers.into_iter();
        for mut open in part.open {
            if matches!(open.whom, Whom::This { asked: true, .. }) {
                // What ASKING was answered.
                answers.next();
            }
            let reply = answers.next().unwrap_or(Reply::Nil);
            let Reply::Error(line) = &reply else {
                replies[open.index] = Some(reply);
                continue;
            };
            match code(line) {
                word @ ("MOVED" | "ASK") => {
                    let asked = word == "ASK";
                    if !asked {
                        self.doubtful.store(true, SeqCst);
                    }
                    match redirection(line, part.pool.place()) {
                        Some(place) => {
                            open.whom = Whom::This { pool: self.pool(&place), asked };
                            round.again.push(open);
                        }
                        None => replies[open.index] = Some(reply),
                    }
                }
                // A primary that has become a replica: its successor is in the next map.
                "READONLY" => {
                    let fault = complaint(line).into_fault();
                    round.fail(fault, vec![open]);
                }
                "LOADING" | "MASTERDOWN" | "CLUSTERDOWN" if batch.commands()[open.index].from_replica => {
                    match open.whom {
                        Whom::Anyone => {
                            open.whom = Whom::Primary;
                            round.again.push(open);
                        }
                        _ => replies[open.index] = Some(reply),
                    }
                }
                word => {
                    // Slots without a server; there may be one soon.
                    self.doubtful.fetch_or(word == "CLUSTERDOWN", SeqCst);
                    replies[open.index] = Some(reply);
                }
            }
        }
    }

    /// Where to do again what has failed with this fault: at a primary if a replica failed, at another primary if there is one now.
    fn elsewhere(
        &self,
        batch: &Batch,
        failed: Vec<Open>,
        fault: Fault,
        map: &Arc<Map>,
        budget: &Budget,
    ) -> Result<Vec<Open>, Fault> {
        self.doubtful.store(true, SeqCst);
        if budget.is_over() {
            return Err(fault);
        }
        let again = |open: Open| Open { index: open.index, whom: Whom::Primary };
        if failed.iter().all(|open| matches!(open.whom, Whom::Anyone)) {
            return Ok(failed.into_iter().map(again).collect());
        }
        let Ok(now) = self.refresh(budget) else { return Err(fault) };
        let primary = |map: &Map, open: &Open| {
            map.shard(batch.commands()[open.index].slot).map(|shard| shard.primary.place().clone())
        };
        if failed.iter().any(|open| matches!(open.whom, Whom::Primary) && primary(map, open) == primary(&now, open)) {
            return Err(fault);
        }
        Ok(failed.into_iter().map(again).collect())
    }

    fn map(&self, budget: &Budget) -> Result<Arc<Map>, Fault> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner).clone();
        let is_old =
            |map: &Arc<Map>| self.shared.access.replicas && budget.begun().saturating_duration_since(map.made) > OLDEST;
        if map.as_ref().is_some_and(is_old) {
            self.doubtful.store(true, SeqCst);
        }
        match map {
            Some(map) if !self.doubtful.load(SeqCst) => Ok(map),
            // Whoever doubts it: one call makes it anew, the others go on with what there is.
            Some(map) if !self.doubtful.swap(false, SeqCst) => Ok(map),
            Some(map) => self.refresh(budget).or(Ok(map)),
            None => self.refresh(budget),
        }
    }

    /// Makes the map anew.
    pub(super) fn refresh(&self, budget: &Budget) -> Result<Arc<Map>, Fault> {
        let mut fault = Fault::new(FaultKind::Unreachable, "no node of the cluster could be asked who has which slot");
        for pool in self.candidates() {
            // None takes all the time.
            let share = budget.half();
            match ask(&pool, &share) {
                Ok(shape) => {
                    self.doubtful.store(false, SeqCst);
                    return Ok(self.take_over(shape));
                }
                Err(other) => fault = other,
            }
            if budget.is_over() {
                break;
            }
        }
        self.doubtful.store(true, SeqCst);
        Err(fault)
    }

    /// Who may be asked for the slots: those that are known, then those that were given. Those that failed lately come last.
    fn candidates(&self) -> Vec<Arc<Pool>> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut pools: Vec<Arc<Pool>> = map.iter().flat_map(|map| map.pools().cloned()).collect();
        if !pools.is_empty() {
            let turn = self.turn.fetch_add(1, Relaxed) % pools.len();
            pools.rotate_left(turn);
        }
        for seed in &self.seeds {
            let seed = self.pool(seed);
            if !pools.iter().any(|pool| Arc::ptr_eq(pool, &seed)) {
                pools.push(seed);
            }
        }
        pools.sort_by_key(|pool| pool.has_failed_lately());
        pools
    }

    fn take_over(&self, shape: Shape) -> Arc<Map> {
        let mut slots = vec![NOBODY; SLOTS].into_boxed_slice();
        let mut shards = Vec::with_capacity(shape.len());
        for (index, part) in shape.into_iter().enumerate() {
            for (first, last) in part.ranges {
                slots[usize::from(first)..=usize::from(last)].fill(index as u16);
            }
            let replicas = part.replicas.iter().map(|place| self.pool(place)).collect();
            shards.push(Shard { primary: self.pool(&part.primary), replicas });
        }
        let map = Arc::new(Map { made: Instant::now(), shards, slots });
        *self.map.write().unwrap_or_else(PoisonError::into_inner) = Some(map.clone());
        self.forget_strangers(&map);
        map
    }

    /// Closes connections to who is no more in the cluster.
    fn forget_strangers(&self, map: &Map) {
        let mut gone = Vec::new();
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        pools.retain(|place, pool| {
            let stays = map.pools().any(|known| known.place() == place) || self.seeds.contains(place);
            if !stays {
                gone.push(pool.clone());
            }
            stays
        });
        drop(pools);
        gone.iter().for_each(|pool| pool.close_idle());
    }

    fn pool(&self, place: &Place) -> Arc<Pool> {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || Arc::new(Pool::new(place.clone(), self.shared.clone()));
        pools.entry(place.clone()).or_insert_with(make).clone()
    }

    pub(super) fn close_idle(&self) {
        let pools: Vec<Arc<Pool>> =
            self.pools.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        pools.iter().for_each(|pool| pool.close_idle());
    }
}

/// What one round has left to do.
struct Round {
    again: Vec<Open>,
    failed: Option<(Fault, Vec<Open>)>,
}

impl Round {
    fn fail(&mut self, fault: Fault, mut open: Vec<Open>) {
        match &mut self.failed {
            Some((_, failed)) => failed.append(&mut open),
            None => self.failed = Some((fault, open)),
        }
    }
}

fn send<'a>(part: &'a Part, budget: &Budget) -> Result<Lease<'a>, Fault> {
    let mut lease = part.pool.lease(budget)?;
    // Connections to the servers before this one may have had to be made.
    lease.begin_now();
    lease.send(&part.bytes, part.commands, budget)?;
    Ok(lease)
}

/// Asks a server who has which slot.
fn ask(pool: &Pool, budget: &Budget) -> Result<Shape, Fault> {
    let mut batch = Batch::new(false);
    batch.begin(2).text("CLUSTER").text("SLOTS").end();
    match exchange(pool, &batch, budget)?.pop() {
        Some(Reply::Error(line)) => Err(complaint(&line).into_fault()),
        Some(reply) => parse(reply, pool.place()).ok_or_else(|| {
            Fault::new(FaultKind::Damaged, format!("Redis at {} did not say who has which slot", pool.place()))
        }),
        None => Err(Fault::new(FaultKind::Damaged, "an answer is missing")),
    }
}

/// Where `MOVED slot host:port` and `ASK slot host:port` point to. Without a host it is the one that said so.
fn redirection(line: &str, said_by: &Place) -> Option<Place> {
    let (host, port) = line.split(' ').nth(2)?.rsplit_once(':')?;
    let host = if host.is_empty() { said_by.host() } else { host };
    Some(Place::Tcp(host.to_owned(), port.parse().ok()?))
}
