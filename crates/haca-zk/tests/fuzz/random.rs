//! Numbers that can be repeated, and the edits that bytes and lists of anything have in common.

/// A small generator of numbers (splitmix64).
pub struct Random(u64);

impl Random {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `count`; 0 when there is none.
    pub const fn below(&mut self, count: usize) -> usize {
        match count {
            0 => 0,
            _ => (self.next() % count as u64) as usize,
        }
    }

    pub const fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// A number at which something may break.
    pub fn boundary(&mut self) -> u64 {
        let power = 1u64 << self.below(64);
        let special = [
            0,
            1,
            u64::MAX,
            u64::from(u32::MAX),
            haca_zk::field::CHARACTERISTIC,
            power,
        ];
        let base = *self.pick(&special);
        base.wrapping_add(self.next() % 3).wrapping_sub(1)
    }
}

/// Makes a list longer or shorter, or moves what is in it.
pub fn edit_list<T: Clone>(random: &mut Random, list: &mut Vec<T>) {
    if list.is_empty() {
        return;
    }
    let (at, other) = (random.below(list.len()), random.below(list.len()));
    match random.below(9) {
        0 => drop(list.pop()),
        1 => drop(list.remove(at)),
        2 => list.insert(at, list[other].clone()),
        3 => list.push(list[at].clone()),
        4 => list.swap(at, other),
        5 => list.truncate(at),
        6 => list.reverse(),
        7 => list[at] = list[other].clone(),
        _ => list.rotate_left(at),
    }
}

/// Changes bytes without regard to what they mean; `others` are those of something alike.
pub fn edit_bytes(random: &mut Random, bytes: &mut Vec<u8>, others: &[u8]) {
    let at = random.below(bytes.len());
    match random.below(9) {
        0 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        1 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = *random.pick(&[0, 1, 0x7f, 0x80, 0xff]);
            }
        }
        2 => {
            let number = (random.boundary() as u32).to_le_bytes();
            overwrite(bytes, at, &number);
        }
        3 => overwrite(bytes, at / 8 * 8, &random.boundary().to_le_bytes()),
        4 => second_encoding(bytes, at),
        5 => bytes.truncate(at),
        6 => {
            let count = 1 + random.below(40);
            bytes.extend((0..count).map(|_| random.next() as u8));
        }
        7 => {
            let end = (at + 1 + random.below(64)).min(bytes.len());
            if at < end {
                let moved: Vec<u8> = bytes.drain(at..end).collect();
                let to = random.below(bytes.len() + 1);
                if !random.one_in(3) {
                    bytes.splice(to..to, moved);
                }
            }
        }
        _ => {
            let from = random.below(others.len());
            let end = (from + 1 + random.below(256)).min(others.len());
            overwrite(bytes, at, others.get(from..end).unwrap_or_default());
        }
    }
}

fn overwrite(bytes: &mut [u8], at: usize, with: &[u8]) {
    bytes
        .iter_mut()
        .skip(at)
        .zip(with)
        .for_each(|(to, from)| *to = *from);
}

/// Adds the characteristic to a number that leaves room for it: the same field element, in bytes that are not its own.
fn second_encoding(bytes: &mut [u8], at: usize) {
    let places = (at..bytes.len().saturating_sub(7)).take(4096);
    for place in places {
        let number: [u8; 8] = std::array::from_fn(|byte| bytes[place + byte]);
        if let Some(sum) = u64::from_le_bytes(number).checked_add(haca_zk::field::CHARACTERISTIC) {
            return overwrite(bytes, place, &sum.to_le_bytes());
        }
    }
}
