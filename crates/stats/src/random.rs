//! Random numbers that are a function of where they are used, never of what was drawn before.
//!
//! Number `counter` of stream `stream` under `seed` is the finaliser of SplitMix64 (Steele, Lea, Flood 2014) applied
//! to a Weyl sequence that starts at a hash of seed and stream. The same three numbers give the same bits on every
//! machine, in every order of evaluation and in every release. Not for secrets.

const WEYL: u64 = 0x9E37_79B9_7F4A_7C15;

/// The finaliser of SplitMix64: a bijection of 64 bits in which every bit of the input moves half of the output's.
pub fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

/// One stream of a seed.
#[derive(Debug, Clone, Copy)]
pub struct Stream {
    start: u64,
}

impl Stream {
    pub fn new(seed: u64, stream: u64) -> Self {
        Self { start: mix(mix(seed.wrapping_add(WEYL)).wrapping_add(stream.wrapping_mul(WEYL))) }
    }

    /// 64 bits, all values equally likely.
    pub fn bits(self, counter: u64) -> u64 {
        mix(self.start.wrapping_add(counter.wrapping_add(1).wrapping_mul(WEYL)))
    }

    /// A number in `[0, 1)` with 53 random bits.
    pub fn unit(self, counter: u64) -> f64 {
        (self.bits(counter) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A weight a row, Poisson with mean 1: what the bootstrap gives to each row.
    pub(crate) fn fill_poisson(self, weights: &mut [u8]) {
        for (counter, pair) in weights.chunks_mut(2).enumerate() {
            let bits = self.bits(counter as u64);
            for (weight, half) in pair.iter_mut().zip([bits as u32, (bits >> 32) as u32]) {
                *weight = poisson(half);
            }
        }
    }
}

/// `⌊2³² · P(X ≤ k)⌋` for X Poisson with mean 1 and `k` from 0; the rest is less likely than 2⁻³².
const POISSON_BELOW: [u32; 12] = [
    1_580_030_168,
    3_160_060_337,
    3_950_075_421,
    4_213_413_783,
    4_279_248_373,
    4_292_415_291,
    4_294_609_777,
    4_294_923_276,
    4_294_962_463,
    4_294_966_817,
    4_294_967_252,
    4_294_967_292,
];

fn poisson(uniform: u32) -> u8 {
    POISSON_BELOW.iter().map(|&below| u8::from(uniform >= below)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_never_change() {
        let stream = Stream::new(1, 2);
        let drawn: Vec<u64> = (0..3).map(|counter| stream.bits(counter)).collect();
        assert_eq!(
            drawn,
            [11_446_999_876_264_359_965, 9_047_282_882_916_087_253, 8_566_811_186_491_711_777],
            "changing these changes every stored interval"
        );
    }

    #[test]
    fn the_finaliser_is_the_published_one() {
        let drawn: Vec<u64> =
            (1..=3_u64).map(|n| mix(1_234_567_u64.wrapping_add(n.wrapping_mul(WEYL)))).collect();
        assert_eq!(drawn, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn weights_are_poisson_of_mean_one() {
        let mut weights = vec![0; 200_000];
        Stream::new(7, 0).fill_poisson(&mut weights);
        let rows = weights.len() as f64;
        let mean = weights.iter().map(|&w| f64::from(w)).sum::<f64>() / rows;
        let variance = weights.iter().map(|&w| (f64::from(w) - mean).powi(2)).sum::<f64>() / rows;
        assert!((mean - 1.0).abs() < 0.01 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
        let mut factorial = 1.0;
        for k in 0..6_u8 {
            factorial *= f64::from(k.max(1));
            let share = weights.iter().map(|&w| f64::from(u8::from(w == k))).sum::<f64>() / rows;
            let expected = (-1.0_f64).exp() / factorial;
            assert!(
                (share - expected).abs() < 5.0 * (expected / rows).sqrt(),
                "{k}: {share} against {expected}"
            );
        }
    }

    #[test]
    fn streams_and_seeds_are_apart() {
        let first = |seed, stream| Stream::new(seed, stream).bits(0);
        let all = [first(0, 0), first(0, 1), first(1, 0), first(1, 1), Stream::new(0, 0).bits(1)];
        for (at, bits) in all.iter().enumerate() {
            assert!(!all[at + 1..].contains(bits));
        }
        assert!((0..1_000).map(|n| Stream::new(3, 3).unit(n)).all(|unit| (0.0..1.0).contains(&unit)));
    }
}
