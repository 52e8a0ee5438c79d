//! Looking features up: what serving asks, for every request.
//!
//! A look-up reads the panes of one key that the windows see and merges them, by the kernel that made the table and in its order:
//! the value is, to the last bit, what a training row of that moment has from the same publication.

use std::sync::Arc;

use lake::panes::{KeyKind, KeyValue, PanePlan, Request, encode_key};
use redb::Database;

use super::{
    definition,
    state::{File, Meta, View},
};
use crate::{
    catalog::Action,
    context::Ctx,
    error::{Code, Error, Result},
    tables::managed,
};

/// A definition of a feature table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FeatureRef {
    /// The table's `asset.id`.
    pub table: i64,
    /// Number of the definition.
    pub definition: i64,
}

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Lookup {
    /// One value a feature, in the declared order.
    pub values: Vec<Option<f64>>,
    /// Version of the feature table whose publication was read.
    pub table_version: u64,
}

/// A feature table, open for look-ups at the definition that was published then.
pub struct Online {
    file: Arc<File>,
    name: String,
    feature_ref: FeatureRef,
    plan: Arc<PanePlan>,
    features: Vec<String>,
}

/// One publication of a feature table, whole.
pub struct Publication<'o> {
    online: &'o Online,
    database: Arc<Database>,
    view: View,
    meta: Meta,
}

impl Publication<'_> {
    /// Version of the feature table that it is of.
    pub fn table_version(&self) -> u64 {
        self.meta.table_version
    }

    /// One value a feature for a key at a moment, in microseconds since 1970.
    ///
    /// # Errors
    /// Keys of another number or kind than the table's.
    pub fn look_up(&self, keys: &[KeyValue], at_micros: i64) -> Result<Vec<Option<f64>>> {
        let keys = self.online.fit(keys, &self.meta.key_kinds)?;
        let FeatureRef { table, definition } = self.online.feature_ref;
        let plan = &self.online.plan;
        let end = plan.pane_of(at_micros);
        let span = (end.saturating_sub(plan.panes_max()), end.saturating_sub(1));
        let panes = self.online.file.used(&self.database, |_| {
            self.view.panes((table, definition), &encode_key(&keys), span, plan.columns().len())
        })?;
        Ok(Request::new(plan, panes).features(at_micros))
    }
}

/// Opens a feature table for a caller who may read it. Cheap to keep.
pub async fn open(ctx: &Ctx, full_name: &str) -> Result<Arc<Online>> {
    let name = managed::parse(full_name)?;
    let shown = managed::show(&name);
    let looked_up = name.clone();
    let (table, _) = ctx.read(move |sql| definition::find(sql, &looked_up, Action::Read)).await?;
    let id = table.asset.id;
    let meta = ctx.app.online.meta(id).await?.filter(|meta| meta.table == table.asset.uuid);
    let meta = meta.ok_or_else(|| {
        Error::new(
            Code::InvalidState,
            format!(
                "Nothing of the feature table '{shown}' can be looked up yet. Compute it with: strongback feature-table \
                 materialize {shown} --wait"
            ),
        )
    })?;
    let definition = ctx
        .read(move |sql| {
            definition::find(sql, &name, Action::Read)?;
            definition::get(sql, id, meta.definition)
        })
        .await?;
    let plan = definition.plan()?;
    let features = plan.declared().features.iter().map(|feature| feature.name.clone()).collect();
    let feature_ref = FeatureRef { table: id, definition: definition.n };
    let (app, file) = (Arc::clone(&ctx.app), Arc::clone(ctx.app.online.file()));
    tokio::task::spawn_blocking(move || app.online.open()).await.map_err(Error::internal)??;
    Ok(Arc::new(Online { file, name: shown, feature_ref, plan, features }))
}

impl Online {
    /// Which definition this is.
    pub fn feature_ref(&self) -> FeatureRef {
        self.feature_ref
    }

