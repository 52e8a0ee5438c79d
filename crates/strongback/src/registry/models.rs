//! Registered models: making, changing and deleting them.

use std::collections::{HashMap, hash_map::Entry};

use serde_json::json;
use syntax::search::PROMPT_TAG;

use super::{
    governance,
    names::{self, Levels},
    store,
    tags::{self, Tags},
    versions,
};
use crate::{
    bind,
    catalog::{
        Action, asset, authorize, authorize_admin,
        names::{schema_above, three_levels},
    },
    context::Ctx,
    db::{Change, Row, Sql},
    error::{Error, Result},
    events::{Event, EventKind},
    objects::ObjectId,
};

/// A registered model.
#[derive(Debug, Clone)]
pub struct Model {
    /// `asset.id`
    pub id: i64,
    /// The id that leaves the server.
    pub uuid: String,
    /// `asset.id` of its schema.
    pub schema_id: i64,
    /// Last part of its name; escaped where the name is a plain one.
    pub leaf: String,
    /// The plain name it was made with; none where that name means a governed model by now.
    pub wire_name: Option<String>,
    /// Name of its schema.
    pub schema: String,
    /// Name of its catalog.
    pub catalog: String,
    /// Name of its owner.
    pub owner: String,
    /// Who made it.
    pub created_by: String,
    /// Who changed it last.
    pub updated_by: String,
    /// Description; empty if there is none.
    pub description: String,
    /// Milliseconds since the epoch.
    pub created_at: i64,
    /// Milliseconds since the epoch.
    pub updated_at: i64,
    /// Its tags.
    pub tags: Tags,
}

impl Model {
    /// Its name as every face gives it, and by which every face finds it: the plain name it was made with, else all three
    /// levels.
    pub fn name(&self) -> String {
        self.wire_name.clone().unwrap_or_else(|| self.full_name())
    }

    /// All three levels, also of a plain model.
    pub fn full_name(&self) -> String {
        format!("{}.{}.{}", self.catalog, self.schema, self.leaf)
    }
}

/// A model as a search keeps it while it looks at all of them: without the texts that make one large.
#[derive(Debug)]
pub(super) struct Outline {
    /// `asset.id`
    pub id: i64,
    /// `asset.id` of its schema.
    pub schema_id: i64,
    /// As every face gives it.
    pub name: String,
    /// Milliseconds since the epoch.
    pub created_at: i64,
    /// Milliseconds since the epoch.
    pub updated_at: i64,
    /// What its tag says that marks prompts, if it has it.
    pub prompt: Option<String>,
    /// About how many bytes the model holds.
    pub bytes: u64,
}

impl Outline {
    /// Whether it is a prompt.
    pub fn is_prompt(&self) -> bool {
        self.prompt.as_deref().is_some_and(tags::marks_prompt)
    }

    /// Of a model that is there in whole.
    pub fn of(model: &Model) -> Self {
        Self {
            id: model.id,
            schema_id: model.schema_id,
            name: model.name(),
            created_at: model.created_at,
            updated_at: model.updated_at,
            prompt: model.tags.get(PROMPT_TAG).cloned(),
            bytes: (size_of::<Model>() + model.description.len()) as u64 + tags::bytes(&model.tags),
        }
    }
}

/// Columns of the statements that list models; [`settle`] follows where the name matters.
pub(super) fn read(row: &Row<'_>) -> Result<Model> {
    let name_of = |at| Ok::<_, Error>(row.get::<Option<String>>(at)?.unwrap_or_default());
    Ok(Model {
        id: row.get(0)?,
        uuid: row.get(1)?,
        schema_id: row.get(2)?,
        leaf: row.get(3)?,
        wire_name: row.get(4)?,
        schema: row.get(5)?,
        catalog: row.get(6)?,
        owner: name_of(7)?,
        created_by: name_of(8)?,
        updated_by: name_of(9)?,
        description: name_of(10)?,
        created_at: row.get(11)?,
        updated_at: row.get(12)?,
        tags: tags::from_json(&row.get::<String>(13)?)?,
    })
}

