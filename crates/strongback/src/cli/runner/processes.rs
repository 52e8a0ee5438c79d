//! Processes of this machine as the kernel lists them in /proc (proc(5)): who came from whom, and what they use.

use std::{collections::HashMap, fs, time::Duration};

use rustix::process::{Pid, Signal, getpid, kill_process};

/// Ticks of the kernel's account a second, which is what it shows to programs on every machine (USER_HZ).
const TICKS_PER_SECOND: u64 = 100;

/// A process.
#[derive(Debug, Clone, Copy)]
struct Process {
    parent: i32,
    /// Its own processor time and that of its children that have ended.
    time: Duration,
    /// That of its children that have ended alone.
    children_time: Duration,
}

/// What a process and all that came from it use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// Processor time of all of them since they began, also of those that have ended.
    pub processor: Duration,
    /// Memory that they have resident now. What several share is counted for each.
    pub memory_bytes: u64,
    /// What they read and wrote since they began.
    pub moved: Moved,
}

/// Bytes that were read and written by calls of the kernel: of files, whether these were in its cache or not, of pipes, and of
/// sockets as far as they are used like files (`rchar` and `wchar` of proc(5)).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Moved {
    pub read: u64,
    pub written: u64,
}

impl Moved {
    fn and(self, other: Self) -> Self {
        Self {
            read: self.read.saturating_add(other.read),
            written: self.written.saturating_add(other.written),
        }
    }

    /// The lines of `/proc/<id>/io`; nothing where the kernel keeps no account, or the process is another's.
    fn of(path: &str) -> Self {
        let text = fs::read_to_string(path).unwrap_or_default();
        let figure = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            line.and_then(|number| number.parse().ok()).unwrap_or(0)
        };
        Self { read: figure("rchar"), written: figure("wchar") }
    }
}

/// What the children of this process moved that have ended: the kernel adds it to the account of who took leave of them, and the
/// threads of this process have theirs apart from that.
fn moved_by_ended_children() -> Moved {
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let own = threads
        .map(|thread| Moved::of(&format!("{}/io", thread.path().display())))
        .fold(Moved::default(), Moved::and);
    let all = Moved::of("/proc/self/io");
    Moved { read: all.read.saturating_sub(own.read), written: all.written.saturating_sub(own.written) }
}

/// Every process that came from this one, and what they use together. With the mark of a subreaper on this process none
/// gets away by leaving its parent.
pub(super) fn below_this() -> (Vec<i32>, Usage) {
    // Those that ended first, and then parents before their children: what ends meanwhile is in neither for a moment, and
    // nothing is in both.
    let ended = moved_by_ended_children();
    let (found, usage) = below(getpid().as_raw_nonzero().get());
    let moved = found.iter().map(|id| Moved::of(&format!("/proc/{id}/io"))).fold(ended, Moved::and);
    (found, Usage { moved, ..usage })
}

/// Every process that came from this one, parents before their children, and their processor time and memory.
fn below(own: i32) -> (Vec<i32>, Usage) {
    let all = list();
    let generation = |mut id: i32| {
        // No chain of parents is longer; the list may have been made while they changed.
        for generation in 0..all.len() {
            let parent = all.get(&id)?.parent;
            if parent == own {
                return Some(generation);
            }
            id = parent;
        }
        None
    };
    let mut found: Vec<(usize, i32)> = all.keys().filter_map(|id| Some((generation(*id)?, *id))).collect();
    found.sort_unstable();
    let found: Vec<i32> = found.into_iter().map(|(_, id)| id).collect();
    let processor = found.iter().filter_map(|id| all.get(id)).map(|process| process.time).sum::<Duration>();
    let ended = all.get(&own).map_or(Duration::ZERO, |process| process.children_time);
    let memory_bytes = found.iter().map(|id| resident_bytes(*id)).sum();
    (found, Usage { processor: processor + ended, memory_bytes, moved: Moved::default() })
}

fn list() -> HashMap<i32, Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter_map(|id| Some((id, parse(&fs::read_to_string(format!("/proc/{id}/stat")).ok()?)?)))
        .collect()
}

/// The fields of a line of `/proc/<id>/stat`, of which the name in brackets may hold anything.
fn parse(stat: &str) -> Option<Process> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    // The state is the third field of the whole line and the first here.
    let ticks = |at: usize| fields.get(at - 3)?.parse::<u64>().ok();
    let time = |ticks: u64| Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND);
    let children_time = time(ticks(16)? + ticks(17)?);
    Some(Process {
        parent: fields.get(1)?.parse().ok()?,
        time: time(ticks(14)? + ticks(15)?) + children_time,
        children_time,
    })
}

fn resident_bytes(id: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_ascii_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1_024
}

/// Sends a signal; a process that is gone is none to mind.
pub(super) fn signal(id: i32, signal: Signal) {
    if let Some(id) = Pid::from_raw(id) {
        let _ = kill_process(id, signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let process = parse("7 (a) b) R) S 3 7 7 0 -1 4194304 0 0 0 0 10 5 2 1 20 0 1 0 99 0 0").unwrap();
        assert_eq!(process.parent, 3);
        assert_eq!(process.time, Duration::from_millis(180));
        assert_eq!(process.children_time, Duration::from_millis(30));
        assert!(parse("7 (a").is_none() && parse("7 (a) S 3").is_none());
    }

    #[test]
    fn children_are_found_with_what_they_have() {
        let mut child =
            std::process::Command::new("/bin/sh").args(["-c", "sleep 60 & wait"]).spawn().unwrap();
        let own = std::process::id() as i32;
        let until = std::time::Instant::now() + Duration::from_secs(30);
        let found = loop {
            let (found, usage) = below(child.id() as i32);
            if found.len() == 1 && usage.memory_bytes > 0 {
                break found;
            }
            assert!(std::time::Instant::now() < until, "the child of the child was not found");
            std::thread::yield_now();
        };
        assert!(below(own).0.contains(&found[0]) && below(own).0.contains(&(child.id() as i32)));
        signal(found[0], Signal::KILL);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
