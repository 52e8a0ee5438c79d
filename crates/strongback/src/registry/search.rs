//! Searching models and versions: the visible ones are read, filtered and ordered in memory.
//!
//! A registry holds few models; what the usual questions name (a model, a run) is read by its index. Models and versions
//! that are prompts are left out unless the filter speaks of the tag that marks them.

use std::{
    borrow::Cow,
    cmp::Ordering,
    collections::{BTreeMap, HashMap},
};

use serde::{Deserialize, Serialize};
use syntax::search::{
    Attribute, Comparison, Expr, Fields, Grammar, Operand, Operator, OrderBy, PROMPT_TAG, Predicate, Subject,
    parse_filter, parse_order_by,
};

use super::{
    aliases::{self, Alias},
    models::{self, Model},
    names, store,
    versions::{self, Version},
};
use crate::{
    bind,
    catalog::{
        Action,
        authorize::{self, is_allowed},
    },
    db::Sql,
    error::{Error, Result},
    tracking::page::{self, Question},
};

/// What is searched for.
#[derive(Debug, Clone)]
pub(super) struct Search {
    filter: Expr,
    order: Vec<OrderBy>,
    most: usize,
    question: Question,
    after: Option<Key>,
    hide_prompts: bool,
}

/// One page.
pub(super) struct Found<T> {
    pub items: Vec<T>,
    pub next_page_token: Option<String>,
}

/// One page of versions, with the models and aliases that are shown with them.
pub(super) struct FoundVersions {
    models: BTreeMap<i64, Model>,
    aliases: Vec<Alias>,
    versions: Vec<Version>,
    pub next_page_token: Option<String>,
}

impl FoundVersions {
    /// Shows each version with its model and its own aliases.
    pub fn show<T>(&self, mut show: impl FnMut(&Model, &Version, &[&Alias]) -> Result<T>) -> Result<Vec<T>> {
        let mut own: HashMap<(i64, i64), Vec<&Alias>> = HashMap::new();
        for alias in &self.aliases {
            own.entry((alias.model_id, alias.version)).or_default().push(alias);
        }
        let show = |version: &Version| {
            let model = self.models.get(&version.model_id)?;
            let aliases = own.get(&(version.model_id, version.version)).map_or(&[][..], Vec::as_slice);
            Some(show(model, version, aliases))
        };
        self.versions.iter().filter_map(show).collect()
    }
}

/// All that an order looks at; also where a page ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Key {
    name: String,
    version: i64,
    created_at: i64,
    updated_at: i64,
}

impl Search {
    /// Reads a search.
    pub fn new(
        grammar: Grammar,
        filter: &str,
        order_by: &[String],
        most: usize,
        page_token: Option<&str>,
    ) -> Result<Self> {
        let question = Question::of(&(filter, order_by))?;
        let filter = parse_filter(grammar, filter).map_err(|error| Error::from(error).in_field("filter"))?;
        Ok(Self {
            hide_prompts: !filter.mentions_tag(PROMPT_TAG),
            filter,
            order: parse_order_by(grammar, order_by)
                .map_err(|error| Error::from(error).in_field("order_by"))?,
            most,
            question,
            after: page::anchor(question, page_token)?,
        })
    }

    /// The same with prompts in it, for faces that know models alone.
    pub fn with_prompts(self) -> Self {
        Self { hide_prompts: false, ..self }
    }

    /// Models that the caller may see and that match.
    pub fn models(&self, sql: &mut Sql<'_>) -> Result<Found<Model>> {
        let filter = self.with_stored_names(sql)?;
        let all = match named(&filter) {
            Some(name) => by_name(sql, name)?,
            None => models::all(sql)?,
        };
        let visible = visible(sql, all)?;
        let (predicate, until) = (Predicate::new(&filter), sql.limit());
        let mut found = Vec::new();
        for model in visible.into_values() {
            let hidden = self.hide_prompts && is_prompt(&model.tags);
            if !hidden && predicate.matches_while(&model, || until.check())? {
                found.push((model_key(&model), model));
            }
        }
        self.page(found, |a, b| a.name.cmp(&b.name))
    }

