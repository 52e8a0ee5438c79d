//! Opening the application: data directory, store, keys, what every metastore begins with, background work.

use std::{
    fs,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
    sync::Arc,
    time::Duration,
};

use fs4::fs_std::FileExt;
use tokio::time::Instant;

use crate::{
    catalog::{authorize_admin, bootstrap},
    config::Config,
    context::{App, Ctx},
    db::{self, Change, Db},
    error::{Code, Error, Result},
    events::{checkpoint, key},
    files,
    objects::{Objects, place},
    ops::{self, Readiness},
    router::body::Bodies,
};

/// A file that lies in a data directory while a backup is brought back into it.
pub const RESTORING: &str = "restoring";
/// The file in a data directory that says where its server is, for commands that find the directory locked.
pub const ADDRESS_FILE: &str = "address";

/// Opens everything below a configuration. The data directory is locked until the process ends: two servers in one
/// would break each other's event chain.
pub async fn open(config: Config) -> Result<Arc<App>> {
    let lock = lock(&config.data_dir.value)?;
    open_locked(config, lock).await
}

/// Opens everything in a data directory that this process has taken.
pub async fn open_locked(config: Config, lock: fs::File) -> Result<Arc<App>> {
    let app = open_parts(config, lock).await?;
    let ctx = Ctx::system(&app);
    let begun = async {
        if let Some(remote) = app.objects.remote() {
            remote.take().await?;
        }
        bootstrap::run(&ctx).await?;
        crate::tracking::bootstrap(&ctx).await?;
        files::recover(&ctx).await?;
        crate::jobs::recover(&ctx).await?;
        crate::tables::recover(&ctx).await
    };
    if let Err(error) = begun.await {
        // Whoever opens it next need not wait for leases to run out.
        let db = app.db.clone();
        tokio::task::spawn_blocking(move || db.close()).await.map_err(Error::internal)?;
        return Err(error);
    }
    Ok(app)
}

/// Makes the data directory of a configuration the one that its store belongs to. Answers whether it was not.
pub async fn adopt(config: Config) -> Result<bool> {
    let lock = lock(&config.data_dir.value)?;
    let app = open_parts(config, lock).await?;
    let (public, holder) = (key::public(&app.signing_key), key::name(&app.signing_key));
    let adopted = Ctx::system(&app)
        .write(move |tx| {
            authorize_admin(tx, "take the store over")?;
            Ok(match key::adopt(tx, &public, &holder)? {
                Some(event) => Change::Made(true, event),
                None => Change::Nothing(false),
            })
        })
        .await;
    let db = app.db.clone();
    tokio::task::spawn_blocking(move || db.close()).await.map_err(Error::internal)?;
    adopted
}

async fn open_parts(config: Config, lock: fs::File) -> Result<Arc<App>> {
    let open = move || open_blocking(config, lock);
    let app = tokio::task::spawn_blocking(open).await.map_err(Error::internal)??;
    Ok(Arc::new(app))
}

fn open_blocking(config: Config, lock: fs::File) -> Result<App> {
    let dir = config.data_dir.value.clone();
    if dir.join(RESTORING).exists() {
        return Err(Error::new(
            Code::InvalidState,
            format!(
                "A backup was being brought back into {} and did not get to its end. Remove what is there and restore it again.",
                dir.display()
            ),
        ));
    }
    let signing_key = key::load(&dir)?;
    let db = Db::open(&config.location(), &key::name(&signing_key))?;
    let has_files = || db::inspect(&config.location(), files::any);
    let record = place::resolve(&dir, config.artifacts_url.value.as_ref(), has_files)?;
    let objects = Objects::open(&dir, record)?;
    let roots = config.readable_roots.value.iter().chain(&config.default_artifact_root.value);
    let outside = crate::objects::Outside::open(roots)?;
    let lake = config.lake()?;
    let payload = crate::serving::payload::PayloadLog::new(&dir, config.payload_log.value);
    let pages = crate::ui::find(&config.mlflow_ui.value)?;
    let outbound = crate::outbound::Outbound::new(config.webhooks_allow.value.clone());
    let sealer = crate::secrets::Sealer::load(&dir)?;
    Ok(App {
        config,
        db,
        objects,
        outside,
        lake,
        spool: crate::tables::Spool::new(&dir),
        holds: crate::tables::Holds::default(),
        columns: crate::tracking::Columns::default(),
        online: crate::features::OnlineStore::new(&dir),
        payload,
        serving: crate::serving::Serving::default(),
        remembered: crate::auth::Remembered::default(),
        pages,
        bodies: Bodies::default(),
        outbound,
        sealer,
        handlers: crate::slice_handlers(),
        stopping: tokio::sync::watch::Sender::new(false),
        readiness: Readiness::default(),
        signing_key,
        _lock: lock,
    })
}

