//! What is done to a network, in which order, by a seed.

use std::time::Duration;

/// What one perturbation does. Nodes are named by their index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// SIGKILL of a node, and with it of its CometBFT; it starts again after a while.
    Kill(usize),
    /// SIGKILL of a node's CometBFT alone; the node ends with an error and is started again.
    KillConsensus(usize),
    /// SIGTERM; it starts again once it has ended.
    Restart(usize),
    /// SIGSTOP of a node and its CometBFT, SIGCONT after a while.
    Pause(usize),
    /// No byte between a node and the others; connections stay, as when packets are lost.
    Silence(usize),
    /// Connections between a node and the others are closed, and new ones fail.
    Cut(usize),
    /// Two halves that do not hear each other: nobody decides until that is over.
    Split(usize),
    /// Each sync of a node's disk takes so much longer.
    SlowDisk(usize, Duration),
    /// The clock of the validator with the remote signer is off by so much, until the next such event.
    Skew(i64),
    /// A fifth node joins from a snapshot of its peers.
    Join,
    /// The fifth node stakes and becomes a validator.
    Stake,
    /// A validator takes its stake out and goes on as a full node.
    Unstake(usize),
}

impl Act {
    /// The name under which it is counted.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Kill(_) => "kill",
            Self::KillConsensus(_) => "kill_consensus",
            Self::Restart(_) => "restart",
            Self::Pause(_) => "pause",
            Self::Silence(_) => "silence",
            Self::Cut(_) => "cut",
            Self::Split(_) => "split",
            Self::SlowDisk(..) => "slow_disk",
            Self::Skew(_) => "clock_skew",
            Self::Join => "state_sync",
            Self::Stake => "stake",
            Self::Unstake(_) => "unstake",
        }
    }
}

/// An act and how long it lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) act: Act,
    pub(super) lasts: Duration,
}

/// `SplitMix64`: equal seeds give equal plans on every machine.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A number below `end`.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn between(&mut self, low_ms: u64, high_ms: u64) -> Duration {
        Duration::from_millis(low_ms + self.below(high_ms - low_ms))
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            let other = self.below(end as u64 + 1) as usize;
            items.swap(end, other);
        }
    }
}

/// An endless sequence of events. Joining, staking and unstaking happen once.
pub(super) struct Plan {
    random: Random,
    /// Events to come, the next one last.
    round: Vec<Event>,
    rounds: u64,
    /// Whether one kind of each family is enough.
    short: bool,
    nodes: usize,
}

impl Plan {
    /// The plan of a seed. A short one has the main kinds once, and everything takes less time.
    pub(super) fn new(seed: u64, validators: usize, short: bool) -> Self {
        Self {
            random: Random::new(seed),
            round: Vec::new(),
            rounds: 0,
            short,
            nodes: validators,
        }
    }

    /// How many events a plan has before it begins to repeat itself with other nodes and times.
    pub(super) fn round_len(&self) -> usize {
        match self.short {
            true => 9,
            false => 12,
        }
    }

    fn fill(&mut self) {
        let random = &mut self.random;
        let node = |random: &mut Random| random.below(self.nodes as u64) as usize;
        let mut acts = vec![
            Act::Kill(node(random)),
            Act::Pause(node(random)),
            Act::Restart(node(random)),
            Act::SlowDisk(node(random), random.between(100, 500)),
            Act::Skew(random.below(20_001) as i64 - 10_000),
        ];
        let severed = [
            Act::Silence(node(random)),
            Act::Cut(node(random)),
            Act::Split(1 + random.below(3) as usize),
        ];
        if self.short {
            acts.push(severed[random.below(2) as usize]);
        } else {
            acts.extend(severed);
            acts.push(Act::KillConsensus(node(random)));
        }
        random.shuffle(&mut acts);
        if self.rounds == 0 {
            // In this order, with others between and around them.
            let mut place = 1 + random.below(2) as usize;
            let leaver = random.below(self.nodes as u64 - 1) as usize;
            for act in [Act::Join, Act::Stake, Act::Unstake(leaver)] {
                acts.insert(place.min(acts.len()), act);
                place += 2 + random.below(2) as usize;
            }
            // The one that joins is perturbed, too, from the next round on.
            self.nodes += 1;
        }
        self.rounds += 1;
        let (low, high) = if self.short { (800, 2_000) } else { (2_000, 9_000) };
        let event = |act| Event {
            act,
            lasts: random.between(low, high),
        };
        self.round = acts.into_iter().map(event).rev().collect();
    }
}

impl Iterator for Plan {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        if self.round.is_empty() {
            self.fill();
        }
        self.round.pop()
    }
}

#[test]
fn a_plan_follows_from_its_seed_and_leaves_nothing_out() {
    for seed in 0..50 {
        for short in [true, false] {
            let plan = |seed| {
                let plan = Plan::new(seed, 4, short);
                let length = plan.round_len();
                plan.take(length).collect::<Vec<_>>()
            };
            assert_eq!(plan(seed), plan(seed));
            assert_ne!(plan(seed), plan(seed + 1));
            let at = |name: &str| plan(seed).iter().position(|event| event.act.name() == name);
            let severed = ["silence", "cut", "split"].map(at);
            let always = ["kill", "pause", "restart", "slow_disk", "clock_skew"].map(at);
            assert!(always.iter().all(Option::is_some), "seed {seed}");
            assert_eq!(severed.iter().flatten().count(), if short { 1 } else { 3 });
            let [join, stake, unstake] = ["state_sync", "stake", "unstake"].map(|name| at(name).unwrap());
            assert!(join < stake && stake < unstake, "seed {seed}");
        }
    }
}
