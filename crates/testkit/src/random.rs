//! A seeded generator: the same seed gives the same choices on every machine and in every release.

/// SplitMix64 (Steele, Lea, Flood 2014): 64 bits of state, statistically sound, not for secrets.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A seed nobody chose, taken from the clock; print it wherever a run has to be repeatable.
    pub fn arbitrary_seed() -> u64 {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self::new(now.as_nanos() as u64).bits() >> 32
    }

    /// The next 64 bits, all values equally likely.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }

    /// A number in `0..limit`; 0 when `limit` is 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(limit)) >> 64) as u64
    }

    /// True with probability `numerator / denominator`.
    pub fn chance(&mut self, numerator: u64, denominator: u64) -> bool {
        self.below(denominator) < numerator
    }

    /// A number in `[0, 1)` with the 24 bits that a 32-bit float holds, widened: what a training loss looks like.
    pub fn unit(&mut self) -> f64 {
        f64::from((self.bits() >> 40) as u32) / f64::from(1_u32 << 24)
    }

    /// `length` pseudo-random bytes.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(length + 8);
        while out.len() < length {
            out.extend_from_slice(&self.bits().to_le_bytes());
        }
        out.truncate(length);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn the_sequence_is_the_published_one() {
        let mut random = Random::new(1_234_567);
        let drawn: Vec<u64> = (0..3).map(|_| random.bits()).collect();
        assert_eq!(drawn, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn bounds_hold() {
        let mut random = Random::new(7);
        for limit in [0, 1, 2, 3, 1_000] {
            assert!((0..1_000).all(|_| random.below(limit) < limit.max(1)));
        }
        assert!((0..1_000).map(|_| random.unit()).all(|value| (0.0..1.0).contains(&value)));
        assert_eq!(random.bytes(13).len(), 13);
    }
}