    /// Versions that the caller may see and that match.
    pub fn versions(&self, sql: &mut Sql<'_>) -> Result<FoundVersions> {
        let filter = self.with_stored_names(sql)?;
        let (models, rows) = if let Some(name) = named(&filter) {
            let models = by_name(sql, name)?;
            let rows = match models.first() {
                Some(model) => sql.all(&store::VERSION_LIST, bind![model.id], versions::read)?,
                None => Vec::new(),
            };
            (models, rows)
        } else {
            let rows = match equal_to(&filter, Attribute::RunId) {
                Some(run) => sql.all(&store::VERSION_BY_RUN, bind![run], versions::read)?,
                None => sql.all(&store::VERSION_ALL, bind![], versions::read)?,
            };
            (models::all(sql)?, rows)
        };
        let visible = visible(sql, models)?;
        let (predicate, until) = (Predicate::new(&filter), sql.limit());
        let mut found = Vec::new();
        for version in rows {
            let Some(model) = visible.get(&version.model_id) else { continue };
            let named = Named { name: model.name(), version: &version };
            let hidden = self.hide_prompts && (is_prompt(&model.tags) || is_prompt(&version.tags));
            if !hidden && predicate.matches_while(&named, || until.check())? {
                let key = Key {
                    name: named.name,
                    version: version.version,
                    created_at: version.created_at,
                    updated_at: version.updated_at,
                };
                found.push((key, version));
            }
        }
        let Found { items: versions, next_page_token } = self.page(found, |a, b| {
            (b.updated_at, &a.name, b.version).cmp(&(a.updated_at, &b.name, a.version))
        })?;
        let mut ids: Vec<i64> = versions.iter().map(|version| version.model_id).collect();
        ids.sort_unstable();
        ids.dedup();
        Ok(FoundVersions { models: visible, aliases: aliases::list(sql, &ids)?, versions, next_page_token })
    }

    /// The filter with names as they are stored: three-level names compare without case, and a plain model has two.
    fn with_stored_names(&self, sql: &mut Sql<'_>) -> Result<Expr> {
        let mut comparisons: Vec<Comparison> = self.filter.comparisons().into_iter().cloned().collect();
        for comparison in &mut comparisons {
            let Comparison { subject: Subject::Attribute(Attribute::Name), op, value, .. } = comparison
            else {
                continue;
            };
            let texts = match (op, value) {
                (Operator::Eq | Operator::Ne, Operand::Text(text)) => std::slice::from_mut(text),
                (Operator::In | Operator::NotIn, Operand::List(texts)) => texts.as_mut_slice(),
                _ => continue,
            };
            for text in texts {
                if let Ok(Some(id)) = names::find(sql, text)
                    && let Some(model) = models::get(sql, id)?
                {
                    *text = model.name();
                }
            }
        }
        Ok(Expr::And(comparisons.into_iter().map(Expr::Compare).collect()))
    }

    fn page<T>(
        &self,
        mut found: Vec<(Key, T)>,
        last_resort: impl Fn(&Key, &Key) -> Ordering,
    ) -> Result<Found<T>> {
        let compare = |a: &Key, b: &Key| ordered(&self.order, a, b).then_with(|| last_resort(a, b));
        if let Some(after) = &self.after {
            found.retain(|(key, _)| compare(key, after).is_gt());
        }
        found.sort_by(|(a, _), (b, _)| compare(a, b));
        let more = found.len() > self.most;
        found.truncate(self.most);
        let next_page_token = match found.last().filter(|_| more) {
            Some((key, _)) => Some(page::token(self.question, key)?),
            None => None,
        };
        Ok(Found { items: found.into_iter().map(|(_, item)| item).collect(), next_page_token })
    }
}