/// Takes plain names away that mean governed models by now. Each schema is asked for once.
fn settle<'a>(sql: &mut Sql<'_>, names: impl IntoIterator<Item = &'a mut Option<String>>) -> Result<()> {
    let mut known: HashMap<(String, String), bool> = HashMap::new();
    for name in names {
        let levels = name.as_deref().and_then(|name| three_levels(name).ok());
        let Some(full) = levels else { continue };
        let above = (full.catalog.clone(), full.schema.clone());
        let is_governed = match known.get(&above) {
            Some(known) => *known,
            None => {
                let found = schema_above(sql, &full)?.is_some();
                known.insert(above, found);
                found
            }
        };
        if is_governed {
            *name = None;
        }
    }
    Ok(())
}

/// The living model with this `asset.id`, without asking whether the caller may see it.
pub fn get(sql: &mut Sql<'_>, id: i64) -> Result<Option<Model>> {
    let mut found = sql.first(&store::MODEL_BY_ID, bind![id], read)?;
    settle(sql, found.iter_mut().map(|model| &mut model.wire_name))?;
    Ok(found)
}

/// The tags of a model, also of one that is deleted; none if there never was one.
pub fn tags_ever(sql: &mut Sql<'_>, id: i64) -> Result<Option<Tags>> {
    sql.first(&store::MODEL_TAGS, bind![id], |row| tags::from_json(&row.get::<String>(0)?))
}

/// Living models by `asset.id`, in the order of the ids.
pub(super) fn in_order(sql: &mut Sql<'_>, ids: &[i64]) -> Result<Vec<Model>> {
    let text = serde_json::to_string(ids).map_err(Error::internal)?;
    let mut found = sql.all(&store::MODEL_BY_IDS, bind![&text], read)?;
    settle(sql, found.iter_mut().map(|model| &mut model.wire_name))?;
    let mut by_id: HashMap<i64, Model> = found.into_iter().map(|model| (model.id, model)).collect();
    Ok(ids.iter().filter_map(|id| by_id.remove(id)).collect())
}

/// All living models, whoever may see them.
///
/// Every search without a name looks at all of them, so that a row has what decides and no more; what a schema is called is asked once
/// each.
pub(super) fn outlines(sql: &mut Sql<'_>) -> Result<Vec<Outline>> {
    let (mut found, mut plain) = (Vec::new(), Vec::new());
    sql.each(&store::MODEL_OUTLINES, bind![], |row| {
        plain.push(row.get::<Option<String>>(3)?);
        let (comment, tags): (i64, String) = (row.get(6)?, row.get(7)?);
        found.push(Outline {
            id: row.get(0)?,
            schema_id: row.get(1)?,
            name: row.get(2)?,
            created_at: row.get(4)?,
            updated_at: row.get(5)?,
            prompt: tags::prompt_mark(&tags)?,
            bytes: (size_of::<Model>() + tags.len()) as u64 + comment.unsigned_abs(),
        });
        Ok(true)
    })?;
    settle(sql, &mut plain)?;
    let mut schemas: HashMap<i64, String> = HashMap::new();
    for (outline, plain) in found.iter_mut().zip(plain) {
        outline.name = match (plain, schemas.entry(outline.schema_id)) {
            (Some(name), _) => name,
            (None, Entry::Occupied(schema)) => format!("{}.{}", schema.get(), outline.name),
            (None, Entry::Vacant(unknown)) => {
                let schema = unknown.insert(asset::display_name(sql, outline.schema_id)?);
                format!("{schema}.{}", outline.name)
            }
        };
    }
    Ok(found)
}

/// The model as it is now, within a change of it.
pub(super) fn again(tx: &mut Sql<'_>, id: i64) -> Result<Model> {
    get(tx, id)?.ok_or_else(|| Error::internal(format!("the model {id} went while it was changed")))
}

