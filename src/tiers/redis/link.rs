//! One server or a cluster behind one face: a batch of commands goes out, the replies come back in the order of the commands.

use super::address::Target;
use super::cluster::{Cluster, Map};
use super::connection::Budget;
use super::pool::{Pool, Shared};
use super::wire::{Batch, Reply};
use crate::tiers::Fault;
use std::sync::Arc;

pub(super) enum Link {
    Server(Arc<Pool>),
    Cluster(Box<Cluster>),
}

impl Link {
    pub(super) fn new(target: Target, shared: &Arc<Shared>) -> Self {
        match target {
            Target::Server(place) => Link::Server(Arc::new(Pool::new(place, shared.clone()))),
            Target::Nodes(seeds) => Link::Cluster(Box::new(Cluster::new(seeds, shared.clone()))),
        }
    }

    /// Whether keys have slots, so that a command has one key at most.
    pub(super) fn is_cluster(&self) -> bool {
        matches!(self, Link::Cluster(_))
    }

    pub(super) fn batch(&self) -> Batch {
        Batch::new(self.is_cluster())
    }

    /// One reply a command. Errors that a server has answered are replies here.
    pub(super) fn run(&self, batch: &Batch, budget: &Budget) -> Result<Vec<Reply>, Fault> {
        match self {
            Link::Server(pool) => exchange(pool, batch, budget),
            Link::Cluster(cluster) => cluster.run(batch, budget),
        }
    }

    /// Who holds which keys, as of now.
    pub(super) fn layout(&self, budget: &Budget) -> Result<Layout, Fault> {
        match self {
            Link::Server(pool) => Ok(Layout::Server(pool.clone())),
            Link::Cluster(cluster) => cluster.refresh(budget).map(Layout::Cluster),
        }
    }

    pub(super) fn close_idle(&self) {
        match self {
            Link::Server(pool) => pool.close_idle(),
            Link::Cluster(cluster) => cluster.close_idle(),
        }
    }
}

pub(super) enum Layout {
    Server(Arc<Pool>),
    Cluster(Arc<Map>),
}

impl Layout {
    /// The servers that hold keys first-hand.
    pub(super) fn primaries(&self) -> Vec<&Arc<Pool>> {
        match self {
            Layout::Server(pool) => vec![pool],
            Layout::Cluster(map) => map.primaries(),
        }
    }
}

impl PartialEq for Layout {
    /// Whether every key is where it was.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Layout::Server(_), Layout::Server(_)) => true,
            (Layout::Cluster(one), Layout::Cluster(other)) => one.is_like(other),
            _ => false,
        }
    }
}

/// The whole batch to one server.
pub(super) fn exchange(pool: &Pool, batch: &Batch, budget: &Budget) -> Result<Vec<Reply>, Fault> {
    let mut lease = pool.lease(budget)?;
    lease.send(batch.bytes(), batch.len(), budget)?;
    lease.receive(batch.bytes(), batch.len(), budget)
}
