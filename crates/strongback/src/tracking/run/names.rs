//! Names for runs and models that were given none: adjective, noun, number.

use rand::{Rng, seq::IndexedRandom};

const ADJECTIVES: [&str; 64] = [
    "able", "agile", "amber", "ample", "aware", "bold", "brave", "brief", "bright", "brisk", "calm",
    "candid", "clear", "clever", "cosy", "crisp", "curious", "daring", "deft", "eager", "early", "earnest",
    "even", "exact", "fair", "fine", "firm", "fleet", "fond", "frank", "fresh", "gentle", "glad", "golden",
    "grand", "hardy", "honest", "humble", "keen", "kind", "lively", "loyal", "lucid", "merry", "mild",
    "neat", "nimble", "noble", "patient", "plain", "polite", "proud", "quick", "quiet", "ready", "robust",
    "serene", "sharp", "steady", "sturdy", "sunny", "swift", "tidy", "warm",
];

const NOUNS: [&str; 64] = [
    "acorn", "alder", "anchor", "arch", "ash", "badger", "beacon", "beech", "birch", "bridge", "brook",
    "cairn", "cedar", "cliff", "comet", "coral", "crane", "creek", "dune", "eagle", "elm", "ember", "falcon",
    "fern", "finch", "fjord", "forge", "glacier", "grove", "harbor", "hawk", "heron", "hill", "island",
    "juniper", "keel", "lantern", "larch", "lark", "linden", "maple", "marsh", "meadow", "mesa", "otter",
    "owl", "pebble", "pine", "plover", "quarry", "raven", "reef", "ridge", "river", "robin", "rudder",
    "sparrow", "spruce", "stone", "summit", "swan", "thistle", "valley", "willow",
];

/// A name such as `calm-heron-417`. Not unique: the id is.
pub fn generate() -> String {
    let mut rng = rand::rng();
    let pick =
        |words: &[&'static str], rng: &mut rand::rngs::ThreadRng| words.choose(rng).copied().unwrap_or("run");
    let (adjective, noun) = (pick(&ADJECTIVES, &mut rng), pick(&NOUNS, &mut rng));
    format!("{adjective}-{noun}-{}", rng.random_range(1..1_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_distinct_and_names_have_three_parts() {
        for words in [ADJECTIVES, NOUNS] {
            assert!(words.is_sorted_by(|a, b| a < b), "{words:?}");
        }
        let name = generate();
        let parts: Vec<&str> = name.split('-').collect();
        assert!(
            matches!(parts.as_slice(), [a, b, n] if ADJECTIVES.contains(a) && NOUNS.contains(b) && n.parse::<u16>().is_ok())
        );
    }
}
