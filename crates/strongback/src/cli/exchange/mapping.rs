//! Ids: those of a source, and those that its items have here.

use std::collections::{HashMap, HashSet};

use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use crate::{
    cli::client::Client,
    error::{Code, Error, Result},
    exchange::{Here, ItemKind, PlanItem, PlanRequest, PlanResponse, State},
};

/// Items that one question is about.
const ITEMS: usize = 20_000;
/// Ids that an error names.
const NAMED: usize = 5;
/// Names that are tried for something whose own is taken.
const NAMES: usize = 100;

/// What is known of the items of a source.
#[derive(Debug, Default)]
pub(super) struct Mapping {
    /// Ids here that are not those there.
    moved: HashMap<ItemKind, HashMap<String, String>>,
    /// Names of experiments that are not those there.
    renamed: HashMap<String, String>,
    /// The digests of what came before.
    digests: HashMap<ItemKind, HashMap<String, String>>,
    /// Items of which anything is to be said.
    kinds: HashMap<ItemKind, HashSet<String>>,
}

impl Mapping {
    fn moves_to(&mut self, kind: ItemKind, from: String, to: String) {
        self.moved.entry(kind).or_default().insert(from, to);
    }

    /// Whether something of the source has this name, or gets it.
    fn is_named(&self, kind: ItemKind, name: &str) -> bool {
        let moved = self.moved.get(&kind).is_some_and(|moved| moved.values().any(|to| to == name));
        moved || self.has(kind, name) || self.renamed.values().any(|other| other == name)
    }
}

/// Asks the server, and settles the ids.
pub(super) struct Planner<'a> {
    pub client: &'a Client,
    pub label: &'a str,
    pub remap: bool,
    pub mapping: Mapping,
    /// What is taken, by kind: the id, and by what.
    pub taken: Vec<(ItemKind, String, String)>,
}

impl Mapping {
    /// The id that an item of the source has here.
    pub(super) fn id(&self, kind: ItemKind, from: &str) -> String {
        let moved = self.moved.get(&kind).and_then(|moved| moved.get(from));
        moved.map_or_else(|| from.to_owned(), Clone::clone)
    }

    /// Whether the source has such an item.
    pub(super) fn has(&self, kind: ItemKind, from: &str) -> bool {
        self.kinds.get(&kind).is_some_and(|ids| ids.contains(from))
    }

    /// Whether an item came before with this content.
    pub(super) fn is_known(&self, kind: ItemKind, from: &str, digest: &str) -> bool {
        self.digests.get(&kind).and_then(|known| known.get(from)).is_some_and(|known| known == digest)
    }

    /// The name that an experiment of the source has here, if it is another one.
    pub(super) fn experiment_name(&self, from: &str) -> Option<&str> {
        self.renamed.get(from).map(String::as_str)
    }

    /// Whether any run has another id here.
    pub(super) fn moves_runs(&self) -> bool {
        self.moved.contains_key(&ItemKind::Run)
    }

    /// Items that have another id or name here: kind, there, here.
    pub(super) fn moves(&self) -> Vec<(ItemKind, &str, &str)> {
        let of_kind =
            self.moved.iter().flat_map(|(kind, moved)| moved.iter().map(|(from, to)| (*kind, from, to)));
        let mut moves: Vec<_> = of_kind.map(|(kind, from, to)| (kind, from.as_str(), to.as_str())).collect();
        moves.sort_unstable();
        moves
    }
}

