//! The environments of runs, read off the files of the models that they logged.

use std::collections::BTreeMap;

use futures::TryStreamExt as _;
use syntax::environment::{self, Environment};

use super::{Environments, Section, rows, side::Side};
use crate::{
    context::Ctx,
    error::{Error, Result},
    files::File,
};

/// Compares the environments of the runs that have one. Reading the files was authorised when they were found.
pub(super) async fn compare(ctx: &Ctx, sides: &[Side], all: bool) -> Result<Environments> {
    let mut known: Vec<Option<Environment>> = Vec::with_capacity(sides.len());
    let (mut from, mut unreadable) = (Vec::with_capacity(sides.len()), Vec::new());
    for side in sides {
        let (mut of_run, mut read) = (Environment::default(), Vec::new());
        for files in &side.models {
            let mut of_model = Environment::default();
            for (label, file) in files {
                match parse(ctx, label, file).await? {
                    Some(found) => {
                        of_model.complete_with(found);
                        read.push(label.clone());
                    }
                    None => unreadable.push(format!("{}: {label}", side.run.uuid)),
                }
            }
            of_run.join(of_model);
        }
        known.push((!read.is_empty()).then_some(of_run));
        from.push(read);
    }
    if known.iter().flatten().count() < 2 {
        let nothing = || Section { equal: 0, rows: Vec::new() };
        return Ok(Environments { from, unreadable, python: nothing(), packages: nothing() });
    }
    let python = |found: &Environment| -> BTreeMap<String, String> {
        found.python.iter().map(|said| ("python".to_owned(), said.clone())).collect()
    };
    let pythons: Vec<_> = known.iter().map(|found| found.as_ref().map(python)).collect();
    let packages: Vec<_> = known.into_iter().map(|found| Some(found?.packages)).collect();
    Ok(Environments { from, unreadable, python: rows(&pythons, all), packages: rows(&packages, all) })
}

/// What a file says; none where it is too large, no text or not of its form, or gone since it was found.
async fn parse(ctx: &Ctx, label: &str, file: &File) -> Result<Option<Environment>> {
    if file.size > environment::FILE_BYTES_MAX as u64 {
        return Ok(None);
    }
    let Some(stream) = ctx.app.objects.read(file.object, 0..file.size).await? else { return Ok(None) };
    let blocks: Vec<_> = stream.try_collect().await.map_err(Error::internal)?;
    let Ok(text) = String::from_utf8(blocks.concat()) else { return Ok(None) };
    let name = label.rsplit('/').next().unwrap_or_default().to_owned();
    // A client wrote it: the server's own threads do not wait for it.
    let read = tokio::task::spawn_blocking(move || match name.as_str() {
        "requirements.txt" => Ok(environment::read_requirements(&text)),
        "python_env.yaml" => environment::read_python_env(&text),
        _ => environment::read_conda(&text),
    });
    Ok(read.await.ok().and_then(Result::ok))
}
