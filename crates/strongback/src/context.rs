//! What a handler has: the application's parts, and who asks under which request.

use std::sync::Arc;

use crate::{
    auth::Caller,
    config::Config,
    db::{Change, Db, Origin, Sql},
    error::{Error, Result},
    objects::Objects,
};

/// The parts of the running application.
pub struct App {
    /// The configuration it was started with.
    pub config: Config,
    /// The metadata store.
    pub db: Db,
    /// The bytes of artifacts.
    pub objects: Objects,
    /// What clients keep elsewhere and this server may show.
    pub outside: crate::objects::Outside,
    /// Tables, and the engine over them.
    pub lake: lake::Lake,
    /// Files on their way into a table.
    pub spool: crate::tables::Spool,
    /// Who writes to which table.
    pub holds: crate::tables::Holds,
    /// Columns of the index of runs that searches read lately.
    pub columns: crate::tracking::Columns,
    /// The features that requests look up.
    pub online: crate::features::OnlineStore,
    /// What was served, on its way into tables.
    pub payload: crate::serving::payload::PayloadLog,
    /// Endpoints as this process serves them.
    pub serving: crate::serving::Serving,
    /// Credentials that were found valid a moment ago.
    pub remembered: crate::auth::Remembered,
    /// MLflow's own web pages, if they are served.
    pub pages: crate::ui::Pages,
    /// The JSON bodies that are being read.
    pub bodies: crate::router::body::Bodies,
    /// The way out, to places that somebody named.
    pub outbound: crate::outbound::Outbound,
    /// Seals secrets that are needed in the clear later.
    pub sealer: crate::secrets::Sealer,
    /// What does jobs of the server's own kinds.
    pub handlers: crate::jobs::Handlers,
    /// Becomes true when the server is told to stop: whoever waits for something answers then.
    pub stopping: tokio::sync::watch::Sender<bool>,
    /// What was found when somebody last asked whether it is ready.
    pub readiness: crate::ops::Readiness,
    /// Signs checkpoints of the event stream.
    pub signing_key: ed25519_dalek::SigningKey,
    /// Holds the data directory for this process.
    pub(crate) _lock: std::fs::File,
}

/// One request, or one job: the application and on whose behalf it acts.
#[derive(Clone)]
pub struct Ctx {
    /// The application.
    pub app: Arc<App>,
    /// Principal, request id and time.
    pub origin: Origin,
}

impl Ctx {
    /// A context for work that the server does by itself.
    pub fn system(app: &Arc<App>) -> Self {
        Self { app: Arc::clone(app), origin: Origin::system() }
    }

    /// Who asks.
    pub fn caller(&self) -> &Arc<Caller> {
        &self.origin.caller
    }

    /// When the request came in, milliseconds since the epoch.
    pub fn now(&self) -> i64 {
        self.origin.now
    }

    /// Reads in one snapshot. What was read without an authorisation does not leave this function.
    pub async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut Sql<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let guarded = |sql: &mut Sql<'_>| {
            let value = read(sql)?;
            if sql.may_answer() {
                Ok(value)
            } else {
                Err(Error::internal("a read was about to answer without an authorisation"))
            }
        };
        self.app.db.read(&self.origin, guarded).await
    }

    /// Writes in the next commit group; durable when it answers. The closure may run more than once.
    pub async fn write<T: Send + 'static>(
        &self,
        write: impl FnMut(&mut Sql<'_>) -> Result<Change<T>> + Send + 'static,
    ) -> Result<T> {
        self.app.db.write(&self.origin, write).await
    }
}
