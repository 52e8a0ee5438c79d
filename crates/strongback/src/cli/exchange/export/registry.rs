//! Registered models, their versions and aliases of an export.

use std::collections::HashMap;

use super::{
    super::source::{FoundVersion, Source as _},
    Export, Kept, There,
};
use crate::{
    cli::progress::Progress,
    error::Result,
    exchange::{GiveResponse, GivenVersion, ItemKind, digest},
    registry::carried::CarriedAliases,
};

/// A version that was written.
struct Wrote {
    kept: Kept,
    has_own_files: bool,
}

impl Wrote {
    /// Whether it is that which is there. Where nothing tells its place it has the files of what it was made of.
    fn is_equal(&self, there: &Kept) -> bool {
        let is_there =
            there.address == self.kept.address || (there.address.is_empty() && !self.has_own_files);
        there.digest == self.kept.digest && is_there
    }
}

impl Export<'_> {
    pub(super) fn registry(&mut self, registry: &GiveResponse) -> Result<()> {
        let mut progress = Progress::new("registered models", registry.models.len());
        let mut wrote = HashMap::new();
        for model in &registry.models {
            let line = self.report.line(ItemKind::Model);
            line.there += 1;
            let expected = digest(model)?;
            let before = self.there.models.get(&model.name);
            match before {
                Some(before) if *before == expected => line.equal += 1,
                Some(_) if !self.replaces => line.different.push(model.name.clone()),
                _ => {
                    let is_new = before.is_none();
                    let put = |export: &mut Self| export.database.put_model(model, is_new);
                    self.write(ItemKind::Model, &model.name, is_new, put)?;
                }
            }
            self.pages(ItemKind::Version, &model.name, |export, page| {
                page.versions.into_iter().try_for_each(|version| export.version(version, &mut wrote))
            })?;
            progress.add(1);
        }
        for aliases in &registry.aliases {
            self.aliases(aliases)?;
        }
        self.read_back_registry(registry, &wrote)
    }

    fn version(&mut self, given: GivenVersion, wrote: &mut HashMap<String, Wrote>) -> Result<()> {
        let kind = ItemKind::Version;
        let GivenVersion { item, address, files } = given;
        let id = format!("{}/{}", item.name, item.version);
        self.report.line(kind).there += 1;
        if self.is_absent(ItemKind::Model, &item.name) {
            self.refuse(Some(kind), &id, "its model was not taken");
            self.absent.insert((kind, id));
            return Ok(());
        }
        let kept = Kept { digest: digest(&item)?, address: self.rebased(&address) };
        let wanted = Wrote { kept, has_own_files: !files.is_empty() };
        let before = self.there.versions.get(&id);
        let is_deleted = self.there.deleted_versions.contains(&id);
        if before.is_some_and(|before| wanted.is_equal(before)) {
            self.report.line(kind).equal += 1;
        } else if (before.is_some() || is_deleted) && !self.replaces {
            self.report.line(kind).different.push(id.clone());
            if is_deleted {
                self.absent.insert((kind, id.clone()));
            }
        } else {
            let is_new = before.is_none();
            let found = FoundVersion { storage_location: wanted.kept.address.clone(), item };
            let put = |export: &mut Self| export.database.put_version(&found, is_new && !is_deleted);
            if self.write(kind, &id, is_new, put)? {
                wrote.insert(id.clone(), wanted);
            }
        }
        self.store_all(&id, &address, &files)
    }

    fn aliases(&mut self, ours: &CarriedAliases) -> Result<()> {
        self.report.aliases.0 += ours.aliases.len();
        let name = ours.name.as_str();
        for (alias, version) in &ours.aliases {
            let there = self.there.aliases.get(name).and_then(|of| of.aliases.get(alias)).copied();
            if self.is_absent(ItemKind::Version, &format!("{name}/{version}")) {
                self.refuse(None, name, &format!("'{alias}' is version {version}, which is not there"));
                continue;
            }
            match there {
                Some(there) if there == *version => {}
                Some(there) if !self.replaces => {
                    let why = format!("'{alias}' is version {there} there; --replace sets it to {version}");
                    self.refuse(None, name, &why);
                }
                _ => {
                    let put = |export: &mut Self| {
                        export.database.put_alias((name, alias, *version), there.is_none())
                    };
                    self.put(None, name, put)?;
                }
            }
        }
        Ok(())
    }

    /// Compares models, versions and aliases that were written.
    fn read_back_registry(&mut self, ours: &GiveResponse, wrote: &HashMap<String, Wrote>) -> Result<()> {
        if !self.writes {
            return Ok(());
        }
        let now = There::of(self.database.outline()?)?;
        let mut line = std::mem::take(self.report.line(ItemKind::Model));
        line.equal = 0;
        for model in ours.models.iter().filter(|model| !self.is_absent(ItemKind::Model, &model.name)) {
            match now.models.get(&model.name) {
                Some(found) if *found == digest(model)? => line.equal += 1,
                Some(_) if line.different.contains(&model.name) => {}
                Some(_) => line.different.push(model.name.clone()),
                None => line.missing.push(model.name.clone()),
            }
        }
        *self.report.line(ItemKind::Model) = line;
        let line = self.report.line(ItemKind::Version);
        for (id, wanted) in wrote {
            match now.versions.get(id) {
                Some(found) if wanted.is_equal(found) => line.equal += 1,
                Some(_) => line.different.push(id.clone()),
                None => line.missing.push(id.clone()),
            }
        }
        for of in &ours.aliases {
            let there = now.aliases.get(&of.name);
            let is_there = |(alias, number): &(&String, &i64)| {
                there.is_some_and(|there| there.aliases.get(*alias) == Some(*number))
                    && !self.is_absent(ItemKind::Version, &format!("{}/{number}", of.name))
            };
            let equal = of.aliases.iter().filter(is_there).count();
            self.report.aliases.1 += equal;
        }
        Ok(())
    }
}