/// Takes the data directory for this process, or refuses; it is made if it does not exist.
pub fn lock(dir: &Path) -> Result<fs::File> {
    try_lock(dir)?.ok_or_else(|| in_use(dir))
}

/// The error for a data directory that another process has.
pub fn in_use(dir: &Path) -> Error {
    Error::new(
        Code::InvalidState,
        format!(
            "The data directory {} is in use by another Strongback process. Stop it, or take another directory with --data-dir.",
            dir.display()
        ),
    )
}

/// Takes the data directory for this process unless another has it; it is made if it does not exist.
pub fn try_lock(dir: &Path) -> Result<Option<fs::File>> {
    let unusable = |error: std::io::Error| {
        Error::unavailable(format!("The data directory {} cannot be used: {error}.", dir.display()))
    };
    // Hashes of tokens and keys lie in it: for its owner alone, where it is made here.
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(unusable)?;
    let file = fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(dir.join("lock"))
        .map_err(unusable)?;
    if !file.try_lock_exclusive().map_err(unusable)? {
        return Ok(None);
    }
    // The address of a server that was killed: whoever listens there now is somebody else.
    match fs::remove_file(dir.join(ADDRESS_FILE)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(unusable(error)),
        _ => Ok(Some(file)),
    }
}

/// Tasks that run beside the requests.
pub struct Background {
    stop: tokio::sync::watch::Sender<bool>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Background {
    /// How long tasks may go on with what they are doing once they were told to stop.
    pub const PATIENCE: Duration = Duration::from_secs(15);

    /// Lets every task end after what it is doing; one that does not in time is given up.
    pub async fn stop(self, patience: Duration) {
        let _ = self.stop.send(true);
        let until = Instant::now() + patience;
        for mut task in self.tasks {
            match tokio::time::timeout_at(until, &mut task).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(%error, "a background task ended with a panic"),
                Err(_) => {
                    tracing::warn!(seconds = patience.as_secs(), "a background task did not end in time");
                    task.abort();
                }
            }
        }
    }
}

/// Starts the background tasks.
pub fn start_background(app: &Arc<App>) -> Background {
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let tasks = vec![
        tokio::spawn(checkpoints(Arc::clone(app), stopped.clone())),
        tokio::spawn(ops::tidy_figures(stopped.clone())),
        tokio::spawn(files::keep_clean(Arc::clone(app), stopped.clone())),
        tokio::spawn(crate::tables::keep_settled(Arc::clone(app), stopped.clone())),
        tokio::spawn(crate::registry::keep_clean(Arc::clone(app), stopped.clone())),
        tokio::spawn(crate::webhooks::background(Arc::clone(app), stopped.clone())),
        tokio::spawn(crate::jobs::work(Arc::clone(app), stopped.clone())),
        tokio::spawn(crate::jobs::keep_clean(Arc::clone(app), stopped.clone())),
        tokio::spawn(crate::features::background(Arc::clone(app), stopped.clone())),
        tokio::spawn(crate::serving::payload::background(Arc::clone(app), stopped.clone())),
        tokio::spawn(crate::monitoring::keep_watch(Arc::clone(app), stopped.clone())),
        tokio::spawn(crate::promotion::keep_clean(Arc::clone(app), stopped.clone())),
        tokio::spawn(crate::serving::follow::follow(Arc::clone(app), stopped.clone())),
        tokio::spawn(crate::tracking::background(Arc::clone(app), stopped)),
    ];
    Background { stop, tasks }
}

async fn checkpoints(app: Arc<App>, mut stopped: tokio::sync::watch::Receiver<bool>) {
    let mut maker = checkpoint::Maker::new(app.signing_key.clone());
    loop {
        let last = tokio::time::timeout(checkpoint::EVERY, stopped.changed()).await.is_ok();
        if let Err(error) = maker.make(&app.db).await {
            tracing::warn!(?error, "no checkpoint was made");
        }
        if last {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_does_not_end_is_given_up() {
        let (stop, mut stopped) = tokio::sync::watch::channel(false);
        let ends = tokio::spawn(async move {
            let _ = stopped.changed().await;
        });
        let endless = tokio::spawn(std::future::pending::<()>());
        let given_up = endless.abort_handle();
        let background = Background { stop, tasks: vec![endless, ends] };
        let stopping = background.stop(Duration::from_millis(50));
        tokio::time::timeout(Duration::from_secs(20), stopping).await.expect("it waits for ever");
        tokio::task::yield_now().await;
        assert!(given_up.is_finished());
    }
}