/// Makes a model, owned by the caller.
pub fn create(
    tx: &mut Sql<'_>,
    name: &str,
    levels: Levels,
    description: &str,
    tags: &Tags,
) -> Result<Change<Model>> {
    let place = names::place(tx, name, levels)?;
    // Nobody deletes the schema while something is made in it.
    asset::lock(tx, place.schema.id)?;
    authorize(tx, Action::Create, place.schema.id)?;
    place.refuse_taken(tx, name, None)?;
    let new = place.new_asset(tx, Some(description).filter(|text| !text.is_empty()));
    let made = asset::create(tx, &new)?;
    tx.execute(&store::MODEL_INSERT, bind![made.id, &tags::to_json(tags)?])?;
    let event = Event::new(EventKind::ModelCreate)
        .asset(made.id, made.revision)
        .detail(json!({ "name": name, "description": description, "tags": tags }));
    Ok(Change::Made(again(tx, made.id)?, event))
}

/// What to change; absent fields stay.
#[derive(Debug, Clone, Default)]
pub struct ModelChange {
    /// The whole new name, or a last part alone, which leaves the model where it is.
    pub new_name: Option<String>,
    /// The new description; empty takes it away.
    pub description: Option<String>,
    /// Name of the new owner.
    pub owner: Option<String>,
}

/// Changes name, description or owner of a model. Moving it to another schema needs the right to make something there.
pub fn update(tx: &mut Sql<'_>, name: &str, levels: Levels, wanted: &ModelChange) -> Result<Change<Model>> {
    let only_owner = wanted.owner.is_some() && wanted.new_name.is_none() && wanted.description.is_none();
    let action = if only_owner { Action::Manage } else { Action::Edit };
    let model = names::lock(tx, name, levels, action)?;
    // Whoever renames a governed model frees its name for one that is not: that is theirs who may end the governance.
    if wanted.new_name.is_some() && !governance::policy(tx, model.id)?.aliases.is_empty() {
        authorize(tx, Action::Manage, model.id)?;
    }
    let mut stored = asset::lock(tx, model.id)?;
    let mut leaf_key = None;
    let mut changes = serde_json::Map::new();
    if let Some(new_name) = &wanted.new_name {
        let place = target(tx, &model, new_name, levels)?;
        stored.parent_id = Some(place.schema.id);
        stored.leaf.clone_from(&place.leaf);
        stored.wire_name.clone_from(&place.wire_name);
        leaf_key = Some(place.leaf_key);
        if (stored.parent_id, &stored.leaf, &stored.wire_name)
            != (Some(model.schema_id), &model.leaf, &model.wire_name)
        {
            changes.insert("name".into(), json!([model.name(), new_name]));
        }
    }
    if let Some(text) = wanted.description.as_ref().filter(|text| **text != model.description) {
        changes.insert("description".into(), json!([model.description, text]));
        stored.comment = Some(text.clone()).filter(|text| !text.is_empty());
    }
    if let Some(owner) = &wanted.owner {
        authorize(tx, Action::Manage, model.id)?;
        let owner_id = crate::catalog::principal::require(tx, owner)?;
        if owner_id != stored.owner_id {
            changes.insert("owner".into(), json!([model.owner, owner]));
            stored.owner_id = owner_id;
        }
    }
    if changes.is_empty() {
        return Ok(Change::Nothing(model));
    }
    let leaf_key = leaf_key.unwrap_or_else(|| match model.wire_name {
        Some(_) => model.leaf.clone(),
        None => syntax::names::fold_case(&model.leaf),
    });
    let stored = asset::update(tx, &stored, &leaf_key)?;
    let kind = if only_owner { EventKind::OwnerSet } else { EventKind::ModelUpdate };
    let event = Event::new(kind).asset(stored.id, stored.revision).detail(changes.into());
    Ok(Change::Made(again(tx, stored.id)?, event))
}

