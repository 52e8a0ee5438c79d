//! A file in parts, which may come in any order and together.
//!
//! Each part is an object of its own on this machine until the upload is complete; then they become one. Completing twice answers the
//! same file, since clients repeat what they got no answer to.

use std::collections::BTreeSet;

use bytes::Bytes;
use futures::stream::BoxStream;
use serde_json::json;
use syntax::paths::ArtifactPath;
use uuid::Uuid;

use super::{
    Existing, FILE_BYTES_MAX, File, Guard, get,
    hold::hold,
    operations::{self, Intent, UPLOAD, parts_delete},
    put::{check_free, put_event, row_put},
    store, unnamed,
};
use crate::{
    auth, bind,
    context::Ctx,
    db::{Change, Row, Sql},
    error::{Code, Error, Result},
    events::{Event, EventKind, operation},
    objects::{Claim, ObjectId, Written, too_large},
};

/// Parts of an upload at most.
pub const PARTS_MAX: u32 = 10_000;

/// How often it is tried to complete an upload of which parts are stored again meanwhile.
const ATTEMPTS: usize = 3;

/// A part as a client names it when it completes an upload.
#[derive(Debug, Clone)]
pub struct PartGiven {
    /// From 1.
    pub number: u32,
    /// The entity tag that the part's upload answered, with or without quotes; empty if the client kept none.
    pub etag: String,
}

/// A part that is there.
#[derive(Debug, Clone)]
struct Part {
    number: u32,
    object: ObjectId,
    written: Written,
}

/// Begins an upload, of as many parts as are announced, if that is known.
pub async fn begin(
    ctx: &Ctx,
    guard: &Guard,
    path: &ArtifactPath,
    existing: Existing,
    parts: Option<u32>,
) -> Result<Uuid> {
    let (guard, path) = (guard.clone(), path.clone());
    ctx.write(move |tx| {
        let place = guard(tx)?;
        check_free(tx, &place.area, &path, existing)?;
        let (id, mut event) = operations::begin(tx, UPLOAD, &place, &path, (existing, parts))?;
        event.kind = EventKind::UploadBegin;
        Ok(Change::Made(id, event))
    })
    .await
}

/// Stores a part, in place of an earlier one of the same number. Answers its entity tag, in quotes.
pub async fn part(
    ctx: &Ctx,
    guard: &Guard,
    id: Uuid,
    number: u32,
    body: BoxStream<'_, Result<Bytes>>,
) -> Result<String> {
    check_number(number)?;
    let early = guard.clone();
    ctx.read(move |sql| {
        let place = early(sql)?;
        state(sql, id, &place.area)?.require_open(id)
    })
    .await?;
    let claim = ctx.app.objects.claim(ObjectId::random());
    let written = ctx.app.objects.write_part(&claim, FILE_BYTES_MAX, body).await?;
    let (guard, object) = (guard.clone(), claim.id());
    let put = ctx.write(move |tx| part_put(tx, &guard, id, number, &claim, &written)).await;
    let garbage = take_back(ctx, put, object).await?;
    ctx.app.objects.remove(garbage).await;
    Ok(format!("\"{}\"", hex::encode(written.sha256)))
}

fn part_put(
    tx: &mut Sql<'_>,
    guard: &Guard,
    id: Uuid,
    number: u32,
    claim: &Claim,
    written: &Written,
) -> Result<Change<Vec<ObjectId>>> {
    auth::renew(tx)?;
    let place = guard(tx)?;
    operation::open(tx, id, UPLOAD)?;
    let key = id.to_string();
    let before = tx.first(&store::PART_GET, bind![&key, i64::from(number)], read)?;
    let (object, size) = (claim.id().to_string(), written.size as i64);
    tx.execute(&store::PART_PUT, bind![&key, i64::from(number), &object, size, &written.sha256[..]])?;
    let garbage = unnamed(tx, &before.iter().map(|part| part.object).collect::<Vec<_>>())?;
    let event = Event::new(EventKind::UploadPart)
        .asset(place.asset, 0)
        .subject(place.subject)
        .operation(id)
        .detail(json!({ "part": number, "size": size, "sha256": hex::encode(written.sha256) }));
    Ok(Change::Made(garbage, event))
}