impl Planner<'_> {
    /// Settles the ids of one kind.
    pub(super) fn plan(&mut self, kind: ItemKind, items: Vec<PlanItem>) -> Result<()> {
        self.mapping.kinds.entry(kind).or_default().extend(items.iter().map(|item| item.id.clone()));
        for part in items.chunks(ITEMS) {
            let names: HashMap<&str, &String> =
                part.iter().filter_map(|item| Some((item.id.as_str(), item.name.as_ref()?))).collect();
            for Here { id, state } in self.ask(kind, part.to_vec())? {
                let name = names.get(id.as_str()).copied();
                match state {
                    State::Known { target, digest } => {
                        self.mapping.digests.entry(kind).or_default().insert(id.clone(), digest);
                        if target != id {
                            if let Some(name) = name {
                                self.rename_again(&id, &target, name)?;
                            }
                            self.mapping.moves_to(kind, id, target);
                        }
                    }
                    // One version holds up no other: the server refuses it by name, where its model came from here.
                    State::Taken { .. } if kind == ItemKind::Version => {}
                    State::Taken { by } if self.remap => self.give_another(kind, &id, name, &by)?,
                    State::Taken { by } => self.taken.push((kind, id, by)),
                }
            }
        }
        Ok(())
    }

    fn ask(&self, kind: ItemKind, items: Vec<PlanItem>) -> Result<Vec<Here>> {
        let request = PlanRequest { source: self.label.to_owned(), kind, items };
        let body = serde_json::to_string(&request).map_err(Error::internal)?;
        let (answer, _): (PlanResponse, _) =
            self.client.send_named("/api/1.0/exchange/plan", "application/json", body)?;
        Ok(answer.here)
    }

    fn is_free(&self, kind: ItemKind, id: &str, name: Option<&str>) -> Result<bool> {
        let item = PlanItem { id: id.to_owned(), name: name.map(str::to_owned), artifact_location: None };
        Ok(self.ask(kind, vec![item])?.is_empty())
    }

    /// Another id, or name, for an item. It is the same each time it is looked for, so that what is broken off finds its own again.
    fn give_another(&mut self, kind: ItemKind, id: &str, name: Option<&String>, by: &str) -> Result<()> {
        match kind {
            ItemKind::Model => {
                let other = self.free_name(kind, id, |planner, other| planner.is_free(kind, other, None))?;
                self.mapping.moves_to(kind, id.to_owned(), other);
            }
            ItemKind::Experiment => {
                let other = derived(self.label, kind, id);
                let name = name.cloned().unwrap_or_default();
                let is_named = |planner: &Self, name: &str| planner.is_free(kind, &other, Some(name));
                if !is_named(self, &name)? {
                    let free = self.free_name(kind, &name, is_named)?;
                    self.mapping.renamed.insert(id.to_owned(), free);
                }
                self.mapping.moves_to(kind, id.to_owned(), other);
            }
            _ => {
                let other = derived(self.label, kind, id);
                if !self.is_free(kind, &other, None)? {
                    self.taken.push((kind, id.to_owned(), format!("{by}, and {other} is taken too")));
                }
                self.mapping.moves_to(kind, id.to_owned(), other);
            }
        }
        Ok(())
    }

    /// The name that an experiment got when it first came.
    fn rename_again(&mut self, id: &str, target: &str, name: &str) -> Result<()> {
        let path = "/api/2.0/mlflow/experiments/get";
        let found: Json = self.client.get(path, &[("experiment_id", target)])?;
        match found["experiment"]["name"].as_str() {
            Some(here) if here != name => drop(self.mapping.renamed.insert(id.to_owned(), here.to_owned())),
            _ => {}
        }
        Ok(())
    }

    fn free_name(
        &self,
        kind: ItemKind,
        name: &str,
        is_free: impl Fn(&Self, &str) -> Result<bool>,
    ) -> Result<String> {
        for at in 1..=NAMES {
            let other =
                if at == 1 { format!("{name} (imported)") } else { format!("{name} (imported {at})") };
            if !self.mapping.is_named(kind, &other) && is_free(self, &other)? {
                return Ok(other);
            }
        }
        Err(Error::exists(format!("'{name} (imported)' and {} more such names are taken.", NAMES - 1)))
    }

    /// Refuses to go on where ids are taken.
    pub(super) fn refuse_taken(&self) -> Result<()> {
        if self.taken.is_empty() {
            return Ok(());
        }
        let named: Vec<String> = self
            .taken
            .iter()
            .take(NAMED)
            .map(|(kind, id, by)| format!("{} {id} ({by})", kind.name().replace('_', " ")))
            .collect();
        let more = match self.taken.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        Err(Error::new(
            Code::ResourceConflict,
            format!(
                "{} items of this source have ids or names that something else has here: {}{more}. Nothing was written. \
                 Is it the same store under another name? Say --label as it was. Else --remap gives what comes other ids, and \
                 keeps the mapping.",
                self.taken.len(),
                named.join(", ")
            ),
        ))
    }
}

/// Another id for an item, of the form of its kind: derived from the label and the id, so that it is always the same.
fn derived(label: &str, kind: ItemKind, id: &str) -> String {
    let digest = Sha256::digest(format!("strongback import\0{label}\0{}\0{id}", kind.name()));
    let hex = hex::encode(&digest[..16]);
    match kind {
        ItemKind::LoggedModel => format!("m-{hex}"),
        ItemKind::Experiment => {
            let number = u64::from_le_bytes(digest[..8].try_into().unwrap_or_default());
            (100_000_000_000_000_000 + number % 900_000_000_000_000_000).to_string()
        }
        _ => hex,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_ids_have_the_form_of_their_kind_and_are_always_the_same() {
        let run = derived("a", ItemKind::Run, "r");
        assert_eq!((run.len(), &run), (32, &derived("a", ItemKind::Run, "r")));
        assert_ne!(run, derived("b", ItemKind::Run, "r"));
        assert!(derived("a", ItemKind::LoggedModel, "m").starts_with("m-"));
        let experiment: i64 = derived("a", ItemKind::Experiment, "1").parse().unwrap();
        assert!((100_000_000_000_000_000..1_000_000_000_000_000_000).contains(&experiment));
    }
}
