//! By which rule two queues are emptied: what `s3fifo` does, and what `adaptive` chooses from. Only the order is decided
//! here; the queues may be those of a shard or of a shadow.
//!
//! All rules share the queues (a window that new entries pass through, and main), the ghost and the counts of hits, so
//! that one can take the place of another at any time: nothing is moved or dropped by that, the new rule only decides who
//! leaves next.

/// A rule, and what it is good at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Rule {
    /// S3-FIFO with a window of a tenth: what was hit in the window reaches main, as does what comes back from the ghost.
    S3,
    /// The same with a window of 15 hundredths: gains a tenth of a point on recorded traffic of web servers and databases,
    /// and loses on loops, which another rule is for.
    Narrow,
    /// The same with a window of six tenths: between the former and the next one.
    Wide,
    /// Second chance: all is window. For recency.
    Clock,
    /// A window of a hundredth, and main stays as it is but for newcomers that have proven themselves, against entries that
    /// were not hit. For loops, long scans and frequency. After the idea of LIRS and CLOCK-Pro (Jiang, Chen and Zhang,
    /// USENIX ATC 2005): that an entry comes back soon is worth more than that it came lately.
    Keep,
}

/// What `adaptive` chooses from.
pub(super) const RULES: [Rule; 4] = [Rule::Narrow, Rule::Wide, Rule::Clock, Rule::Keep];

impl Rule {
    /// The window's part of so many entries.
    fn window(self, entries: usize) -> usize {
        let part = match self {
            Rule::S3 => entries / 10,
            Rule::Narrow => entries * 3 / 20,
            Rule::Wide => entries / 10 * 6,
            Rule::Clock => entries,
            Rule::Keep => entries / 100,
        };
        part.max(1)
    }

    fn is_s3(self) -> bool {
        matches!(self, Rule::S3 | Rule::Narrow | Rule::Wide)
    }
}

/// How far hits are counted.
pub(super) const MOST: u32 = 3;

/// How many entries are looked at for one victim. Each but the last has cost a hit before, so this is a bound on how long one
/// put can take, hardly ever reached.
const MOST_LOOKED_AT: usize = 1 << 8;

/// Keep: one newcomer in so many may claim a place without having come back, else main would outlive its use. With 32, loops
/// of up to some thirty times the cache stay safe; half and twice of it make no difference that matters.
const UNPROVEN: u32 = 32;
/// Keep: so many entries go from a window that is too long to main with one insertion.
const MOVED_PER_INSERT: usize = 2;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Queue {
    Window,
    Main,
}

/// Two queues of entries that count their hits up to [`MOST`].
pub(super) trait Queues {
    fn len(&self, queue: Queue) -> usize;

    /// The hits of the oldest entry.
    fn oldest(&self, queue: Queue) -> Option<u32>;

    /// Makes the oldest entry of one queue the newest of another, or of the same, with so many hits.
    fn requeue(&mut self, from: Queue, to: Queue, hits: u32);
}

/// A rule at work.
pub(super) struct Ruling {
    rule: Rule,
    /// So many entries of main are still to be looked at since a rule of S3-FIFO has begun: those that another rule has put there
    /// have to show a hit once.
    to_prove: usize,
    /// Keep: so many places in main were given away and are to be left by its oldest.
    owed: usize,
    /// Keep: newcomers since one was let in without proof.
    unproven: u32,
    has_evicted: bool,
}

impl Ruling {
    pub(super) const fn new(rule: Rule) -> Self {
        Self { rule, to_prove: 0, owed: 0, unproven: 0, has_evicted: false }
    }

    pub(super) fn rule(&self) -> Rule {
        self.rule
    }

    pub(super) fn change(&mut self, rule: Rule, queues: &impl Queues) {
        self.rule = rule;
        self.owed = 0;
        self.to_prove = if rule.is_s3() { queues.len(Queue::Main) } else { 0 };
    }

    /// The queue that a new entry goes to. `came_back`: its key was evicted lately.
    #[inline(always)]
    pub(super) fn place(&mut self, queues: &mut impl Queues, came_back: bool) -> Queue {
        let to_main = match self.rule {
            Rule::S3 | Rule::Narrow | Rule::Wide => came_back,
            Rule::Clock => false,
            Rule::Keep => self.keeps(queues, came_back),
        };
        if to_main {
            Queue::Main
        } else {
            Queue::Window
        }
    }

