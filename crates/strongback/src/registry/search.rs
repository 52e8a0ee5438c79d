//! Searching models and versions: the visible ones are read one by one, filtered, and ordered in memory.
//!
//! Tags and descriptions may be large, so that of what matches only its place is kept; what is on the page is read again.
//!
//! A registry holds few models; what the usual questions name (a model, a run) is read by its index. Models and versions
//! that are prompts are left out unless the filter speaks of the tag that marks them.

use std::{
    borrow::Cow,
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet, HashMap},
};

use serde::{Deserialize, Serialize};
use syntax::search::{
    Attribute, Comparison, Expr, Fields, Grammar, Operand, Operator, OrderBy, PROMPT_TAG, Predicate, Subject,
    SyntaxError, parse_filter, parse_order_by,
};

use super::{
    aliases::{self, Alias},
    models::{self, Model, Outline},
    names, store,
    tags::{self, Tags, is_prompt},
    versions::{self, Version},
};
use crate::{
    bind,
    catalog::{
        Action,
        authorize::{self, is_allowed},
    },
    db::{Row, Sql},
    error::{Error, Result},
    tracking::{
        ordered::{self, Value},
        page::{self, Finding, Question},
    },
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

/// All that an order looks at, and what ends ties; also where a page ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Key {
    values: Vec<Value>,
    name: String,
    version: i64,
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
        let filter = parsed(grammar, filter).map_err(|error| Error::from(error).in_field("filter"))?;
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
        let all = outlines(sql, &filter)?;
        let visible = visible(sql, all)?;
        let (predicate, until) = (Predicate::new(&filter), sql.limit());
        let mut found = self.finding(|a, b| a.name.cmp(&b.name));
        let mut look = |outline: &Outline, tags: &Tags, description: &str| -> Result<()> {
            let model = KnownModel { outline, tags, description };
            let hidden = self.hide_prompts && outline.is_prompt();
            if !hidden && predicate.matches_while(&model, || until.check())? {
                let &Outline { id, updated_at, bytes, .. } = outline;
                let values = ordered::values(&self.order, &model);
                found.offer(Key { values, name: outline.name.clone(), version: 0, updated_at }, id, bytes);
            }
            Ok(())
        };
        let describes = self.asks(|subject| *subject == Subject::Attribute(Attribute::Description));
        if describes || self.asks(|subject| matches!(subject, Subject::Tag(key) if key != PROMPT_TAG)) {
            let ids: Vec<i64> = visible.keys().copied().collect();
            let ids = serde_json::to_string(&ids).map_err(Error::internal)?;
            let texts = if describes { &store::MODEL_TEXTS_BY_IDS } else { &store::MODEL_TAGS_BY_IDS };
            sql.each(texts, bind![&ids], |row| {
                let description = if describes { row.get::<Option<String>>(2)? } else { None };
                if let Some(model) = visible.get(&row.get::<i64>(0)?) {
                    let tags = tags::from_json(&row.get::<String>(1)?)?;
                    look(model, &tags, &description.unwrap_or_default())?;
                }
                Ok(true)
            })?;
        } else {
            // mlflow's client asks for this one in every search.
            let mut known = Tags::new();
            for model in visible.values() {
                known.clear();
                known.extend(model.prompt.clone().map(|mark| (PROMPT_TAG.to_owned(), mark)));
                look(model, &known, "")?;
            }
        }
        let (ids, next) = found.page(|_| 0);
        Ok(Found { items: models::in_order(sql, &ids)?, next_page_token: self.token(next)? })
    }

    /// Versions that the caller may see and that match.
    pub fn versions(&self, sql: &mut Sql<'_>) -> Result<FoundVersions> {
        let filter = self.with_stored_names(sql)?;
        let all = outlines(sql, &filter)?;
        let visible = visible(sql, all)?;
        let (predicate, until) = (Predicate::new(&filter), sql.limit());
        // As MLflow orders them: where nothing is asked for the latest first, and ties by name, newer versions first.
        let latest_first = self.order.is_empty();
        let mut found = self.finding(move |a, b| {
            let latest = if latest_first { b.updated_at.cmp(&a.updated_at) } else { Ordering::Equal };
            latest.then_with(|| (&a.name, b.version).cmp(&(&b.name, a.version)))
        });
        let mut look = |row: &Row<'_>| {
            let version = versions::read(row)?;
            let Some(model) = visible.get(&version.model_id) else { return Ok(true) };
            let hidden = self.hide_prompts && (model.is_prompt() || is_prompt(&version.tags));
            let named = NamedVersion { name: &model.name, version: &version };
            if !hidden && predicate.matches_while(&named, || until.check())? {
                let Version { version: number, updated_at, .. } = version;
                let values = ordered::values(&self.order, &named);
                let key = Key { values, name: model.name.clone(), version: number, updated_at };
                found.offer(key, (model.id, number), version.bytes());
            }
            Ok(true)
        };
        match (named(&filter), equal_to(&filter, Attribute::RunId)) {
            (Some(_), _) => {
                for id in visible.keys() {
                    sql.each(&store::VERSION_LIST, bind![*id], &mut look)?;
                }
            }
            (None, Some(run)) => sql.each(&store::VERSION_BY_RUN, bind![run], look)?,
            (None, None) => sql.each(&store::VERSION_ALL, bind![], look)?,
        }
        let mut shown = BTreeSet::new();
        // A model is read once, however many of its versions are on the page.
        let (ids, next) = found.page(|(model_id, _)| match visible.get(model_id) {
            Some(model) if shown.insert(*model_id) => model.bytes,
            _ => 0,
        });
        let of: BTreeSet<i64> = ids.iter().map(|(model_id, _)| *model_id).collect();
        let of: Vec<i64> = of.into_iter().collect();
        let models = models::in_order(sql, &of)?;
        Ok(FoundVersions {
            models: models.into_iter().map(|model| (model.id, model)).collect(),
            aliases: aliases::list(sql, &of)?,
            versions: versions::in_order(sql, &ids)?,
            next_page_token: self.token(next)?,
        })
    }

    /// The filter with names as they are stored: three-level names compare without case, and a plain model has two.
    fn with_stored_names(&self, sql: &mut Sql<'_>) -> Result<Expr> {
        let mut filter = self.filter.clone();
        for comparison in filter.comparisons_mut() {
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
        Ok(filter)
    }

    /// Whether filter or order look at something like this.
    fn asks(&self, like: impl Fn(&Subject) -> bool) -> bool {
        let filtered = self.filter.comparisons().into_iter().map(|comparison| &comparison.subject);
        filtered.chain(self.order.iter().map(|field| &field.subject)).any(like)
    }

    /// A page of this search; what the order leaves open is put in another one.
    fn finding<T>(
        &self,
        last_resort: impl Fn(&Key, &Key) -> Ordering,
    ) -> Finding<Key, T, impl Fn(&Key, &Key) -> Ordering> {
        Finding::new(self.most, self.after.clone(), move |a: &Key, b: &Key| {
            ordered::compare(&self.order, &a.values, &b.values).then_with(|| last_resort(a, b))
        })
    }

    fn token(&self, next: Option<Key>) -> Result<Option<String>> {
        next.map(|next| page::token(self.question, &next)).transpose()
    }
}

