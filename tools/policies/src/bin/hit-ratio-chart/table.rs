//! The file that `hit-ratio` writes, as panels.

use std::collections::HashMap;

use crate::Result;

/// A line of the file, as far as it is drawn.
struct Row {
    trace: String,
    share: f64,
    kind: String,
    policy: String,
    hit_ratio: f64,
}

/// The points of one policy on one trace, by size.
pub type Points = Vec<(f64, f64)>;

pub struct Panel {
    pub trace: String,
    pub simulated: HashMap<String, Points>,
    pub engine: Vec<(String, Points)>,
}

fn rows(csv: &str) -> Result<Vec<Row>> {
    let mut lines = csv.lines();
    let names: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let column = |name: &str| names.iter().position(|other| *other == name).ok_or(format!("there is no column {name}"));
    let (trace, objects, entries) = (column("trace")?, column("objects")?, column("entries")?);
    let (kind, policy, hit_ratio) = (column("kind")?, column("policy")?, column("hit_ratio")?);
    let row = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        if cells.len() != names.len() {
            return Err(format!("a line of another length: {line}").into());
        }
        Ok(Row {
            trace: cells[trace].to_owned(),
            share: 100.0 * cells[entries].parse::<f64>()? / cells[objects].parse::<f64>()?,
            kind: cells[kind].to_owned(),
            policy: cells[policy].to_owned(),
            hit_ratio: cells[hit_ratio].parse()?,
        })
    };
    lines.map(row).collect()
}

/// The panels of such a file, in its order.
pub fn panels(csv: &str) -> Result<Vec<Panel>> {
    Ok(panels_of(rows(csv)?))
}

fn panels_of(rows: Vec<Row>) -> Vec<Panel> {
    let mut panels: Vec<Panel> = Vec::new();
    for row in rows {
        if panels.iter().all(|panel| panel.trace != row.trace) {
            panels.push(Panel { trace: row.trace.clone(), simulated: HashMap::new(), engine: Vec::new() });
        }
        let Some(panel) = panels.iter_mut().find(|panel| panel.trace == row.trace) else { continue };
        let point = (row.share, row.hit_ratio);
        match row.kind.as_str() {
            // Without lifetimes, which no trace has, it is FIFO.
            "engine" if row.policy == "ttl" => {}
            "engine" => match panel.engine.iter_mut().find(|(policy, _)| *policy == row.policy) {
                Some((_, points)) => points.push(point),
                None => panel.engine.push((row.policy, vec![point])),
            },
            // What the engine does in one shard is not what a user gets.
            "engine-1-shard" => {}
            _ => panel.simulated.entry(row.policy).or_default().push(point),
        }
    }
    panels
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "trace,requests,objects,percent,entries,kind,policy,hit_ratio\n";

    #[test]
    fn what_is_drawn_of_the_engine_is_what_a_user_gets() {
        let text = format!("{HEAD}web,9,1000,1,100,engine-1-shard,lru,1\nweb,9,1000,1,100,engine,lru,2\n");
        let panels = panels(&text).expect("panels");
        assert_eq!(panels[0].engine, [("lru".to_owned(), vec![(10.0, 2.0)])]);
    }

    #[test]
    fn a_file_of_another_kind_is_refused() {
        assert!(panels("a,b\n1,2\n").is_err());
        assert!(panels(&format!("{HEAD}web,1\n")).is_err());
        assert!(panels(&format!("{HEAD}web,1,1,1,x,opt,opt,1\n")).is_err());
    }
}