    /// Keep: whether a new entry may go to main at once.
    #[inline(never)]
    fn keeps(&mut self, queues: &mut impl Queues, came_back: bool) -> bool {
        self.unproven += 1;
        let is_turn = self.has_evicted && self.unproven >= UNPROVEN;
        if is_turn {
            self.unproven = 0;
        }
        let granted = (came_back || is_turn) && Self::claim(queues);
        self.owed += usize::from(granted);
        granted
    }

    /// After a new entry has been queued.
    #[inline(always)]
    pub(super) fn inserted(&mut self, queues: &mut impl Queues) {
        if self.rule == Rule::Keep {
            self.shorten(queues);
        }
    }

    /// Keep: a window that is too long gives some of its oldest to main.
    #[inline(never)]
    fn shorten(&mut self, queues: &mut impl Queues) {
        for _ in 0..MOVED_PER_INSERT {
            let window = self.rule.window(queues.len(Queue::Window) + queues.len(Queue::Main));
            match queues.oldest(Queue::Window) {
                Some(hits) if queues.len(Queue::Window) > window + 1 => {
                    queues.requeue(Queue::Window, Queue::Main, hits)
                }
                _ => break,
            }
        }
    }

    /// Keep: one look at main's oldest. It yields its place if it was not hit since the last look; else it begins anew, and
    /// the claim has failed. So what is hit once in a round of such looks is safe, and a loop does not wash it out.
    fn claim(queues: &mut impl Queues) -> bool {
        match queues.oldest(Queue::Main) {
            None => false,
            Some(0) => true,
            Some(_) => {
                queues.requeue(Queue::Main, Queue::Main, 0);
                false
            }
        }
    }

    /// The queue whose oldest entry should leave next, before a new one comes in. `None` when there is none.
    #[inline(always)]
    pub(super) fn victim(&mut self, queues: &mut impl Queues) -> Option<Queue> {
        use Queue::{Main, Window};
        for _ in 0..MOST_LOOKED_AT {
            let (window, main) = (queues.len(Window), queues.len(Main));
            // Not written anew: on a line that is only read, no core waits for another.
            if main == 0 && (self.to_prove, self.owed) != (0, 0) {
                (self.to_prove, self.owed) = (0, 0);
            }
            let window_is_short = window < self.rule.window(window + main);
            let from_main = match self.rule {
                Rule::S3 | Rule::Narrow | Rule::Wide => self.to_prove > 0 || window_is_short,
                Rule::Clock => true,
                Rule::Keep => self.owed > 0 || window_is_short,
            };
            let queue = match (window, main) {
                (0, 0) => return None,
                (_, 0) => Window,
                (0, _) => Main,
                _ if from_main => Main,
                _ => Window,
            };
            if queue == Main && self.to_prove > 0 {
                self.to_prove -= 1;
            }
            // Only of the queue that it is about: the other one's oldest may be far from the processor, and would be waited for.
            let hits = queues.oldest(queue).unwrap_or(0);
            if hits == 0 {
                return Some(queue);
            }
            match (self.rule, queue) {
                (Rule::Clock, _) => queues.requeue(queue, Window, 0),
                (_, Main) => queues.requeue(Main, Main, hits - 1),
                (Rule::S3 | Rule::Narrow | Rule::Wide, Window) => queues.requeue(Window, Main, 0),
                // To have been hit in the window is a claim as well.
                (Rule::Keep, Window) if Self::claim(queues) => {
                    queues.requeue(Window, Main, 0);
                    return Some(Main);
                }
                (Rule::Keep, Window) => queues.requeue(Window, Window, 0),
            }
        }
        // The second best.
        if queues.len(Window) > 0 {
            Some(Window)
        } else {
            Some(Main)
        }
    }

    /// The victim leaves. Says whether its key should be remembered.
    #[inline(always)]
    pub(super) fn evicted(&mut self, queue: Queue) -> bool {
        if !self.has_evicted {
            self.has_evicted = true;
        }
        if queue == Queue::Main && self.owed > 0 {
            self.owed -= 1;
        }
        // What leaves main had its time; to Clock all are alike.
        queue == Queue::Window || self.rule == Rule::Clock
    }
}
