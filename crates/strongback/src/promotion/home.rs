//! Where the evaluation runs of a model are: an experiment of its own, in its schema, which belongs to its owner.
//!
//! What must stay true: it is known by the runs that are in it and not by its name, which anybody may take; who took the name is
//! not dispossessed, and keeps no alias from moving. A model that takes the name of another one does not get its evaluations.

use crate::{
    bind,
    catalog::{Action, asset, authorize},
    db::Sql,
    error::{Error, Result},
    jobs::JobCtx,
    registry::{evidence::Evidence, models},
    statements,
    tracking::experiment::{self, Experiment, Kept},
};

statements! {
    /// The experiment with the newest evaluation run of a model ($1) that is there and lies in its schema ($2).
    HOME_OF_MODEL = "SELECT u.experiment_id FROM gate_report r JOIN run u ON u.uuid = r.run_uuid
        JOIN experiment e ON e.asset_id = u.experiment_id AND e.lifecycle = 'active'
        JOIN asset a ON a.id = e.asset_id AND a.deleted_at IS NULL AND a.parent_id = $2
        WHERE r.model_id = $1 ORDER BY r.uuid DESC LIMIT 1";
}

/// The tag with the name that the model had.
const NAME_TAG: &str = "strongback.gates_of";
/// The tag with the model's id, which no other one ever has.
const ID_TAG: &str = "strongback.gates_of_id";

/// The experiment for the run of a report: the one with the runs before, given to whoever owns the model now, or a new one.
pub(super) async fn of(job: &JobCtx, report: &Evidence) -> Result<Experiment> {
    let (model_id, report_id) = (report.model_id, report.id);
    job.write(move |tx| {
        authorize(tx, Action::Edit, model_id)?;
        let model = models::get(tx, model_id)?.ok_or_else(|| Error::missing("The model was deleted."))?;
        let stored = asset::lock(tx, model_id)?;
        if let Some(found) = before(tx, model_id, model.schema_id)? {
            return experiment::hand_over(tx, found, stored.owner_id);
        }
        let name = format!("/gates/{}", model.full_name());
        let names = [name.clone(), format!("{name} {report_id}")];
        let tags = [(NAME_TAG.to_owned(), model.name()), (ID_TAG.to_owned(), stored.uuid.clone())].into();
        let (schema_id, owner_id) = (model.schema_id, stored.owner_id);
        experiment::keep(tx, &Kept { names: &names, schema_id, owner_id, tags })
    })
    .await
}

fn before(sql: &mut Sql<'_>, model_id: i64, schema_id: i64) -> Result<Option<Experiment>> {
    match sql.first(&HOME_OF_MODEL, bind![model_id, schema_id], |row| row.get::<i64>(0))? {
        Some(id) => experiment::find_by_asset(sql, id),
        None => Ok(None),
    }
}
