//! The last seconds at the burst rate, in memory: written out when something happens, forgotten when nothing does.

/// A bounded ring of passes (see [`crate::model::sample`] for their words). Never allocates after its making.
#[derive(Debug)]
pub struct History {
    words: Box<[u64]>,
    /// First word of the oldest pass.
    start: usize,
    /// Words in use.
    used: usize,
}

impl History {
    /// A ring of `capacity` words; 0 keeps nothing.
    pub fn new(capacity: usize) -> History {
        History { words: vec![0; capacity].into_boxed_slice(), start: 0, used: 0 }
    }

    /// Keeps a pass; the oldest passes make room.
    pub fn push(&mut self, pass: &[u64]) {
        let need = pass.len() + 1;
        if need > self.words.len() {
            return;
        }
        while self.words.len() - self.used < need {
            let length = self.at(0) as usize + 1;
            self.start = (self.start + length) % self.words.len();
            self.used -= length;
        }
        self.put(pass.len() as u64);
        pass.iter().for_each(|&word| self.put(word));
    }

    /// Takes out the oldest pass, into `out`.
    pub fn pop(&mut self, out: &mut Vec<u64>) -> bool {
        out.clear();
        if self.used == 0 {
            return false;
        }
        let length = self.at(0) as usize;
        out.extend((1..=length).map(|i| self.at(i)));
        self.start = (self.start + length + 1) % self.words.len();
        self.used -= length + 1;
        true
    }

    fn at(&self, offset: usize) -> u64 {
        self.words[(self.start + offset) % self.words.len()]
    }

    fn put(&mut self, word: u64) {
        let end = (self.start + self.used) % self.words.len();
        self.words[end] = word;
        self.used += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_passes_are_kept_whole() {
        let mut history = History::new(10);
        for pass in [&[1, 1][..], &[2, 2, 2], &[3], &[4, 4, 4, 4]] {
            history.push(pass);
        }
        let mut out = Vec::new();
        let mut got = Vec::new();
        while history.pop(&mut out) {
            got.push(out.clone());
        }
        assert_eq!(got, [vec![3], vec![4; 4]], "1 and 2 made room");
        history.push(&[9; 11]);
        assert!(!history.pop(&mut out), "what is larger than the ring is not kept");
        History::new(0).push(&[1]);
    }
}
