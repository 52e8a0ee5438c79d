//! What an import and an export say at their end: what came, and what could not.

use std::collections::BTreeMap;

use serde::Serialize;

use super::source::Unread;
use crate::{
    cli::printer,
    exchange::{Counts, ItemKind, Refused},
};

/// With this word begins what is left behind because it cannot be read.
const DAMAGED: &str = "damaged";
/// Refused items, and such that differ, that are named.
pub(super) const NAMED: usize = 20;

/// What came of one kind.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Line {
    /// In the source.
    pub there: usize,
    /// Made now.
    pub made: usize,
    /// Changed now.
    pub changed: usize,
    /// That are here now and equal, by digest, to what was read.
    pub equal: usize,
    /// Ids of those that are here and differ.
    pub different: Vec<String>,
    /// Ids of those that are not here.
    pub missing: Vec<String>,
}

/// What came of the files.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct FileLine {
    /// In the source, as far as its roots are within reach.
    pub there: usize,
    /// Bytes of those.
    pub bytes: u64,
    /// Stored now.
    pub stored: usize,
    /// That are here now and equal, by SHA-256.
    pub equal: usize,
    /// Runs, logged models and, where one goes back, versions whose files stay where clients reach them by themselves.
    pub elsewhere: usize,
    /// Runs and logged models of which nobody can say whether they have files, since the place is not on this machine.
    pub out_of_reach: usize,
    /// Those that are here and differ, and stay since no import stored them: path and whose.
    pub different: Vec<String>,
    /// Links and the like that were left.
    pub left: usize,
    /// Why files could not come, each with its place.
    pub refused: Vec<String>,
}

/// Which way items went, in words.
#[derive(Debug)]
pub(super) struct Way {
    /// Heads of the columns that count what was read, and what is equal now.
    heads: [&'static str; 2],
    /// Where they are now.
    place: &'static str,
    /// Why one may differ.
    differs: &'static str,
}

/// From another store into this one.
pub(super) const COMING: Way = Way {
    heads: ["THERE", "EQUAL HERE"],
    place: "here",
    differs: "is here and differs, as what was changed here since, has more here, or lost a tag there, does",
};
/// From this one into another.
pub(super) const GOING: Way = Way {
    heads: ["HERE", "EQUAL THERE"],
    place: "there",
    differs: "is there and differs; --replace writes over it",
};

/// The whole report.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    #[serde(skip)]
    way: &'static Way,
    /// The label of the other store.
    pub source: String,
    /// What the other store calls its version.
    pub version: String,
    /// By kind.
    pub items: BTreeMap<&'static str, Line>,
    /// Files.
    pub files: FileLine,
    /// Points of all runs in the source, and here.
    pub points: (u64, u64),
    /// Aliases in the source, and those that are set.
    pub aliases: (usize, usize),
    /// Items that could not come.
    pub refused: Vec<Refused>,
    /// Items that have another id here: kind, there, here.
    pub moved: Vec<(String, String, String)>,
    /// Aliases that were taken away, since they are there no more: `model@alias`.
    pub aliases_removed: Vec<String>,
    /// What an earlier import brought and is not there any more, by kind, with its id here: it stays.
    pub gone: BTreeMap<&'static str, Vec<String>>,
    /// What is there and has no place here.
    pub left_behind: BTreeMap<String, u64>,
    /// What could not be read there.
    pub unread: Unread,
    /// Seconds.
    pub seconds: f64,
}

impl Report {
    /// An empty one of a store with this label and version.
    pub(super) fn new(way: &'static Way, source: String, version: String) -> Self {
        Self {
            way,
            source,
            version,
            items: BTreeMap::new(),
            files: FileLine::default(),
            points: (0, 0),
            aliases: (0, 0),
            refused: Vec::new(),
            moved: Vec::new(),
            aliases_removed: Vec::new(),
            gone: BTreeMap::new(),
            left_behind: BTreeMap::new(),
            unread: Unread::default(),
            seconds: 0.0,
        }
    }

    /// Whether everything that has a place here is here and equal.
    pub(super) fn is_whole(&self) -> bool {
        self.items.values().all(|line| line.equal == line.there)
            && self.files.equal == self.files.there
            && self.files.refused.is_empty()
            && self.files.out_of_reach == 0
            && !self.left_behind.keys().any(|what| what.starts_with(DAMAGED))
            && self.points.0 == self.points.1
            && self.aliases.0 == self.aliases.1
            && self.unread.count == 0
            && self.refused.is_empty()
    }

    /// Whether nothing stands in the way of what would be written.
    pub(super) fn is_free(&self) -> bool {
        self.items.values().all(|line| line.different.is_empty())
            && self.files.refused.is_empty()
            && self.refused.is_empty()
    }

