//! Hostile paths, addresses and documents that nobody wrote down: made from a seed, which a failure shows.
//!
//! `STRONGBACK_TEST_SEED=<number>` makes the same ones again.

use percent_encoding::percent_decode;
use testkit::random::Random;

/// How many texts are made for each field.
pub const TEXTS: usize = 32;

/// What addresses begin with, of the kinds that are taken somewhere and of some that are not.
const STARTS: &[&str] = &[
    "/",
    "//",
    "s3://bucket/",
    "dbfs:/",
    "file:/",
    "file:///",
    "mlflow-artifacts:/",
    "mlflow-artifacts:/1/0123456789abcdef0123456789abcdef/artifacts/",
    "runs:/0123456789abcdef0123456789abcdef/",
    "models:/",
    "/Models/a/b/c/1/",
    "https://127.0.0.1/",
    "ftp://host/",
    "\\\\host\\",
    "C:",
    "javascript:",
];

/// The seed of this run of a test.
pub fn seed() -> u64 {
    let given = std::env::var("STRONGBACK_TEST_SEED").ok();
    given.map_or_else(Random::arbitrary_seed, |text| text.parse().expect("STRONGBACK_TEST_SEED is a number"))
}

/// Says the seed where a test fails, whatever fails.
pub struct ShowSeed(pub u64);

impl Drop for ShowSeed {
    #[expect(clippy::print_stderr, reason = "a test that fails says how to fail again")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("again with STRONGBACK_TEST_SEED={}", self.0);
        }
    }
}

/// Another stream of choices for each field, whatever the order in which fields are looked at.
pub fn choices(seed: u64, of: &str) -> Random {
    Random::new(of.bytes().fold(seed, |seed, byte| Random::new(seed ^ u64::from(byte)).bits()))
}

pub fn one<'a, T: ?Sized>(random: &mut Random, of: &[&'a T]) -> &'a T {
    of[random.below(of.len() as u64) as usize]
}

/// Paths, most of which want to be elsewhere.
pub fn paths(random: &mut Random) -> Vec<String> {
    (0..TEXTS).map(|_| path(random)).collect()
}

/// Paths, and addresses with such paths.
pub fn texts(random: &mut Random) -> Vec<String> {
    let mut texts = paths(random);
    for text in texts.iter_mut().step_by(2) {
        text.insert_str(0, one(random, STARTS));
    }
    texts
}

/// A path as it stands in an address: what would end the path there is encoded.
pub fn in_address(path: &str) -> String {
    path.replace('?', "%3F").replace('#', "%23").replace(' ', "%20")
}

fn path(random: &mut Random) -> String {
    let before = one(random, &["", "", "a/", "a/b/", "a;b/"]).to_owned();
    if random.chance(1, 3) {
        // Anything, of what has a meaning to somebody.
        let length = 1 + random.below(10);
        let mix = (0..length).map(|_| {
            let character = one(random, &[".", ".", "/", ";", "?", "#", "\\", ":", "%", " ", "a", "C", "\0"]);
            written(random, character)
        });
        return before + &mix.collect::<String>();
    }
    let mut path = before;
    for _ in 0..=random.below(2) {
        for _ in 0..=random.below(2) {
            path += &written(random, ".");
        }
        if random.chance(1, 2) {
            let mark = one(random, &[";", ";", "?", "#", " "]);
            path += &written(random, mark);
            path += one(random, &["", "x", "v=1", "x;y"]);
        }
        let slash = one(random, &["/", "/", "\\"]);
        path += &written(random, slash);
    }
    path + one(random, &["", "x", "etc/passwd", "x.txt"])
}

/// A character as it is, encoded up to four times in either case, in the wide form, or overlong.
fn written(random: &mut Random, character: &str) -> String {
    let code = character.as_bytes()[0];
    let percent = format!("%{}", "25".repeat(random.below(4) as usize));
    match random.below(12) {
        0..4 => character.to_owned(),
        4..7 => format!("{percent}{code:02x}"),
        7..9 => format!("{percent}{code:02X}"),
        9 => format!("%u{code:04x}"),
        10 => format!("{percent}{:02x}{percent}{:02x}", 0xc0 | code >> 6, 0x80 | code & 0x3f),
        _ => format!("{percent}e0{percent}{:02x}{percent}{:02x}", 0x80 | code >> 6, 0x80 | code & 0x3f),
    }
}

/// Whether somebody finds a way up in a path, or no name: whoever decodes it again and again, takes a backslash for a slash, and takes off
/// what follows `;`, `?` or `#` in a name. Written apart from the server's own check.
pub fn must_be_refused(raw: &str) -> bool {
    let mut bytes = raw.as_bytes().to_vec();
    (0..12).any(|_| {
        let text = String::from_utf8_lossy(&bytes).replace('\\', "/");
        let is_dots = |name: &str| matches!(name.split([';', '?', '#']).next().unwrap().trim(), "." | "..");
        let is_bad = text.starts_with('/')
            || text.contains(['\0', '\u{fffd}', '\u{fffe}', '\u{10ffff}'])
            || text.split('/').any(is_dots);
        bytes = percent_decode(&bytes).collect();
        is_bad
    })
}

#[test]
fn most_of_what_is_made_is_hostile() {
    let paths: Vec<String> = (0..100).flat_map(|seed| paths(&mut Random::new(seed))).collect();
    let hostile = paths.iter().filter(|path| must_be_refused(path)).count();
    assert!(hostile * 2 > paths.len() && hostile < paths.len(), "{hostile} of {}", paths.len());
    assert!(must_be_refused("a/..%253Bx/b") && must_be_refused("..;") && !must_be_refused("a;b/..c"));
}