/// Reads a filter. mlflow's client writes a condition of its own beside the text of its caller, without parentheses: it is taken off
/// first, since it is meant for all of an `OR` in that text.
fn parsed(grammar: Grammar, text: &str) -> Result<Expr, SyntaxError> {
    const FIRST: [&str; 1] = ["tags.`mlflow.prompt.is_prompt` = 'true' AND "];
    const LAST: [&str; 2] =
        [" AND tag.`mlflow.prompt.is_prompt` != 'true'", " AND tag.`mlflow.prompt.is_prompt` = 'true'"];
    let first = FIRST.iter().find_map(|own| Some((*own, text.strip_prefix(own)?)));
    let last = LAST.iter().find_map(|own| Some((*own, text.strip_suffix(own)?)));
    if let Some((own, theirs)) = last.or(first)
        && let (Ok(own), Ok(theirs)) = (parse_filter(grammar, own), parsed(grammar, theirs))
    {
        return Ok(Expr::And(vec![own, theirs]));
    }
    parse_filter(grammar, text)
}

/// The name that all that matches has, if the filter asks for one.
fn named(filter: &Expr) -> Option<&str> {
    equal_to(filter, Attribute::Name)
}

fn equal_to(filter: &Expr, attribute: Attribute) -> Option<&str> {
    filter.required().into_iter().find_map(|comparison| match (&comparison.subject, comparison.op) {
        (Subject::Attribute(found), Operator::Eq) if *found == attribute => match &comparison.value {
            Operand::Text(text) => Some(text.as_str()),
            _ => None,
        },
        _ => None,
    })
}