/// Where a renamed model goes, for a caller who may make something there; the name must be free, or the model's own in
/// another case. Which names are taken in a schema is no stranger's business, so that rights are asked first.
fn target(tx: &mut Sql<'_>, model: &Model, new_name: &str, levels: Levels) -> Result<names::Place> {
    let whole = match levels {
        Levels::Three if !new_name.contains('.') => format!("{}.{}.{new_name}", model.catalog, model.schema),
        _ => new_name.to_owned(),
    };
    let place = names::place(tx, &whole, levels)?;
    if place.schema.id != model.schema_id {
        asset::lock(tx, place.schema.id)?;
        authorize(tx, Action::Create, place.schema.id)?;
    }
    place.refuse_taken(tx, &whole, Some(model.id))?;
    Ok(place)
}

/// Deletes a model with its versions, their files, and its aliases. Its name is free again.
pub async fn model_delete(ctx: &Ctx, name: String, levels: Levels) -> Result<()> {
    let garbage = ctx.write(move |tx| delete(tx, &name, levels)).await?;
    ctx.app.objects.remove(garbage).await;
    Ok(())
}

/// The same within a transaction. Answers the objects that are to be removed after it.
fn delete(tx: &mut Sql<'_>, name: &str, levels: Levels) -> Result<Change<Vec<ObjectId>>> {
    let model = names::lock(tx, name, levels, Action::Delete)?;
    governance::refuse_dropping(tx, &model, None)?;
    let (moved, garbage) = versions::delete_all(tx, model.id, "the model was deleted")?;
    let revision = asset::delete(tx, model.id)?;
    let event = Event::new(EventKind::ModelDelete)
        .asset(model.id, revision)
        .detail(json!({ "name": model.name(), "aliases": moved }));
    Ok(Change::Made(garbage, event))
}

/// Models that are told at a time that they went with what they lay in.
const ORPHANS_AT_ONCE: i64 = 100;

/// Clears up after models that were deleted with their schema or catalog: their versions' files go, their aliases make
/// their last move. Answers how many models there were.
pub async fn clear_orphans(ctx: &Ctx) -> Result<usize> {
    let mut count = 0;
    loop {
        let some = |sql: &mut Sql<'_>| {
            sql.all(&store::MODEL_ORPHANS, bind![ORPHANS_AT_ONCE], |row| row.get::<i64>(0))
        };
        let orphans = ctx.app.db.read(&ctx.origin, some).await?;
        if orphans.is_empty() {
            return Ok(count);
        }
        for id in orphans {
            let clear = move |tx: &mut Sql<'_>| clear_orphan(tx, id);
            let garbage = ctx.write(clear).await?;
            ctx.app.objects.remove(garbage).await;
            count += 1;
        }
    }
}

fn clear_orphan(tx: &mut Sql<'_>, id: i64) -> Result<Change<Vec<ObjectId>>> {
    authorize_admin(tx, "clear up after a deleted schema")?;
    // Another replica may be at it: one of the two leaves the event.
    tx.first(&store::MODEL_LOCK, bind![id], |row| row.get::<i64>(0))?;
    if versions::newest(tx, id)?.is_none() {
        return Ok(Change::Nothing(Vec::new()));
    }
    let (moved, garbage) = versions::delete_all(tx, id, "the model was deleted with its schema")?;
    let event = Event::new(EventKind::ModelDelete)
        .asset(id, 0)
        .detail(json!({ "name": asset::display_name(tx, id)?, "aliases": moved }));
    Ok(Change::Made(garbage, event))
}

/// Sets and removes tags of a model.
pub fn change_tags(
    tx: &mut Sql<'_>,
    name: &str,
    levels: Levels,
    set: &Tags,
    remove: &[String],
) -> Result<Change<()>> {
    let mut model = names::lock(tx, name, levels, Action::Edit)?;
    let before = model.tags.clone();
    tags::apply(&mut model.tags, set, remove)?;
    if model.tags == before {
        return Ok(Change::Nothing(()));
    }
    let revision = asset::touch(tx, model.id)?;
    tx.execute(&store::MODEL_SET_TAGS, bind![model.id, &tags::to_json(&model.tags)?])?;
    let kind = if set.is_empty() { EventKind::ModelTagDelete } else { EventKind::ModelTagSet };
    let event = Event::new(kind).asset(model.id, revision).detail(tags::detail(set, remove));
    Ok(Change::Made((), event))
}
