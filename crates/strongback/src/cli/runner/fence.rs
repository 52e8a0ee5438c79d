//! Keeping a process out of a directory, with all that it starts: by Landlock, which a process puts upon itself and cannot take off.
//!
//! Landlock denies what nothing allows. So everything is allowed by its name that lies beside the directory, or beside one above
//! it, and was there at the beginning. What comes to lie there later is denied too, and so is listing one of those above it; a
//! process has a directory of its own for what it makes.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr,
    path_beneath_rules,
};

/// What of Landlock is used; a kernel that has less does what it can.
const KNOWN: ABI = ABI::V3;

/// Keeps this thread, and what it starts from now on, out of a directory, but for what of it may be read, or written as well. Does
/// nothing where the kernel has no Landlock.
pub(super) fn keep_out(denied: &Path, read: &[PathBuf], write: &[PathBuf]) -> anyhow::Result<()> {
    if !is_there() {
        return Ok(());
    }
    let all = AccessFs::from_all(KNOWN);
    Ruleset::default()
        .handle_access(all)?
        .create()?
        .add_rules(path_beneath_rules(beside(&fs::canonicalize(denied)?)?, all))?
        .add_rules(path_beneath_rules(write, all))?
        .add_rules(path_beneath_rules(read, AccessFs::from_read(KNOWN)))?
        .restrict_self()?;
    Ok(())
}

/// What lies beside a directory, and beside each of those above it. A link is what it leads to: one that leads back is left out.
fn beside(denied: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for above in denied.ancestors().skip(1) {
        let entries = fs::read_dir(above).with_context(|| {
            format!(
                "the directory {} has to be listed for that; let the server's user list it, or put the data directory elsewhere",
                above.display()
            )
        })?;
        for entry in entries {
            // One that leads nowhere allows nothing.
            let Ok(path) = fs::canonicalize(entry?.path()) else { continue };
            if !denied.starts_with(&path) && !path.starts_with(denied) {
                found.push(path);
            }
        }
    }
    Ok(found)
}

/// Whether the kernel has Landlock.
pub(in super::super) fn is_there() -> bool {
    let strict = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    strict.handle_access(AccessFs::from_all(ABI::V1)).and_then(Ruleset::create).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_beside_is_named_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap();
        for name in ["a/b/data/keys", "a/b/other", "a/c", "d"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        for (link, to) in [("a/current", "a/b"), ("keys", "a/b/data/keys"), ("gone", "nowhere")] {
            std::os::unix::fs::symlink(root.join(to), root.join(link)).unwrap();
        }
        let found = beside(&root.join("a/b/data")).unwrap();
        let mut below: Vec<_> = found.iter().filter_map(|path| path.strip_prefix(&root).ok()).collect();
        below.sort();
        assert_eq!(below, ["a/b/other", "a/c", "d"].map(Path::new));
        assert!(found.contains(&PathBuf::from("/proc")) && !found.iter().any(|path| root.starts_with(path)));
    }

    /// On a thread of its own, which it ends with.
    #[test]
    fn a_thread_that_is_kept_out_reads_what_it_may_and_nothing_else() {
        if !is_there() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        for name in ["keys", "model", "own", "../beside"] {
            fs::create_dir_all(data.join(name)).unwrap();
            fs::write(data.join(name).join("file"), name).unwrap();
        }
        let tried = std::thread::spawn(move || {
            keep_out(&data, &[data.join("model")], &[data.join("own")]).unwrap();
            let read = |name: &str| fs::read(data.join(name).join("file")).is_ok();
            let write = |name: &str| fs::write(data.join(name).join("new"), "x").is_ok();
            ["keys", "model", "own", "../beside"].map(|name| (read(name), write(name)))
        });
        let expected = [(false, false), (true, false), (true, true), (true, true)];
        assert_eq!(tried.join().unwrap(), expected);
    }
}
