//! Registered models, their versions and aliases of an import.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::json;

use super::{
    super::{
        batch::Sender,
        source::{FoundVersion, Outline, Source},
    },
    ASK, Import, Owner, key_of,
};
use crate::{
    cli::progress::Progress,
    error::Result,
    exchange::{AliasesEntry, Entry, GiveResponse, ItemKind, VersionEntry, digest},
    registry::carried::CarriedVersion,
};

/// The tag of versions that are prompts.
const PROMPT: &str = "mlflow.prompt.is_prompt";

impl Import<'_> {
    pub(super) fn models(&mut self, outline: &Outline) -> Result<()> {
        let kind = ItemKind::Model;
        let mut sender = Sender::new(self.client, self.label, "models", Some(kind));
        for found in &outline.models {
            let mut item = found.clone();
            let from = std::mem::take(&mut item.name);
            item.name = self.mapping.id(kind, &from);
            let digest = digest(&item)?;
            self.expect(kind, item.name.clone(), digest.clone());
            if !self.mapping.is_known(kind, &from, &digest) {
                sender.add(&from.clone(), &Entry { from, digest, item })?;
            }
        }
        sender.flush()?;
        self.done(kind, outline.models.len(), sender);
        Ok(())
    }

    pub(super) fn versions(&mut self, outline: &Outline) -> Result<()> {
        let kind = ItemKind::Version;
        let mut sender = Sender::new(self.client, self.label, "versions", Some(kind));
        let mut progress = Progress::new("versions", outline.versions.len());
        for part in outline.versions.chunks(ASK) {
            let mut known = Vec::new();
            for found in part {
                let entry = self.entry(found, outline)?;
                let id = key(&entry.item);
                self.expect(kind, id.clone(), entry.digest.clone());
                if !self.mapping.is_known(kind, &entry.from, &entry.digest) {
                    sender.add(&entry.from.clone(), &entry)?;
                } else if entry.files.is_some() && self.takes_files {
                    known.push((id, entry));
                }
            }
            // One that came before its files did is pinned to them now.
            let bare = self.bare(known.iter().map(|(id, _)| id.clone()).collect())?;
            for (_, entry) in known.into_iter().filter(|(id, _)| bare.contains(id)) {
                sender.add(&entry.from.clone(), &entry)?;
            }
            progress.add(part.len());
        }
        sender.flush()?;
        self.done(kind, outline.versions.len(), sender);
        Ok(())
    }

    /// A version under its name here.
    fn entry(&self, found: &FoundVersion, outline: &Outline) -> Result<VersionEntry> {
        let files = if self.has_own(found, &outline.versions) {
            None
        } else {
            self.files_of(found, &outline.versions, 0)
        };
        let mut item = found.item.clone();
        item.name = self.mapping.id(ItemKind::Model, &item.name);
        item.run_id = self.mapping.id(ItemKind::Run, &item.run_id);
        Ok(VersionEntry { from: key_of(found), digest: digest(&item)?, item, files, own: false })
    }

    /// Which of these versions are here and have no files.
    fn bare(&self, ids: Vec<String>) -> Result<HashSet<String>> {
        if ids.is_empty() {
            return Ok(HashSet::new());
        }
        let here = self.ask(ItemKind::Version, ids)?.items;
        Ok(here.into_iter().filter(|item| item.files == 0).map(|item| item.id).collect())
    }

    /// Brings the files of versions that have theirs for themselves, and settles the versions.
    pub(super) fn own_files(&mut self, source: &mut dyn Source, outline: &Outline) -> Result<()> {
        let mut owners = Vec::new();
        let mut of_owners = HashMap::new();
        for found in &outline.versions {
            let entry = self.entry(found, outline)?;
            let Some(address) = own_address(found).filter(|_| entry.files.is_none()) else { continue };
            let (id, from) = (key(&entry.item), entry.from.clone());
            owners.push(Owner {
                kind: ItemKind::Version,
                id,
                from: from.clone(),
                artifact_uri: address.to_owned(),
            });
            of_owners.insert(from, entry);
        }
        for part in owners.chunks(ASK) {
            // What could not be kept has no place for files either.
            let here =
                self.ask(ItemKind::Version, part.iter().map(|owner| owner.id.clone()).collect())?.items;
            let bare: HashMap<&str, bool> =
                here.iter().map(|item| (item.id.as_str(), item.files == 0)).collect();
            let part: Vec<Owner> =
                part.iter().filter(|owner| bare.contains_key(owner.id.as_str())).cloned().collect();
            let with_files: HashSet<String> = self.files(source, &part)?.into_iter().collect();
            let mut sender = Sender::new(self.client, self.label, "versions", Some(ItemKind::Version));
            for owner in part.iter().filter(|owner| with_files.contains(&owner.from)) {
                let is_bare = bare.get(owner.id.as_str()).copied().unwrap_or_default();
                if let Some(entry) = of_owners.remove(&owner.from).filter(|_| is_bare) {
                    sender.add(&owner.from, &VersionEntry { own: true, ..entry })?;
                }
            }
            sender.flush()?;
            self.report.refused.extend(sender.refused);
        }
        Ok(())
    }

    /// Whether a version has files for itself within reach, whatever lies now at what it was made of.
    fn has_own(&self, found: &FoundVersion, all: &[FoundVersion]) -> bool {
        let place = &found.storage_location;
        self.takes_files
            && self.files_at(place, all, 0).is_none()
            && self.roots.model_directory(place).is_some()
    }

    /// Where the files of a version are, among those that came.
    fn files_of(&self, found: &FoundVersion, all: &[FoundVersion], depth: usize) -> Option<String> {
        [found.storage_location.as_str(), found.item.source.as_str()]
            .into_iter()
            .find_map(|address| self.files_at(address, all, depth))
    }

    fn files_at(&self, address: &str, all: &[FoundVersion], depth: usize) -> Option<String> {
        const COPIES: usize = 16;
        let mapping = &self.mapping;
        if let Some(rest) = address.strip_prefix("runs:/") {
            let (run, path) = rest.trim_start_matches('/').split_once('/')?;
            return mapping
                .has(ItemKind::Run, run)
                .then(|| format!("runs:/{}/{path}", mapping.id(ItemKind::Run, run)));
        }
        if let Some(rest) = address.strip_prefix("models:/") {
            let rest = rest.trim_start_matches('/');
            if mapping.has(ItemKind::LoggedModel, rest) {
                return Some(format!("models:/{}", mapping.id(ItemKind::LoggedModel, rest)));
            }
            // What it is a copy of.
            let copied = all.iter().find(|found| key_of(found) == rest)?;
            return (depth < COPIES).then(|| self.files_of(copied, all, depth + 1)).flatten();
        }
        let parts: Vec<&str> = address.trim_end_matches('/').split('/').collect();
        let at = parts.windows(2).rposition(|pair| {
            pair[1] == "artifacts"
                && (mapping.has(ItemKind::Run, pair[0]) || mapping.has(ItemKind::LoggedModel, pair[0]))
        })?;
        let (owner, path) = (parts[at], parts[at + 2..].join("/"));
        if mapping.has(ItemKind::Run, owner) {
            return Some(format!("runs:/{}/{path}", mapping.id(ItemKind::Run, owner)));
        }
        path.is_empty().then(|| format!("models:/{}", mapping.id(ItemKind::LoggedModel, owner)))
    }

    /// Sets the aliases as they are there, and takes away those that came from there and are there no more.
    pub(super) fn aliases(&mut self, outline: &Outline) -> Result<()> {
        let there: HashMap<&str, &BTreeMap<String, i64>> =
            outline.aliases.iter().map(|of| (of.name.as_str(), &of.aliases)).collect();
        self.report.aliases.0 += there.values().map(|aliases| aliases.len()).sum::<usize>();
        if outline.models.is_empty() {
            return Ok(());
        }
        let before = self.aliases_here()?;
        // What could not be read is not taken for what is gone.
        let all = self.report.unread.count == 0;
        let mut sender = Sender::new(self.client, self.label, "aliases", None);
        for model in &outline.models {
            let name = self.mapping.id(ItemKind::Model, &model.name);
            let aliases = there.get(model.name.as_str()).copied().cloned().unwrap_or_default();
            if !aliases.is_empty() || before.contains_key(&name) {
                sender.add(&name.clone(), &AliasesEntry { name, aliases, all })?;
            }
        }
        sender.flush()?;
        self.report.refused.extend(sender.refused);
        let here = self.aliases_here()?;
        for model in &outline.models {
            let name = self.mapping.id(ItemKind::Model, &model.name);
            let of = here.get(&name);
            let is_here = |alias: &String| of.is_some_and(|of| of.contains_key(alias));
            let gone = before
                .get(&name)
                .into_iter()
                .flatten()
                .map(|(alias, _)| alias)
                .filter(|alias| !is_here(alias));
            self.report.aliases_removed.extend(gone.map(|alias| format!("{name}@{alias}")));
            let wanted = there.get(model.name.as_str()).copied().into_iter().flatten();
            let is_equal =
                |(alias, number): &(&String, &i64)| of.and_then(|of| of.get(*alias)) == Some(*number);
            self.report.aliases.1 += wanted.filter(is_equal).count();
        }
        Ok(())
    }

    /// The aliases that are here, by model.
    fn aliases_here(&self) -> Result<HashMap<String, BTreeMap<String, i64>>> {
        let here: GiveResponse =
            self.client.send_long("/api/1.0/exchange/give", &json!({ "kind": ItemKind::Model }))?;
        Ok(here.aliases.into_iter().map(|of| (of.name, of.aliases)).collect())
    }
}

/// `name/number`.
fn key(item: &CarriedVersion) -> String {
    format!("{}/{}", item.name, item.version)
}

/// The place on a disk, or behind the server there, that a version has for itself. A prompt has none: its source is a word.
fn own_address(found: &FoundVersion) -> Option<&str> {
    if found.item.tags.contains_key(PROMPT) {
        return None;
    }
    let is_place =
        |uri: &&str| ["/", "file:", "mlflow-artifacts:"].iter().any(|start| uri.starts_with(start));
    [found.storage_location.as_str(), found.item.source.as_str()].into_iter().find(is_place)
}
