//! A bound on how often something is done: so many at once, and then a few a second.

/// A token bucket; the clock is passed in.
#[derive(Clone, Debug)]
pub struct TokenBucket {
    most: f64,
    a_second: f64,
    tokens: f64,
    at_ns: u64,
}

impl TokenBucket {
    /// A full one.
    pub fn new(most: f64, a_second: f64) -> TokenBucket {
        TokenBucket { most, a_second, tokens: most, at_ns: 0 }
    }

    /// Whether there is a token, after what came in since the last look.
    pub fn has_one(&mut self, now_ns: u64) -> bool {
        let passed = now_ns.saturating_sub(self.at_ns) as f64 / 1e9;
        (self.tokens, self.at_ns) = ((self.tokens + passed * self.a_second).min(self.most), self.at_ns.max(now_ns));
        self.tokens >= 1.0
    }

    /// Takes a token if there is one.
    pub fn take(&mut self, now_ns: u64) -> bool {
        let has_one = self.has_one(now_ns);
        self.tokens -= if has_one { 1.0 } else { 0.0 };
        has_one
    }

    /// Whether it is full by a time: then it remembers nothing.
    pub fn is_full(&self, now_ns: u64) -> bool {
        self.tokens + now_ns.saturating_sub(self.at_ns) as f64 / 1e9 * self.a_second >= self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_a_few_a_second() {
        let mut bucket = TokenBucket::new(3.0, 2.0);
        let passed =
            |bucket: &mut TokenBucket, from_ns: u64| (0..10).filter(|i| bucket.take(from_ns + i * 1_000_000)).count();
        assert_eq!(passed(&mut bucket, 1_000_000_000), 3);
        assert!(!bucket.is_full(1_500_000_000));
        assert_eq!(passed(&mut bucket, 2_000_000_000), 2, "a second gives two");
        assert!(bucket.is_full(9_000_000_000));
        assert_eq!(passed(&mut bucket, 3_600_000_000_000), 3, "no more than it holds");
    }
}
