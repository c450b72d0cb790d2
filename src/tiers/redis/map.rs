//! Reads what `CLUSTER SLOTS` answers.

use super::address::Place;
use super::slots::SLOTS;
use super::wire::Reply;

/// The shards of a cluster.
pub(super) type Shape = Vec<Part>;

/// One of them.
#[derive(Debug, PartialEq)]
pub(super) struct Part {
    pub(super) primary: Place,
    pub(super) replicas: Vec<Place>,
    /// First and last slot.
    pub(super) ranges: Vec<(u16, u16)>,
}

/// `None` when it is not understood. `asked` stands for a host that does not know its own name.
pub(super) fn parse(reply: Reply, asked: &Place) -> Option<Shape> {
    let Reply::List(ranges) = reply else { return None };
    let mut shape: Shape = Vec::new();
    for range in ranges {
        let Reply::List(range) = range else { return None };
        let mut parts = range.into_iter();
        let (first, last) = (slot(parts.next()?)?, slot(parts.next()?)?);
        if first > last {
            return None;
        }
        let mut places = parts.map(|node| place(node, asked));
        let primary = places.next()??;
        // One that has no address yet cannot be asked.
        let replicas = places.flatten().collect();
        match shape.iter_mut().find(|part| part.primary == primary) {
            Some(part) => part.ranges.push((first, last)),
            None => shape.push(Part { primary, replicas, ranges: vec![(first, last)] }),
        }
    }
    (!shape.is_empty()).then_some(shape)
}

fn slot(reply: Reply) -> Option<u16> {
    match reply {
        Reply::Number(number) => u16::try_from(number).ok().filter(|slot| usize::from(*slot) < SLOTS),
        _ => None,
    }
}

/// A node is its host, its port, and more that we do not need.
fn place(node: Reply, asked: &Place) -> Option<Place> {
    let Reply::List(node) = node else { return None };
    let mut parts = node.into_iter();
    let host = match parts.next()? {
        Reply::Bytes(host) if host == b"?" => return None,
        Reply::Bytes(host) if !host.is_empty() => String::from_utf8(host).ok()?,
        Reply::Bytes(_) | Reply::Nil => asked.host().to_owned(),
        _ => return None,
    };
    let Reply::Number(port) = parts.next()? else { return None };
    Some(Place::Tcp(host, u16::try_from(port).ok().filter(|port| *port != 0)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(host: Option<&str>, port: i64) -> Reply {
        let host = host.map_or(Reply::Nil, |host| Reply::Bytes(host.into()));
        Reply::List(vec![host, Reply::Number(port), Reply::Bytes(b"id".to_vec()), Reply::List(Vec::new())])
    }

    fn range(first: i64, last: i64, nodes: Vec<Reply>) -> Reply {
        Reply::List([Reply::Number(first), Reply::Number(last)].into_iter().chain(nodes).collect())
    }

    fn tcp(host: &str, port: u16) -> Place {
        Place::Tcp(host.into(), port)
    }

    #[test]
    fn ranges_of_one_primary_are_one_shard() {
        let reply = Reply::List(vec![
            range(0, 99, vec![node(Some("a"), 1), node(Some("b"), 2), node(Some("?"), 3)]),
            range(100, 16_383, vec![node(None, 4)]),
            range(50, 60, vec![node(Some("a"), 1)]),
        ]);
        let shape = parse(reply, &tcp("asked", 9)).unwrap();
        assert_eq!(shape.len(), 2);
        assert_eq!(
            shape[0],
            Part { primary: tcp("a", 1), replicas: vec![tcp("b", 2)], ranges: vec![(0, 99), (50, 60)] }
        );
        assert_eq!(shape[1], Part { primary: tcp("asked", 4), replicas: Vec::new(), ranges: vec![(100, 16_383)] });
    }

    #[test]
    fn nonsense_is_no_map() {
        let asked = tcp("asked", 9);
        for reply in [
            Reply::Nil,
            Reply::List(Vec::new()),
            Reply::List(vec![Reply::Nil]),
            Reply::List(vec![range(0, 16_384, vec![node(None, 1)])]),
            Reply::List(vec![range(2, 1, vec![node(None, 1)])]),
            Reply::List(vec![range(-1, 1, vec![node(None, 1)])]),
            Reply::List(vec![range(0, 1, Vec::new())]),
            Reply::List(vec![range(0, 1, vec![node(None, 70_000)])]),
        ] {
            assert_eq!(parse(reply, &asked), None);
        }
    }
}