    /// As tables, for people, of what would be written.
    pub(super) fn foretell(&self) {
        self.show_counts();
        self.show_trouble();
        printer::data("Nothing was written.");
    }

    pub(super) fn line(&mut self, kind: ItemKind) -> &mut Line {
        self.items.entry(kind.name()).or_default()
    }

    pub(super) fn count(&mut self, kind: ItemKind, counts: Counts) {
        let line = self.line(kind);
        line.made += counts.made;
        line.changed += counts.changed;
    }

    /// As tables, for people.
    pub(super) fn show(&self) {
        self.show_counts();
        self.show_trouble();
        let verdict = if self.is_whole() { "everything is" } else { "NOT everything is" };
        let place = self.way.place;
        let but = match self.left_behind.values().sum::<u64>() {
            0 => String::new(),
            1 => format!(", but 1 thing has no place {place}"),
            left => format!(", but {left} things have no place {place}"),
        };
        printer::data(&format!("{verdict} {place} and equal{but} ({:.1} s)", self.seconds));
    }

    fn show_counts(&self) {
        let mut rows = Vec::new();
        for kind in ItemKind::ALL {
            let line = self.items.get(kind.name()).cloned().unwrap_or_default();
            rows.push(vec![
                plural(kind).to_owned(),
                line.there.to_string(),
                line.made.to_string(),
                line.changed.to_string(),
                line.equal.to_string(),
            ]);
        }
        let row = |what: &str, there: String, made: String, equal: String| {
            vec![what.to_owned(), there, made, "0".to_owned(), equal]
        };
        let none = || "-".to_owned();
        // More than came may be here: then nobody counted which of them are equal.
        let points = match self.points {
            (there, here) if here > there => format!("{here} here"),
            (_, here) => here.to_string(),
        };
        rows.push(row("points", self.points.0.to_string(), none(), points));
        rows.push(row("aliases", self.aliases.0.to_string(), none(), self.aliases.1.to_string()));
        let files = &self.files;
        rows.push(row("files", files.there.to_string(), files.stored.to_string(), files.equal.to_string()));
        let [read, equal] = self.way.heads;
        printer::table(&["KIND", read, "NEW", "CHANGED", equal], &rows);
        for (what, count) in &self.left_behind {
            printer::talk(&format!("left behind: {count} {what}"));
        }
        if files.elsewhere > 0 {
            printer::talk(&format!(
                "files of {} runs, models and versions stay where they are, in a bucket or another place that clients reach by \
                 themselves",
                files.elsewhere
            ));
        }
        if files.out_of_reach > 0 {
            printer::talk(&format!(
                "files of {} runs and logged models are not within reach: --artifacts DIR says where they are, and --no-artifacts \
                 leaves them",
                files.out_of_reach
            ));
        }
        if files.left > 0 {
            printer::talk(&format!("{} links and special files were left", files.left));
        }
        for alias in self.aliases_removed.iter().take(NAMED) {
            printer::talk(&format!("the alias {alias} was taken away, as it was there"));
        }
        let gone = self.gone.iter().flat_map(|(kind, ids)| ids.iter().map(move |id| (kind, id)));
        for (kind, id) in gone.take(NAMED) {
            printer::talk(&format!(
                "{kind} {id} came earlier and is not told of there any more; it stays here"
            ));
        }
        for (kind, there, here) in self.moved.iter().take(NAMED) {
            printer::talk(&format!("{kind} {there} is {here} here"));
        }
    }

    fn show_trouble(&self) {
        let mut lines: Vec<String> = Vec::new();
        for Refused { kind, id, why } in &self.refused {
            lines.push(format!("{} {id}: {why}", kind.map_or("aliases of", ItemKind::name)));
        }
        lines.extend(self.files.refused.iter().map(|why| format!("file {why}")));
        let stays =
            |file| format!("file {file} is here and differs, as it was stored here in another way; it stays");
        lines.extend(self.files.different.iter().map(stays));
        for (kind, line) in &self.items {
            let Way { place, differs, .. } = self.way;
            lines.extend(line.missing.iter().map(|id| format!("{kind} {id} is not {place}")));
            lines.extend(line.different.iter().map(|id| format!("{kind} {id} {differs}")));
        }
        lines.extend(self.unread.named.iter().map(|what| format!("cannot be read: {what}")));
        for line in lines.iter().take(NAMED) {
            printer::talk(line);
        }
        if lines.len() > NAMED {
            printer::talk(&format!("… and {} more; --json has all", lines.len() - NAMED));
        }
    }
}

fn plural(kind: ItemKind) -> &'static str {
    match kind {
        ItemKind::Experiment => "experiments",
        ItemKind::Run => "runs",
        ItemKind::LoggedModel => "logged models",
        ItemKind::Model => "registered models",
        ItemKind::Version => "versions",
    }
}
