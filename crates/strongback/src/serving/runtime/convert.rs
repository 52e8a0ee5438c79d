//! ONNX forms of models that Python made: the conversion, what is kept of it, and the file.
//!
//! What must stay true: a converted model is used only with a report that says on how many rows it gave the same answers; what
//! failed for want of a package or of memory is no finding about the model, and is tried again at the next load; the
//! report belongs to a digest of the original's files and to a version of the converter; the file is ours, beside the model's
//! own, and one whose digest is not the report's is made anew.

use std::{fs, path::Path};

use sha2::{Digest, Sha256};

use super::{
    files::{dir_of, make_dir, own_tag},
    report::{Report, RuntimeKind},
};
use crate::{
    bind,
    context::Ctx,
    error::{Code, Error, Result},
    serving::{
        signature::Schema,
        store,
        worker::{self, Launch},
    },
};

/// Counts the changes of the converter after which what it found before is found again.
const CONVERTER: i64 = 2;
/// Largest report that is read, in bytes.
const REPORT_BYTES_MAX: u64 = 4 << 20;
/// The converted model in the directory of the digest.
const FILE: &str = "model.onnx";

/// The report of a model, made now if there is none; with the verdict for ONNX its file is there.
pub(super) async fn report(ctx: &Ctx, digest: &str, model: &Path, schema: &Schema) -> Result<Report> {
    let dir = dir_of(&ctx.app, digest);
    if let Some(known) = stored(ctx, digest).await? {
        let is_whole = match &known.onnx_sha256 {
            Some(sha256) => file_digest(&dir.join(FILE)).is_some_and(|found| found == *sha256),
            None => true,
        };
        if is_whole {
            return Ok(known);
        }
    }
    let (launch, model, schema, of_dir) =
        (Launch::new(&ctx.app.config)?, model.to_owned(), schema.clone(), dir);
    let made = lake::meter::spawn_blocking(move || make(&launch, &model, &of_dir, &schema));
    let report = made.await.map_err(Error::internal)??;
    if report.is_passing {
        return Ok(report);
    }
    let (key, text) = (digest.to_owned(), serde_json::to_string(&report).map_err(Error::internal)?);
    ctx.app
        .db
        .derive(move |tx| {
            let now = tx.now();
            tx.execute(&store::RUNTIME_PUT, bind![&key, CONVERTER, &text, now]).map(|_| ())
        })
        .await?;
    Ok(report)
}

/// The converted model's file.
pub(super) fn file(ctx: &Ctx, digest: &str) -> std::path::PathBuf {
    dir_of(&ctx.app, digest).join(FILE)
}

/// What was found about a digest before.
pub async fn stored(ctx: &Ctx, digest: &str) -> Result<Option<Report>> {
    let key = digest.to_owned();
    let text = Ctx::system(&ctx.app)
        .read(move |sql| {
            crate::catalog::authorize_admin(sql, "read how models are run")?;
            sql.first(&store::RUNTIME_GET, bind![&key, CONVERTER], |row| row.get::<String>(0))
        })
        .await?;
    text.map(|text| serde_json::from_str(&text).map_err(Error::internal)).transpose()
}

fn make(launch: &Launch, model: &Path, dir: &Path, schema: &Schema) -> Result<Report> {
    let out = dir.join(format!("converting-{}{:08x}", own_tag(), rand::random::<u32>()));
    make_dir(&out)?;
    let outcome = make_in(launch, model, &out, dir, schema);
    let _ = fs::remove_dir_all(&out);
    outcome
}

fn make_in(launch: &Launch, model: &Path, out: &Path, dir: &Path, schema: &Schema) -> Result<Report> {
    worker::convert(launch, model, out, schema)?;
    // Code of the model's ran there: what it left may be a link, a pipe, or anything.
    let text = match plain(&out.join("report.json")).filter(|size| *size <= REPORT_BYTES_MAX) {
        Some(_) => fs::read(out.join("report.json")).map_err(Error::internal)?,
        None => return Err(no_report()),
    };
    let mut report: Report = serde_json::from_slice(&text).map_err(|_| no_report())?;
    if report.verdict == RuntimeKind::Onnx {
        plain(&out.join(FILE)).ok_or_else(no_report)?;
        report.onnx_sha256 = file_digest(&out.join(FILE));
        fs::File::open(out.join(FILE)).and_then(|file| file.sync_all()).map_err(Error::unwritten(out))?;
        fs::rename(out.join(FILE), dir.join(FILE)).map_err(Error::unwritten(dir))?;
    }
    Ok(report)
}

/// The size of what is a file, and no link to one.
fn plain(path: &Path) -> Option<u64> {
    fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file).map(|found| found.len())
}

fn no_report() -> Error {
    Error::new(Code::InvalidState, "The conversion left no report that can be read.")
}

fn file_digest(path: &Path) -> Option<String> {
    fs::read(path).ok().map(|bytes| hex::encode(Sha256::digest(bytes)))
}