/// Makes the file out of the parts that the client names.
pub async fn complete(
    ctx: &Ctx,
    guard: &Guard,
    id: Uuid,
    path: &ArtifactPath,
    given: Vec<PartGiven>,
) -> Result<File> {
    let mut found = look(ctx, guard, id, path, &given).await?;
    let mut attempts = 0;
    loop {
        let parts = match found {
            Found::File(file) => return Ok(file),
            Found::Parts(parts) => parts,
        };
        let error = match finish(ctx, guard, id, path, &parts).await {
            Ok(Some(file)) => return Ok(file),
            Ok(None) => stored_again(id),
            Err(error) => error,
        };
        attempts += 1;
        // Another call may have completed it meanwhile and taken the parts away, or stored a part again.
        found = look(ctx, guard, id, path, &given).await?;
        if matches!(&found, Found::Parts(now) if attempts == ATTEMPTS || same(now, &parts)) {
            return Err(error);
        }
    }
}

/// The file of an upload that is complete already, or the parts that the client means as they are now.
async fn look(ctx: &Ctx, guard: &Guard, id: Uuid, path: &ArtifactPath, given: &[PartGiven]) -> Result<Found> {
    let (guard, path, given) = (guard.clone(), path.clone(), given.to_vec());
    ctx.read(move |sql| {
        let place = guard(sql)?;
        let state = state(sql, id, &place.area)?;
        state.require_path(id, &path)?;
        require_whole(&given, state.intent.parts)?;
        if state.state == "done" {
            return get(sql, &place.area, &path).map(Found::File);
        }
        state.require_open(id)?;
        // Before parts are made into one, which is not for nothing.
        check_free(sql, &place.area, &path, state.intent.existing)?;
        choose(given, stored(sql, id)?).map(Found::Parts)
    })
    .await
}

/// `None` if a part was stored again since it was looked at.
async fn finish(
    ctx: &Ctx,
    guard: &Guard,
    id: Uuid,
    path: &ArtifactPath,
    parts: &[Part],
) -> Result<Option<File>> {
    let (claim, written) = join(ctx, parts).await?;
    let (guard, path, parts) = (guard.clone(), path.clone(), parts.to_vec());
    // A part that is the file as it is belongs to the upload until this stands.
    let joined = Some(claim.id()).filter(|id| parts.iter().all(|part| part.object != *id));
    let whole = move |tx: &mut Sql<'_>| whole_put(tx, &guard, id, &path, &parts, (&claim, &written));
    let whole = ctx.write(whole).await;
    let (file, garbage) = match joined {
        Some(object) => take_back(ctx, whole, object).await?,
        None => whole?,
    };
    ctx.app.objects.remove(garbage).await;
    Ok(file)
}

/// Removes the new object of a write that was refused: nothing names it. What became of a write that failed otherwise may
/// be unknown; then the daily sweep looks.
async fn take_back<T>(ctx: &Ctx, outcome: Result<T>, object: ObjectId) -> Result<T> {
    if outcome.as_ref().is_err_and(|error| !error.is_ours()) {
        ctx.app.objects.remove(vec![object]).await;
    }
    outcome
}

fn same(some: &[Part], others: &[Part]) -> bool {
    some.iter().map(|part| part.object).eq(others.iter().map(|part| part.object))
}

fn stored_again(id: Uuid) -> Error {
    let message = format!(
        "Parts of the upload {id} were stored again each time that it was being completed. Complete it when all \
         parts are there."
    );
    Error::new(Code::ResourceConflict, message)
}

enum Found {
    File(File),
    Parts(Vec<Part>),
}

/// One object out of several. A single part is that object already.
async fn join(ctx: &Ctx, parts: &[Part]) -> Result<(Claim, Written)> {
    let objects = &ctx.app.objects;
    if let [only] = parts
        && objects.takes_parts_as_they_are()
    {
        return Ok((objects.claim(only.object), only.written));
    }
    let size: u64 = parts.iter().map(|part| part.written.size).sum();
    if size > FILE_BYTES_MAX {
        return Err(too_large(FILE_BYTES_MAX));
    }
    let claim = objects.claim(ObjectId::random());
    let written =
        objects.concat(&claim, parts.iter().map(|part| (part.object, part.written.size)).collect()).await?;
    Ok((claim, written))
}

