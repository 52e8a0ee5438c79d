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

/// A definition of a feature table, open for look-ups.
pub struct Online {
    file: Arc<File>,
    name: String,
    feature_ref: FeatureRef,
    plan: Arc<PanePlan>,
    features: Vec<String>,
    /// As they were when it was opened.
    key_kinds: Vec<KeyKind>,
}

/// One publication of a definition, whole.
pub struct Publication<'o> {
    online: &'o Online,
    database: Arc<Database>,
    view: View,
    meta: Meta,
}

impl Publication<'_> {
    /// Version of the feature table whose rows come from the same panes; none where the table has the rows of a later definition.
    pub fn table_version(&self) -> Option<u64> {
        self.meta.table_version
    }

    /// Version of the source that it was computed from.
    pub fn source_version(&self) -> u64 {
        self.meta.source_version
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
        })??;
        Ok(Request::new(plan, panes).features(at_micros))
    }
}

/// The definition that answers for another one, by which a model was trained: one that computes these features alike, the
/// published one before others that are online; else that definition itself.
pub async fn choose(ctx: &Ctx, trained: FeatureRef, features: Vec<String>) -> Result<FeatureRef> {
    let FeatureRef { table, definition: wanted } = trained;
    let online = ctx.app.online.all().await?;
    ctx.read(move |sql| {
        let found = managed::by_asset(sql, table, Action::Read)?;
        let state = definition::state(sql, table)?
            .ok_or_else(|| Error::internal("what is looked up is no feature table"))?;
        let of_model = definition::get(sql, table, wanted)?;
        let mut others: Vec<i64> = online
            .into_iter()
            .filter(|((id, _), meta)| *id == table && meta.table == found.asset.uuid)
            .map(|((_, n), _)| n)
            .collect();
        others.sort_unstable_by_key(|n| std::cmp::Reverse(*n));
        // What is published is online, or on its way.
        let published = state.published.map(|published| published.definition);
        for n in published.into_iter().chain(others) {
            if n == wanted || definition::get(sql, table, n)?.answers(&of_model, &features) {
                return Ok(FeatureRef { table, definition: n });
            }
        }
        Ok(trained)
    })
    .await
}

/// Opens a definition of a feature table for a caller who may read it. Cheap to keep.
///
/// # Errors
/// One of which nothing is online.
pub async fn open(ctx: &Ctx, feature_ref: FeatureRef) -> Result<Arc<Online>> {
    let FeatureRef { table, definition: n } = feature_ref;
    let (found, definition) = ctx
        .read(move |sql| Ok((managed::by_asset(sql, table, Action::Read)?, definition::get(sql, table, n)?)))
        .await?;
    let name = managed::show(&found.name);
    let plan = definition.plan()?;
    let features: Vec<String> = plan.declared().features.iter().map(|feature| feature.name.clone()).collect();
    let meta = ctx.app.online.meta((table, n)).await?.filter(|meta| meta.table == found.asset.uuid);
    let meta = meta.ok_or_else(|| not_online(&features, n))?;
    let (app, file) = (Arc::clone(&ctx.app), Arc::clone(ctx.app.online.file()));
    tokio::task::spawn_blocking(move || app.online.open()).await.map_err(Error::internal)??;
    Ok(Arc::new(Online { file, name, feature_ref, plan, features, key_kinds: meta.key_kinds }))
}

/// The table has no name here: whoever asks may be allowed to ask an endpoint, and not to read what it looks up.
fn not_online(features: &[String], definition: i64) -> Error {
    const NAMED: usize = 3;
    let more = if features.len() > NAMED { ", …" } else { "" };
    let named = features.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    Error::new(
        Code::InvalidState,
        format!(
            "Nothing of definition {definition} of the feature table with {named}{more} can be looked up yet. Compute it with: \
             strongback feature-table materialize NAME --wait"
        ),
    )
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
    pub fn key_kinds(&self) -> &[KeyKind] {
        &self.key_kinds
    }

    /// Name of the table when it was opened.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether this definition can be looked up still.
    pub fn is_there(&self) -> Result<bool> {
        let FeatureRef { table, definition } = self.feature_ref;
        self.file.used(&self.file.ready()?, |database| {
            Ok(View::new(database)?.meta((table, definition))?.is_some())
        })
    }

    /// Column of the time.
    pub fn timestamp(&self) -> &str {
        &self.plan.declared().timestamp
    }

    /// What is published now, which stays as it is for as long as this is held: for whoever looks keys up. It waits for
    /// nothing and asks no metadata store.
    ///
    /// # Errors
    /// A definition that is no longer online.
    pub fn publication(&self) -> Result<Publication<'_>> {
        let FeatureRef { table, definition } = self.feature_ref;
        let database = self.file.ready()?;
        let (view, meta) = self.file.used(&database, |database| {
            let view = View::new(database)?;
            let meta = view.meta((table, definition))?;
            Ok((view, meta))
        })?;
        let meta = meta.ok_or_else(|| not_online(&self.features, definition))?;
        Ok(Publication { online: self, database, view, meta })
    }

    /// The keys as they are stored: a day may be given as a text.
    fn fit(&self, keys: &[KeyValue], kinds: &[KeyKind]) -> Result<Vec<KeyValue>> {
        let names = self.keys();
        if keys.len() != names.len() {
            return Err(Error::invalid(format!(
                "Features are looked up by {} keys ({}); {} were given.",
                names.len(),
                names.join(", "),
                keys.len()
            )));
        }
        let fit = |(name, (key, kind)): (&String, (&KeyValue, &KeyKind))| match (key, kind) {
            (key, kind) if key.kind() == *kind => Ok(key.clone()),
            (KeyValue::Text(text), KeyKind::Days) => day(text).ok_or_else(|| {
                Error::invalid(format!("The key '{name}' is {kind}, like 2026-11-24; '{text}' is none."))
            }),
            (key, kind) => {
                Err(Error::invalid(format!("The key '{name}' is {kind}; {} was given.", key.kind())))
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