fn ordered(order: &[OrderBy], a: &Key, b: &Key) -> Ordering {
    for field in order {
        let by = match field.subject {
            Subject::Attribute(Attribute::Name) => a.name.cmp(&b.name),
            Subject::Attribute(Attribute::VersionNumber) => a.version.cmp(&b.version),
            Subject::Attribute(Attribute::CreationTime) => a.created_at.cmp(&b.created_at),
            Subject::Attribute(Attribute::LastUpdateTime) => a.updated_at.cmp(&b.updated_at),
            _ => Ordering::Equal,
        };
        if by.is_ne() {
            return if field.ascending { by } else { by.reverse() };
        }
    }
    Ordering::Equal
}

/// The name that the filter asks for, if it asks for one.
fn named(filter: &Expr) -> Option<&str> {
    equal_to(filter, Attribute::Name)
}

fn equal_to(filter: &Expr, attribute: Attribute) -> Option<&str> {
    filter.comparisons().into_iter().find_map(|comparison| match (&comparison.subject, comparison.op) {
        (Subject::Attribute(found), Operator::Eq) if *found == attribute => match &comparison.value {
            Operand::Text(text) => Some(text.as_str()),
            _ => None,
        },
        _ => None,
    })
}

fn by_name(sql: &mut Sql<'_>, name: &str) -> Result<Vec<Model>> {
    // What cannot be a name is nobody's.
    let Ok(Some(id)) = names::find(sql, name) else { return Ok(Vec::new()) };
    Ok(models::get(sql, id)?.into_iter().collect())
}

/// Those that the caller may read, by id. Whoever may read a schema may read what lies in it, so that schemas are asked
/// for once each. Leaves the mark of a filtered answer, since what is left out was decided upon.
pub(super) fn visible(sql: &mut Sql<'_>, all: Vec<Model>) -> Result<BTreeMap<i64, Model>> {
    let mut schemas: HashMap<i64, bool> = HashMap::new();
    let mut found = BTreeMap::new();
    authorize::visible(sql);
    for model in all {
        let whole = match schemas.get(&model.schema_id) {
            Some(known) => *known,
            None => {
                let allowed = is_allowed(sql, Action::Read, model.schema_id)?;
                schemas.insert(model.schema_id, allowed);
                allowed
            }
        };
        if whole || is_allowed(sql, Action::Read, model.id)? {
            found.insert(model.id, model);
        }
    }
    Ok(found)
}

/// Whether the tags mark a prompt.
pub(super) fn is_prompt(tags: &super::tags::Tags) -> bool {
    tags.get(PROMPT_TAG).is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

fn model_key(model: &Model) -> Key {
    Key { name: model.name(), version: 0, created_at: model.created_at, updated_at: model.updated_at }
}

impl Fields for Model {
    fn number(&self, _: &Subject) -> Option<f64> {
        None
    }

    fn text(&self, subject: &Subject) -> Option<Cow<'_, str>> {
        match subject {
            Subject::Attribute(Attribute::Name) => Some(Cow::Owned(self.name())),
            Subject::Tag(key) => self.tags.get(key).map(|value| Cow::Borrowed(value.as_str())),
            _ => None,
        }
    }
}

/// A version with the name of its model.
struct Named<'a> {
    name: String,
    version: &'a Version,
}

impl Fields for Named<'_> {
    fn number(&self, subject: &Subject) -> Option<f64> {
        match subject {
            Subject::Attribute(Attribute::VersionNumber) => Some(self.version.version as f64),
            _ => None,
        }
    }

    fn text(&self, subject: &Subject) -> Option<Cow<'_, str>> {
        match subject {
            Subject::Attribute(Attribute::Name) => Some(Cow::Borrowed(&self.name)),
            Subject::Attribute(Attribute::RunId) => {
                Some(Cow::Borrowed(self.version.run_id.as_str())).filter(|id| !id.is_empty())
            }
            Subject::Attribute(Attribute::SourcePath) => Some(Cow::Borrowed(&self.version.source)),
            Subject::Tag(key) => self.version.tags.get(key).map(|value| Cow::Borrowed(value.as_str())),
            _ => None,
        }
    }
}