    /// Names of the features, in the order of values.
    pub fn features(&self) -> &[String] {
        &self.features
    }

    /// Names of the keys, in the order in which a look-up takes them.
    pub fn keys(&self) -> &[String] {
        &self.plan.declared().keys
    }

    /// What the keys are, in the same order.
    pub fn key_kinds(&self) -> Result<Vec<KeyKind>> {
        let table = self.feature_ref.table;
        let meta = self.file.used(&self.file.ready()?, |database| View::new(database)?.meta(table))?;
        Ok(meta.map(|meta| meta.key_kinds).unwrap_or_default())
    }

    /// Column of the time.
    pub fn timestamp(&self) -> &str {
        &self.plan.declared().timestamp
    }

    /// The features of a key at a moment, in microseconds since 1970. It waits for nothing and asks no metadata store.
    ///
    /// # Errors
    /// Keys of another number or kind than the table's, and a table of which another definition was published since.
    pub fn look_up(&self, keys: &[KeyValue], at_micros: i64) -> Result<Lookup> {
        let publication = self.publication()?;
        Ok(Lookup {
            values: publication.look_up(keys, at_micros)?,
            table_version: publication.meta.table_version,
        })
    }

    /// What is published now, which stays as it is for as long as this is held: for whoever looks many keys up.
    ///
    /// # Errors
    /// A table of which another definition was published since.
    pub fn publication(&self) -> Result<Publication<'_>> {
        let FeatureRef { table, definition } = self.feature_ref;
        let database = self.file.ready()?;
        let (view, meta) = self.file.used(&database, |database| {
            let view = View::new(database)?;
            let meta = view.meta(table)?;
            Ok((view, meta))
        })?;
        let meta = meta.filter(|meta| meta.definition == definition).ok_or_else(|| {
            Error::new(
                Code::InvalidState,
                format!(
                    "Another definition of the feature table '{}' than {definition} is published now. Open it again.",
                    self.name
                ),
            )
        })?;
        Ok(Publication { online: self, database, view, meta })
    }

    /// The keys as they are stored: a day may be given as a text.
    fn fit(&self, keys: &[KeyValue], kinds: &[KeyKind]) -> Result<Vec<KeyValue>> {
        let names = self.keys();
        if keys.len() != names.len() {
            return Err(Error::invalid(format!(
                "The feature table '{}' has {} keys ({}); {} were given.",
                self.name,
                names.len(),
                names.join(", "),
                keys.len()
            )));
        }
        let fit = |(name, (key, kind)): (&String, (&KeyValue, &KeyKind))| {
            match (key, kind) {
            (key, kind) if key.kind() == *kind => Ok(key.clone()),
            (KeyValue::Text(text), KeyKind::Days) => day(text).ok_or_else(|| {
                Error::invalid(format!(
                    "The key '{name}' of the feature table '{}' is {kind}, like 2026-11-24; '{text}' is none.",
                    self.name
                ))
            }),
            (key, kind) => Err(Error::invalid(format!(
                "The key '{name}' of the feature table '{}' is {kind}; {} was given.",
                self.name,
                key.kind()
            ))),
        }
        };
        names.iter().zip(keys.iter().zip(kinds)).map(fit).collect()
    }
}

/// A day as it is written, `2026-11-24`.
fn day(text: &str) -> Option<KeyValue> {
    let day = text.parse::<chrono::NaiveDate>().ok()?;
    let days = day.signed_duration_since(chrono::NaiveDate::default()).num_days();
    i32::try_from(days).ok().map(KeyValue::Days)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_counted_since_1970() {
        assert_eq!(day("1970-01-01"), Some(KeyValue::Days(0)));
        assert_eq!(day("1969-12-31"), Some(KeyValue::Days(-1)));
        assert_eq!(day("2026-11-24"), Some(KeyValue::Days(20_781)));
        assert_eq!(day("24.11.2026"), None);
    }
}
