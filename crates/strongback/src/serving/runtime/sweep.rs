//! What of models lies in the data directory for nobody: what a server that died left half-made, and files of versions that no
//! endpoint serves.
//!
//! What must stay true: nothing goes that this process makes or has in use; files of versions that are only judged stay for a day
//! after they were asked for last.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::files::{models_dir, own_tag};
use crate::{
    bind,
    catalog::authorize_admin,
    context::{App, Ctx},
    error::{Error, Result},
    serving::store,
};

/// How long files stay after they were asked for last.
const KEPT: Duration = Duration::from_hours(24);

/// Removes it.
pub async fn sweep(app: &Arc<App>) -> Result<()> {
    let system = Ctx::system(app);
    let living = system.read(|sql| {
        authorize_admin(sql, "see what is served")?;
        sql.all(&store::ENDPOINT_LIVING, bind![], |row| row.get::<String>(5))
    });
    let digests = living.await?.into_iter().chain(app.serving.digests());
    let used: HashSet<PathBuf> = digests.map(|digest| super::files::dir_of(app, &digest)).collect();
    let (models, workers) = (models_dir(app), app.config.data_dir.value.join("serving").join("workers"));
    let removed = tokio::task::spawn_blocking(move || {
        let unfinished = below(&models).iter().map(|dir| remove(dir, is_left_over)).sum::<usize>();
        let unused = remove(&models, |path| !used.contains(path) && is_old(path));
        (unfinished + remove(&workers, is_left_over), unused)
    });
    let (unfinished, unused) = removed.await.map_err(Error::internal)?;
    if unfinished + unused > 0 {
        tracing::info!(unfinished, unused, "directories of models that nobody needs were removed");
    }
    Ok(())
}

fn below(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path()).collect()
}

/// Removes the directories in this one of which that is true. Answers how many.
fn remove(dir: &Path, is_gone: impl Fn(&Path) -> bool) -> usize {
    let gone = below(dir).into_iter().filter(|path| path.is_dir() && is_gone(path));
    gone.filter(|path| {
        let removed = fs::remove_dir_all(path);
        if let Err(error) = &removed {
            tracing::warn!(path = %path.display(), %error, "what nobody needs cannot be removed");
        }
        removed.is_ok()
    })
    .count()
}

/// Whether another process began to make this, which held the data directory before this one.
fn is_left_over(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let rest = ["partial-", "converting-", "w"].iter().find_map(|kind| name.strip_prefix(kind));
    rest.is_some_and(|rest| !rest.starts_with(own_tag()))
}

fn is_old(path: &Path) -> bool {
    let changed = fs::metadata(path).and_then(|data| data.modified());
    changed.is_ok_and(|at| SystemTime::now().duration_since(at).is_ok_and(|age| age > KEPT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_left_goes_and_what_is_made_here_stays() {
        let dir = tempfile::tempdir().unwrap();
        let own = [format!("partial-{}1", own_tag()), format!("w{}2", own_tag()), "files".to_owned()];
        let left = ["partial-zz12", "converting-zz12", "wzz12"].map(str::to_owned);
        for name in own.iter().chain(&left) {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        assert_eq!(remove(dir.path(), is_left_over), left.len());
        for name in &own {
            assert!(dir.path().join(name).exists(), "{name}");
        }
        assert!(!is_old(dir.path()));
    }
}