/// The models that a filter may mean, whoever may see them.
fn outlines(sql: &mut Sql<'_>, filter: &Expr) -> Result<Vec<Outline>> {
    let Some(name) = named(filter) else { return models::outlines(sql) };
    // What cannot be a name is nobody's.
    let Ok(Some(id)) = names::find(sql, name) else { return Ok(Vec::new()) };
    Ok(models::get(sql, id)?.iter().map(Outline::of).collect())
}

/// Those that the caller may read, by id. Whoever may read a schema may read what lies in it, so that schemas are asked
/// for once each. Leaves the mark of a filtered answer, since what is left out was decided upon.
fn visible(sql: &mut Sql<'_>, all: Vec<Outline>) -> Result<BTreeMap<i64, Outline>> {
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

/// A model with the texts that this search looks at.
struct KnownModel<'a> {
    outline: &'a Outline,
    tags: &'a Tags,
    description: &'a str,
}

impl Fields for KnownModel<'_> {
    fn number(&self, subject: &Subject) -> Option<f64> {
        match subject {
            Subject::Attribute(Attribute::CreationTime) => Some(self.outline.created_at as f64),
            Subject::Attribute(Attribute::LastUpdateTime) => Some(self.outline.updated_at as f64),
            _ => None,
        }
    }

    fn text(&self, subject: &Subject) -> Option<Cow<'_, str>> {
        match subject {
            Subject::Attribute(Attribute::Name) => Some(Cow::Borrowed(&self.outline.name)),
            Subject::Attribute(Attribute::Description) => not_empty(self.description),
            Subject::Tag(key) => self.tags.get(key).map(|value| Cow::Borrowed(value.as_str())),
            _ => None,
        }
    }
}

/// A text that is missing where it is empty.
fn not_empty(text: &str) -> Option<Cow<'_, str>> {
    Some(Cow::Borrowed(text)).filter(|text| !text.is_empty())
}

/// A version with the name of its model.
struct NamedVersion<'a> {
    name: &'a str,
    version: &'a Version,
}

impl Fields for NamedVersion<'_> {
    fn number(&self, subject: &Subject) -> Option<f64> {
        match subject {
            Subject::Attribute(Attribute::VersionNumber) => Some(self.version.version as f64),
            Subject::Attribute(Attribute::CreationTime) => Some(self.version.created_at as f64),
            Subject::Attribute(Attribute::LastUpdateTime) => Some(self.version.updated_at as f64),
            _ => None,
        }
    }

    fn text(&self, subject: &Subject) -> Option<Cow<'_, str>> {
        match subject {
            Subject::Attribute(Attribute::Name) => Some(Cow::Borrowed(self.name)),
            Subject::Attribute(Attribute::RunId) => not_empty(&self.version.run_id),
            Subject::Attribute(Attribute::Description) => not_empty(&self.version.description),
            Subject::Attribute(Attribute::SourcePath) => Some(Cow::Borrowed(&self.version.source)),
            Subject::Tag(key) => self.version.tags.get(key).map(|value| Cow::Borrowed(value.as_str())),
            _ => None,
        }
    }
}
