//! What holds for every policy, whatever the requests.

use catzilla_policies::opt::Opt;
use catzilla_policies::{hits, Policy, POLICIES};

/// Requests at random: some keys are popular, now and then there is a scan or a loop, and what is popular changes.
fn requests(seed: u64, keys: u32, count: usize) -> Vec<u32> {
    let mut state = seed;
    let mut random = |below: u32| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (((state >> 32) * u64::from(below)) >> 32) as u32
    };
    let mut requests = Vec::with_capacity(count);
    let mut shift = 0;
    while requests.len() < count {
        match random(40) {
            0 => {
                let (first, len) = (random(keys), random(keys / 2) + 1);
                requests.extend((0..len).map(|step| (first + step) % keys));
            }
            1 => {
                let (first, len) = (random(keys), random(8) + 2);
                requests.extend((0..3 * len).map(|step| (first + step % len) % keys));
            }
            2 => shift = random(keys),
            _ => {
                let most = random(keys) + 1;
                requests.push((random(most) + shift) % keys);
            }
        }
    }
    requests.truncate(count);
    requests
}

const CAPACITIES: [usize; 12] = [1, 2, 3, 4, 5, 8, 10, 11, 20, 37, 99, 100];
const KEYS: u32 = 120;

#[test]
fn a_request_hits_what_is_held_and_no_more_is_held_than_there_is_room_for() {
    for seed in 1..4 {
        let requests = requests(seed, KEYS, 5_000);
        for capacity in CAPACITIES {
            let simulators = POLICIES.iter().map(|policy| (policy.name, (policy.new)(capacity)));
            let opt: Box<dyn Policy> = Box::new(Opt::new(capacity, &requests));
            for (name, mut simulator) in simulators.chain([("opt", opt)]) {
                let mut before = 0;
                for key in &requests {
                    let was_there = simulator.contains(*key);
                    assert_eq!(simulator.request(*key), was_there, "{name}, {capacity}");
                    let held = (0..KEYS).filter(|key| simulator.contains(*key)).count();
                    assert!(held <= capacity, "{name} holds {held} of {capacity}");
                    if name != "opt" {
                        assert!(simulator.contains(*key), "{name}, {capacity}: what was asked for is there");
                        assert!(held >= before, "{name}, {capacity}: nothing leaves without need");
                    }
                    before = held;
                }
            }
        }
    }
}

#[test]
fn no_policy_hits_more_often_than_opt() {
    for seed in 1..20 {
        let requests = requests(seed, KEYS, 3_000);
        for capacity in CAPACITIES {
            let most = hits(&mut Opt::new(capacity, &requests), &requests);
            for policy in POLICIES {
                let found = hits(&mut *(policy.new)(capacity), &requests);
                assert!(found <= most, "{}, {capacity}, seed {seed}: {found} of {most}", policy.name);
            }
        }
    }
}

/// All that can be done is few enough to try: whom to drive out, or nobody, at each miss.
#[test]
fn opt_hits_as_often_as_the_best_of_all_choices() {
    fn best(held: u32, capacity: u32, requests: &[u32]) -> usize {
        let Some((key, later)) = requests.split_first() else { return 0 };
        let bit = 1 << key;
        if held & bit != 0 {
            return 1 + best(held, capacity, later);
        }
        if held.count_ones() < capacity {
            return best(held | bit, capacity, later);
        }
        let victims = (0..32).filter(|victim| held & 1 << victim != 0);
        let replaced = victims.map(|victim| best(held & !(1 << victim) | bit, capacity, later)).max().unwrap_or(0);
        replaced.max(best(held, capacity, later))
    }
    for seed in 1..200 {
        let requests = requests(seed, 6, 12);
        for capacity in 1..4 {
            let found = hits(&mut Opt::new(capacity, &requests), &requests);
            assert_eq!(found, best(0, capacity as u32, &requests), "{requests:?}, {capacity}");
        }
    }
}

#[test]
fn room_for_all_misses_each_object_once() {
    let requests = requests(7, KEYS, 5_000);
    let distinct = (0..KEYS).filter(|key| requests.contains(key)).count();
    for policy in POLICIES {
        let mut simulator = (policy.new)(2 * KEYS as usize);
        // W-TinyLFU and 2Q divide their room, so all of it is more than there are keys.
        assert_eq!(hits(&mut *simulator, &requests), requests.len() - distinct, "{}", policy.name);
    }
}
