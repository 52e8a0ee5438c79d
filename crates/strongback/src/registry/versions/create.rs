//! Making a version and declaring it ready, with what its files tell.

use serde_json::json;
use syntax::paths::ArtifactPath;

use super::{Pin, Status, Version, load, pin, require};
use crate::{
    bind,
    catalog::{Action, asset},
    context::Ctx,
    db::{Change, Sql},
    error::Result,
    events::{Event, EventKind},
    files,
    registry::{
        answered, location,
        models::Model,
        names::{self, Levels},
        provenance::{self, Claimed, Origin},
        signature::{self, Signature, Told},
        store,
        tags::{self, Tags},
    },
    tracking::model as logged,
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
}

impl NewVersion {
    fn trace(&self, sql: &mut Sql<'_>, model: &Model) -> Result<Origin> {
        let claimed = Claimed {
            source: &self.source,
            run_id: &self.run_id,
            model_id: &self.model_id,
            awaits_files: self.awaits_files,
            is_prompt: tags::is_prompt(&model.tags) || tags::is_prompt(&self.tags),
        };
        provenance::trace(sql, claimed)
    }

    /// The file that tells its signature, where the version is ready at once and no copy.
    fn mlmodel(&self, sql: &mut Sql<'_>, name: &str, levels: Levels) -> Result<Option<files::File>> {
        let model = names::load(sql, name, levels)?;
        let origin = self.trace(sql, &model)?;
        if origin.copied.is_some() {
            return Ok(None);
        }
        match location::kept(sql, &origin.root, &origin.logged_model)? {
            Some((place, dir)) => signature::find(sql, &place, &dir),
            None => Ok(None),
        }
    }
}

/// Makes the next version of a model. One that does not wait for files is ready, and made of the files that lie at its
/// source, with the signature that they tell. `answer` is run in the transaction.
pub async fn version_create<T: Send + 'static>(
    ctx: &Ctx,
    name: String,
    levels: Levels,
    new: NewVersion,
    answer: impl Fn(&mut Sql<'_>, &Model, &Version) -> Result<T> + Send + 'static,
) -> Result<T> {
    let mut told = Told::default();
    if !new.awaits_files {
        let (name, wanted) = (name.clone(), new.clone());
        told = signature::read(ctx, move |sql| wanted.mlmodel(sql, &name, levels)).await?;
    }
    ctx.write(move |tx| {
        let made = create(tx, &name, levels, &new, &told)?;
        answered(made, |(model, version)| answer(tx, &model, &version))
    })
    .await
}

/// Makes the next version of a model, with the lineage that its source tells.
fn create(
    tx: &mut Sql<'_>,
    name: &str,
    levels: Levels,
    new: &NewVersion,
    told: &Told,
) -> Result<Change<(Model, Version)>> {
    let model = names::lock(tx, name, levels, Action::Edit)?;
    let origin = new.trace(tx, &model)?;
    let number: i64 = tx.one(&store::MODEL_TAKE_NUMBER, bind![model.id], |row| row.get(0))?;
    let (now, by) = (tx.now(), tx.caller().id);
    tx.execute(
        &store::VERSION_INSERT,
        bind![
            model.id,
            number,
            &origin.source,
            &origin.root,
            &origin.run_id,
            &new.run_link,
            &origin.logged_model,
            &new.description,
            &tags::to_json(&new.tags)?,
            by,
            now
        ],
    )?;
    if !new.awaits_files {
        make_ready(tx, &model, number, &origin, told)?;
    }
    provenance::record(tx, &origin, model.id, number)?;
    if !origin.logged_model.is_empty() {
        logged::note_registered(tx, &origin.logged_model, &model.name(), number)?;
    }
    let revision = asset::touch(tx, model.id)?;
    let version = require(tx, &model, number)?;
    let event = Event::new(EventKind::ModelVersionCreate)
        .asset(model.id, revision)
        .subject(number.to_string())
        .detail(json!({
            "source": origin.source, "run_id": origin.run_id, "model_id": origin.logged_model,
            "status": version.status.name(), "description": new.description, "tags": new.tags,
            "pinned": pin::detail(version.pin.as_ref()),
        }));
    Ok(Change::Made((model, version), event))
}

/// Makes a new version ready, of the files that lie at its source.
pub(in crate::registry) fn make_ready(
    tx: &mut Sql<'_>,
    model: &Model,
    number: i64,
    origin: &Origin,
    told: &Told,
) -> Result<()> {
    let own = location::own(model.id, number);
    if let Some(copied) = &origin.copied {
        let pin = pin::from_version(tx, copied, &own)?;
        return ready(tx, model.id, number, copied.signature.as_ref(), pin.as_ref());
    }
    let pin = match location::kept(tx, &origin.root, &origin.logged_model)? {
        Some(source) => Some(pin::from_source(tx, &source, &own, told)?),
        None => None,
    };
    ready(tx, model.id, number, told.signature.as_ref(), pin.as_ref())
}

/// Makes a version ready, of the files that were put into its own place.
pub(in crate::registry) fn make_ready_of_own(
    tx: &mut Sql<'_>,
    model: &Model,
    number: i64,
    told: &Told,
) -> Result<()> {
    let pin = pin::own_files(tx, &location::own(model.id, number), told)?;
    ready(tx, model.id, number, told.signature.as_ref(), Some(&pin))
}

/// What is said of a version that was made of a source where nothing lies.
const NO_FILES: &str = "No file lay at its source when it was registered.";

fn ready(
    tx: &mut Sql<'_>,
    model_id: i64,
    number: i64,
    signature: Option<&Signature>,
    pin: Option<&Pin>,
) -> Result<()> {
    let message = if pin.is_some_and(|pin| pin.manifest.files == 0) { NO_FILES } else { "" };
    let (signature, now) = (signature.map(Signature::to_json), tx.now());
    tx.execute(
        &store::VERSION_READY,
        bind![
            model_id,
            number,
            message,
            signature.as_deref(),
            pin.map(|pin| pin.manifest.digest.as_str()),
            pin.map(|pin| pin.manifest.files as i64),
            pin.map(|pin| pin.manifest.bytes as i64),
            pin.map(|pin| pin.at),
            now
        ],
    )?;
    Ok(())
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
    let told = signature::read(ctx, mlmodel).await?;
    ctx.write(move |tx| {
        let changed = finalize(tx, &name, levels, number, &told)?;
        answered(changed, |(model, version)| answer(tx, &model, &version))
    })
    .await
}

/// Declares the files of a version complete. Nothing happens to one that is ready.
fn finalize(
    tx: &mut Sql<'_>,
    name: &str,
    levels: Levels,
    number: i64,
    told: &Told,
) -> Result<Change<(Model, Version)>> {
    let model = names::lock(tx, name, levels, Action::Edit)?;
    let version = require(tx, &model, number)?;
    if version.status == Status::Ready {
        return Ok(Change::Nothing((model, version)));
    }
    let pin = pin::uploaded(tx, &model, &version, told)?;
    ready(tx, model.id, number, told.signature.as_ref(), pin.as_ref())?;
    let revision = asset::touch(tx, model.id)?;
    let event = Event::new(EventKind::ModelVersionFinalize)
        .asset(model.id, revision)
        .subject(number.to_string())
        .detail(json!({ "pinned": pin::detail(pin.as_ref()) }));
    let version = require(tx, &model, number)?;
    Ok(Change::Made((model, version), event))
}
