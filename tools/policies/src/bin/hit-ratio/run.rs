//! Measuring one trace: every policy at every size, a few at a time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use catzilla_policies::engine::{self, Engine, Shards};
use catzilla_policies::opt::Opt;
use catzilla_policies::traces::{Size, Trace};
use catzilla_policies::{hits, Named, POLICIES};
use catzilla_replay::failure::Failure;
use catzilla_replay::library::Library;
use catzilla_replay::payload::Keys;

/// Whose hits are counted.
#[derive(Clone)]
pub enum Who {
    Simulator(&'static Named),
    Opt,
    Engine { policy: String, shards: Shards },
}

impl Who {
    pub fn name(&self) -> &str {
        match self {
            Self::Simulator(policy) => policy.name,
            Self::Opt => "opt",
            Self::Engine { policy, .. } => policy,
        }
    }

    /// As the CSV file has it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Simulator(_) => "simulator",
            Self::Opt => "opt",
            Self::Engine { shards: Shards::One, .. } => "engine-1-shard",
            Self::Engine { shards: Shards::Default, .. } => "engine",
        }
    }
}

/// What came out for one trace.
pub struct Measured {
    pub trace: String,
    pub requests: usize,
    pub objects: usize,
    pub sizes: Vec<Size>,
    /// The hit ratio in percent at each of the sizes.
    pub rows: Vec<(Who, Vec<f64>)>,
}

impl Measured {
    /// The best of the policies that one could have chosen without knowing the trace, at the size of that index.
    pub fn best_simulator(&self, size: usize) -> (&'static str, f64) {
        let simulators = self.rows.iter().filter_map(|(who, ratios)| match who {
            Who::Simulator(policy) => Some((policy.name, ratios[size])),
            _ => None,
        });
        // Of equals the first, which is the simplest.
        simulators.reduce(|best, next| if next.1 > best.1 { next } else { best }).unwrap_or(("none", 0.0))
    }
}

/// Runs all of it on so many threads.
pub fn measure(trace: &Trace, library: &Library, percents: &[f64], threads: usize) -> Result<Measured, Failure> {
    let mut who: Vec<Who> = vec![Who::Opt];
    who.extend(POLICIES.iter().map(Who::Simulator));
    for policy in engine::policies(library) {
        who.extend([Shards::One, Shards::Default].map(|shards| Who::Engine { policy: policy.clone(), shards }));
    }
    let sizes = trace.sizes(percents);
    let keys = engine::keys(trace.objects);
    let jobs: Vec<(usize, usize)> =
        (0..who.len()).flat_map(|row| (0..sizes.len()).map(move |column| (row, column))).collect();

    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some(&(row, column)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let hits = hits_of(&who[row], trace, sizes[column], library, &keys)?;
            done.push((row, column, 100.0 * hits as f64 / trace.requests.len() as f64));
        }
        Ok(done)
    };
    let done = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let joined = workers.into_iter().map(|worker| worker.join().expect("a simulation does not panic"));
        joined.collect::<Result<Vec<_>, Failure>>()
    })?;

    let mut rows: Vec<(Who, Vec<f64>)> = who.into_iter().map(|who| (who, vec![0.0; sizes.len()])).collect();
    for (row, column, ratio) in done.into_iter().flatten() {
        rows[row].1[column] = ratio;
    }
    Ok(Measured { trace: trace.name.clone(), requests: trace.requests.len(), objects: trace.objects, sizes, rows })
}

fn hits_of(who: &Who, trace: &Trace, size: Size, library: &Library, keys: &Keys) -> Result<usize, Failure> {
    match who {
        Who::Simulator(policy) => Ok(hits(&mut *(policy.new)(size.entries), &trace.requests)),
        Who::Opt => Ok(hits(&mut Opt::new(size.entries, &trace.requests), &trace.requests)),
        Who::Engine { policy, shards } => {
            Engine::open(library, keys, policy, *shards, size.entries)?.hits(&trace.requests)
        }
    }
}