fn whole_put(
    tx: &mut Sql<'_>,
    guard: &Guard,
    id: Uuid,
    path: &ArtifactPath,
    parts: &[Part],
    (claim, written): (&Claim, &Written),
) -> Result<Change<(Option<File>, Vec<ObjectId>)>> {
    auth::renew(tx)?;
    let place = hold(tx, guard, path)?;
    // Two may complete at once: the first one's file stands, and the second waits here to see it.
    operation::lock(tx, id)?;
    let State { state, intent } = state(tx, id, &place.area)?;
    if state == "done" {
        let file = get(tx, &place.area, path)?;
        let unused = if file.object == claim.id() { Vec::new() } else { vec![claim.id()] };
        return Ok(Change::Nothing((Some(file), unused)));
    }
    operation::open(tx, id, UPLOAD)?;
    // A part that came again took the object of the former one with it. None can come from here on.
    let now = stored(tx, id)?;
    if !parts.iter().all(|part| now.iter().any(|now| now.object == part.object)) {
        return Ok(Change::Nothing((None, unnamed(tx, &[claim.id()])?)));
    }
    check_free(tx, &place.area, path, intent.existing)?;
    let (file, mut garbage) = row_put(tx, &place, path, intent.existing, (claim.id(), written))?;
    let parts = parts_delete(tx, id)?;
    garbage.extend(unnamed(tx, &parts)?);
    operation::end(tx, id, "done")?;
    let event = put_event(&place, &file, id);
    Ok(Change::Made((Some(file), garbage), event))
}

/// Gives an upload up; its parts go. Nothing if that was done before.
pub async fn abort(ctx: &Ctx, guard: &Guard, id: Uuid) -> Result<()> {
    let guard = guard.clone();
    let garbage = ctx
        .write(move |tx| {
            let place = guard(tx)?;
            operation::lock(tx, id)?;
            let state = state(tx, id, &place.area)?;
            if state.state == "reverted" {
                return Ok(Change::Nothing(Vec::new()));
            }
            state.require_open(id)?;
            operation::open(tx, id, UPLOAD)?;
            let Some((mut event, garbage)) = operations::revert(tx, id, UPLOAD, &state.intent, "aborted")?
            else {
                return Ok(Change::Nothing(Vec::new()));
            };
            event.kind = EventKind::UploadAbort;
            Ok(Change::Made(garbage, event))
        })
        .await?;
    ctx.app.objects.remove(garbage).await;
    Ok(())
}

/// The path that an upload is for, for a caller whom the guard lets pass.
pub async fn path_of(ctx: &Ctx, guard: &Guard, id: Uuid) -> Result<ArtifactPath> {
    let guard = guard.clone();
    ctx.read(move |sql| {
        let place = guard(sql)?;
        Ok(ArtifactPath::parse(&state(sql, id, &place.area)?.intent.path)?)
    })
    .await
}

struct State {
    state: String,
    intent: Intent,
}

impl State {
    fn require_open(&self, id: Uuid) -> Result<()> {
        if self.state == "open" { Ok(()) } else { Err(gone(id)) }
    }

    fn require_path(&self, id: Uuid, path: &ArtifactPath) -> Result<()> {
        if self.intent.path == path.as_str() {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "Invalid value '{path}' for parameter 'path' supplied: the upload {id} is for '{}'.",
            self.intent.path
        )))
    }
}

/// An upload into an area; one into another area is as good as none.
fn state(sql: &mut Sql<'_>, id: Uuid, area: &str) -> Result<State> {
    let found = sql.first(&store::UPLOAD_GET, bind![&id.to_string()], |row| {
        Ok((row.get::<String>(0)?, row.get::<String>(1)?, row.get::<String>(2)?))
    })?;
    let Some((_, state, intent)) = found.filter(|(kind, ..)| kind == UPLOAD) else { return Err(gone(id)) };
    let intent = Intent::read(serde_json::from_str(&intent).map_err(Error::internal)?)?;
    if intent.area == area { Ok(State { state, intent }) } else { Err(gone(id)) }
}

fn gone(id: Uuid) -> Error {
    let message = format!(
        "The upload {id} is not open: it was completed, aborted, given up or never begun. Begin a new one."
    );
    Error::new(Code::ResourceDoesNotExist, message)
}

fn check_number(number: u32) -> Result<()> {
    if (1..=PARTS_MAX).contains(&number) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "Invalid value {number} for parameter 'part_number' supplied: it is 1 to {PARTS_MAX}."
    )))
}

/// Refuses a list of parts that leaves one out, of those before its last one and of those that were announced: what such a list makes
/// would be another file than the one that was sent.
fn require_whole(given: &[PartGiven], announced: Option<u32>) -> Result<()> {
    let last = given.iter().map(|part| part.number).max().unwrap_or_default();
    let last = announced.unwrap_or(last);
    let named: BTreeSet<u32> = given.iter().map(|part| part.number).collect();
    if let Some(absent) = (1..=last).find(|number| !named.contains(number)) {
        return Err(Error::invalid(format!(
            "Part {absent} of {last} is missing in 'parts': none has it for its 'part_number'. Upload all of them, and name all of them."
        )));
    }
    match named.last() {
        Some(more) if *more > last => Err(Error::invalid(format!(
            "Invalid value {more} for parameter 'parts.part_number' supplied: the upload was begun for {last} parts."
        ))),
        _ => Ok(()),
    }
}

