//! Making a version and declaring it ready, with what its files tell.

use serde_json::json;
use syntax::paths::ArtifactPath;

use super::{Status, Version, change, get, load, require};
use crate::{
    bind,
    catalog::{Action, asset},
    context::Ctx,
    db::{Change, Sql},
    error::{Error, Result},
    events::{Event, EventKind},
    files,
    registry::{
        answered, location,
        models::Model,
        names::{self, Levels},
        provenance::{self, Claimed, Origin},
        search::is_prompt,
        signature::{self, Signature},
        store,
        tags::{self, Tags},
    },
};

/// What a version is made of.
#[derive(Debug, Clone, Default)]
pub struct NewVersion {
    /// Where it comes from.
    pub source: String,
    /// The run that the client names; empty if none.
    pub run_id: String,
    /// The logged model that the client names; empty if none.
    pub model_id: String,
    /// A link to a run somewhere else.
    pub run_link: String,
    /// Description.
    pub description: String,
    /// Its tags.
    pub tags: Tags,
    /// Whether the client will upload files for it and then finalize it.
    pub awaits_files: bool,
    /// What was read of its signature; a copy has that of its source.
    pub signature: Option<Signature>,
}

impl NewVersion {
    fn trace(&self, sql: &mut Sql<'_>, model: &Model) -> Result<Origin> {
        let claimed = Claimed {
            source: &self.source,
            run_id: &self.run_id,
            model_id: &self.model_id,
            awaits_files: self.awaits_files,
            is_prompt: is_prompt(&model.tags) || is_prompt(&self.tags),
        };
        provenance::trace(sql, claimed)
    }

    /// The file that tells its signature, where the version is ready at once and no copy.
    fn mlmodel(&self, sql: &mut Sql<'_>, name: &str, levels: Levels) -> Result<Option<files::File>> {
        let model = names::load(sql, name, levels)?;
        let origin = self.trace(sql, &model)?;
        let tracked = location::tracked(&origin.root, &origin.logged_model);
        match tracked.filter(|_| origin.copied.is_none()) {
            Some((home, dir)) => {
                let place = home.place(sql)?;
                signature::find(sql, &place, &dir)
            }
            None => Ok(None),
        }
    }
}

/// Makes the next version of a model, with the signature that its files tell. `answer` is run in the transaction.
pub async fn version_create<T: Send + 'static>(
    ctx: &Ctx,
    name: String,
    levels: Levels,
    mut new: NewVersion,
    answer: impl Fn(&mut Sql<'_>, &Model, &Version) -> Result<T> + Send + 'static,
) -> Result<T> {
    if !new.awaits_files {
        let (name, wanted) = (name.clone(), new.clone());
        new.signature = signature::read(ctx, move |sql| wanted.mlmodel(sql, &name, levels)).await;
    }
    ctx.write(move |tx| {
        let made = create(tx, &name, levels, &new)?;
        answered(made, |(model, version)| answer(tx, &model, &version))
    })
    .await
}

/// Makes the next version of a model, with the lineage that its source tells.
pub fn create(
    tx: &mut Sql<'_>,
    name: &str,
    levels: Levels,
    new: &NewVersion,
) -> Result<Change<(Model, Version)>> {
    let model = names::lock(tx, name, levels, Action::Edit)?;
    let origin = new.trace(tx, &model)?;
    let status = if new.awaits_files { Status::Pending } else { Status::Ready };
    let number: i64 = tx.one(&store::MODEL_TAKE_NUMBER, bind![model.id], |row| row.get(0))?;
    let shared = origin.copied.as_ref().filter(|copied| copied.has_own_files && !new.awaits_files);
    if let Some(copied) = shared {
        let (from, to) = (location::own(copied.model_id, copied.version), location::own(model.id, number));
        let count = files::copy(tx, &from.area, &ArtifactPath::root(), &to.area)?;
        // It may have been deleted in this moment, and its files with it.
        if count == 0 && get(tx, copied.model_id, copied.version)?.is_none() {
            return Err(Error::missing(format!("The version '{}' was deleted.", origin.source)));
        }
    }
    let copied = origin.copied.as_ref().and_then(|copied| copied.signature.as_ref());
    let signature = copied.or(new.signature.as_ref()).filter(|_| !new.awaits_files);
    let (now, by) = (tx.now(), tx.caller().id);
    tx.execute(
        &store::VERSION_INSERT,
        bind![
            model.id,
            number,
            status.name(),
            &origin.source,
            &origin.root,
            &origin.run_id,
            &new.run_link,
            &origin.logged_model,
            &new.description,
            signature.map(Signature::to_json).as_deref(),
            new.awaits_files || shared.is_some(),
            &tags::to_json(&new.tags)?,
            by,
            now
        ],
    )?;
    provenance::record(tx, &origin, model.id, number)?;
    let revision = asset::touch(tx, model.id)?;
    let event = Event::new(EventKind::ModelVersionCreate)
        .asset(model.id, revision)
        .subject(number.to_string())
        .detail(json!({
            "source": origin.source, "run_id": origin.run_id, "model_id": origin.logged_model,
            "status": status.name(), "description": new.description, "tags": new.tags,
        }));
    let version = require(tx, &model, number)?;
    Ok(Change::Made((model, version), event))
}

/// Declares the files of a version complete, and reads its signature in them. `answer` is run in the transaction.
pub async fn version_finalize<T: Send + 'static>(
    ctx: &Ctx,
    name: String,
    levels: Levels,
    number: i64,
    answer: impl Fn(&mut Sql<'_>, &Model, &Version) -> Result<T> + Send + 'static,
) -> Result<T> {
    let wanted = name.clone();
    let mlmodel = move |sql: &mut Sql<'_>| {
        let (model, version) = load(sql, &wanted, levels, number)?;
        match version.status {
            Status::Pending => signature::find(sql, &location::own(model.id, number), &ArtifactPath::root()),
            Status::Ready => Ok(None),
        }
    };
    let signature = signature::read(ctx, mlmodel).await;
    ctx.write(move |tx| {
        let changed = finalize(tx, &name, levels, number, signature.as_ref())?;
        answered(changed, |(model, version)| answer(tx, &model, &version))
    })
    .await
}

/// Declares the files of a version complete. Nothing happens to one that is ready.
pub fn finalize(
    tx: &mut Sql<'_>,
    name: &str,
    levels: Levels,
    number: i64,
    signature: Option<&Signature>,
) -> Result<Change<(Model, Version)>> {
    change(tx, name, levels, number, EventKind::ModelVersionFinalize, |version| {
        if version.status == Status::Pending {
            version.status = Status::Ready;
            version.signature = signature.cloned();
        }
        json!({})
    })
}
