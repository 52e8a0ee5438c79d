//! Registered models, their versions and aliases of an export.

use super::{
    super::{
        report::Progress,
        source::{FoundVersion, Source as _},
    },
    Export, There,
};
use crate::{
    error::Result,
    exchange::{GiveResponse, GivenVersion, ItemKind, Refused, digest},
    registry::carried::CarriedAliases,
};

impl Export<'_> {
    pub(super) fn registry(&mut self, registry: GiveResponse) -> Result<()> {
        let mut progress = Progress::new("registered models", registry.models.len());
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
                    let put = |export: &mut Self| export.database.put_model(model);
                    if !self.write(ItemKind::Model, &model.name, is_new, put)? {
                        continue;
                    }
                }
            }
            self.pages(ItemKind::Version, &model.name, |export, page| {
                page.versions.into_iter().try_for_each(|version| export.version(version))
            })?;
            progress.add(1);
        }
        for aliases in &registry.aliases {
            self.aliases(aliases)?;
        }
        self.read_back_registry(&registry)
    }

    fn version(&mut self, given: GivenVersion) -> Result<()> {
        let kind = ItemKind::Version;
        let GivenVersion { item, address, files } = given;
        let id = format!("{}/{}", item.name, item.version);
        let expected = digest(&item)?;
        let line = self.report.line(kind);
        line.there += 1;
        let before = self.there.versions.get(&id);
        match before {
            Some(before) if *before == expected => line.equal += 1,
            Some(_) if !self.replaces => line.different.push(id.clone()),
            _ => {
                let is_new = before.is_none();
                let found = FoundVersion { storage_location: self.rebased(&address), item };
                self.write(kind, &id, is_new, |export| export.database.put_version(&found))?;
                if self.writes {
                    self.there.versions.insert(id.clone(), expected);
                }
            }
        }
        self.store_all(&id, &address, &files)
    }

    fn aliases(&mut self, ours: &CarriedAliases) -> Result<()> {
        self.report.aliases.0 += ours.aliases.len();
        let mut wanted = CarriedAliases { name: ours.name.clone(), ..CarriedAliases::default() };
        for (alias, version) in &ours.aliases {
            let there = self.there.aliases.get(&ours.name).and_then(|of| of.aliases.get(alias));
            match there {
                Some(there) if there != version && !self.replaces => {
                    let why = format!("'{alias}' is version {there} there; --replace sets it to {version}");
                    self.report.refused.push(Refused { kind: None, id: ours.name.clone(), why });
                }
                Some(there) if there == version => {}
                _ => drop(wanted.aliases.insert(alias.clone(), *version)),
            }
        }
        if self.writes && !wanted.aliases.is_empty() {
            self.database.put_aliases(&wanted)?;
        }
        Ok(())
    }

    /// Compares models, versions and aliases that were written.
    fn read_back_registry(&mut self, ours: &GiveResponse) -> Result<()> {
        if !self.writes {
            return Ok(());
        }
        let wrote = std::mem::take(&mut self.there.versions);
        let now = There::of(self.database.outline()?)?;
        let mut line = std::mem::take(self.report.line(ItemKind::Model));
        line.equal = 0;
        for model in &ours.models {
            match now.models.get(&model.name) {
                Some(found) if *found == digest(model)? => line.equal += 1,
                Some(_) if line.different.contains(&model.name) => {}
                Some(_) => line.different.push(model.name.clone()),
                None => line.missing.push(model.name.clone()),
            }
        }
        *self.report.line(ItemKind::Model) = line;
        let line = self.report.line(ItemKind::Version);
        for (id, expected) in &wrote {
            match now.versions.get(id) {
                Some(found) if found == expected => {}
                Some(_) => line.different.push(id.clone()),
                None => line.missing.push(id.clone()),
            }
        }
        let wrong = line.different.len() + line.missing.len();
        line.equal = line.there.saturating_sub(wrong);
        for of in &ours.aliases {
            let there = now.aliases.get(&of.name);
            let is_there = |(alias, number): &(&String, &i64)| {
                there.is_some_and(|there| there.aliases.get(*alias) == Some(*number))
            };
            self.report.aliases.1 += of.aliases.iter().filter(is_there).count();
        }
        Ok(())
    }
}