/// The parts that a client names, in order.
fn choose(mut given: Vec<PartGiven>, stored: Vec<Part>) -> Result<Vec<Part>> {
    if given.is_empty() {
        return Err(Error::required("parts"));
    }
    given.sort_by_key(|part| part.number);
    if let Some(pair) = given.windows(2).find(|pair| pair[0].number == pair[1].number) {
        return Err(Error::invalid(format!("Part {} is named twice in 'parts'.", pair[0].number)));
    }
    given
        .iter()
        .map(|part| {
            let found = stored.iter().find(|stored| stored.number == part.number).ok_or_else(|| {
                Error::invalid(format!(
                    "Invalid value {} for parameter 'parts.part_number' supplied: that part was not uploaded. Upload \
                     it, then complete again.",
                    part.number
                ))
            })?;
            let (etag, digest) = (part.etag.trim_matches('"'), hex::encode(found.written.sha256));
            if etag.is_empty() || etag == digest {
                return Ok(found.clone());
            }
            let n = part.number;
            Err(Error::invalid(format!(
                "Part {n} has the etag \"{digest}\", not \"{etag}\". Upload it again."
            )))
        })
        .collect()
}

/// The parts of an upload that are there.
fn stored(sql: &mut Sql<'_>, id: Uuid) -> Result<Vec<Part>> {
    sql.all(&store::PARTS, bind![&id.to_string()], read)
}

fn read(row: &Row<'_>) -> Result<Part> {
    let sha256 = row.get::<Vec<u8>>(3)?.try_into();
    let sha256 = sha256.map_err(|_| Error::internal("a part's digest does not have 32 bytes"))?;
    Ok(Part {
        number: row.get::<i64>(0)? as u32,
        object: row.get::<String>(1)?.parse()?,
        written: Written { size: row.get::<i64>(2)? as u64, sha256 },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_chosen_in_order_and_checked() {
        let stored: Vec<Part> = [2, 1, 3]
            .map(|number| Part {
                number,
                object: ObjectId::random(),
                written: Written { size: 1, sha256: [number as u8; 32] },
            })
            .to_vec();
        let given = |parts: &[(u32, &str)]| -> Vec<PartGiven> {
            parts
                .iter()
                .map(|(number, etag)| PartGiven { number: *number, etag: (*etag).to_owned() })
                .collect()
        };
        let two = format!("\"{}\"", hex::encode([2; 32]));
        let chosen = choose(given(&[(3, ""), (2, &two), (1, "")]), stored.clone()).unwrap();
        assert_eq!(chosen.iter().map(|part| part.number).collect::<Vec<_>>(), [1, 2, 3]);
        let refused = |parts: &[(u32, &str)], why: &str| {
            let error = choose(given(parts), stored.clone()).unwrap_err();
            assert!(error.message().contains(why), "{error}");
        };
        refused(&[], "parts");
        refused(&[(4, "")], "value 4 for parameter 'parts.part_number'");
        refused(&[(1, ""), (1, "")], "twice");
        refused(&[(1, "abc")], "Part 1 has the etag");
    }

    #[test]
    fn no_part_is_left_out() {
        let check = |numbers: &[u32], announced: Option<u32>| {
            let given: Vec<_> =
                numbers.iter().map(|number| PartGiven { number: *number, etag: String::new() }).collect();
            require_whole(&given, announced).map_err(|error| error.message().to_owned())
        };
        for (numbers, announced) in [(&[1][..], None), (&[2, 1, 3], None), (&[3, 1, 2], Some(3)), (&[], None)]
        {
            assert_eq!(check(numbers, announced), Ok(()), "{numbers:?}");
        }
        for (numbers, announced, why) in [
            (&[1, 3][..], None, "Part 2 of 3 is missing"),
            (&[2], None, "Part 1 of 2 is missing"),
            (&[1], Some(2), "Part 2 of 2 is missing"),
            (&[1, 2, 3], Some(2), "begun for 2 parts"),
        ] {
            let refused = check(numbers, announced).unwrap_err();
            assert!(refused.contains(why), "{refused}");
        }
    }
}
