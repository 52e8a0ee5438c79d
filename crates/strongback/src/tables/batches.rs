//! `PUT …/batches/{batch_id}`: rows land, exactly once.

use axum::{body::Body, response::Response};
use http::{Method, Request, header};
use lake::{
    commit::Mode,
    decode::{BadRow, ColumnReport, Format, Report, Source},
    schema::Declared,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use syntax::names::{FullName, fold_case};

use super::{
    hold::to_the_end,
    land::{self, Landed, Wanted},
    managed, spool,
};
use crate::{
    catalog::{Action, securable::check_text},
    context::Ctx,
    error::{Error, Result},
    files::{
        FILE_BYTES_MAX,
        http::{body_stream, param, read_query},
    },
    objects::ObjectId,
    router::{
        Limits, PathParams, Policy, Route,
        wire::{flag, json_response},
    },
};

const ONE: &str = "/api/1.0/tables/{full_name}/batches/{batch_id}";
/// Longest id of a batch, in characters.
const BATCH_CHARS_MAX: usize = 200;
/// Longest description of a table, in characters.
const COMMENT_CHARS_MAX: usize = 20_000;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::raw(
            Method::PUT,
            ONE,
            Policy::Asset(Action::Edit),
            Limits::STREAM,
            "Let rows land in a table, exactly once a batch id",
            put,
        )
        .taking_query::<BatchRequest>()
        .taking_bytes()
        .giving::<BatchResponse>(),
    ]
}

/// How the body is read and what becomes of it.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub struct BatchRequest {
    /// `csv`, `json` (an object a line), `parquet` or `arrow` (an IPC stream); absent, the content type says it.
    pub format: Option<String>,
    /// `append`, or `overwrite`: the rows take the place of all others.
    pub mode: Option<String>,
    /// Whether the table is made if it does not exist.
    #[serde(default, deserialize_with = "flag")]
    pub create: bool,
    /// Description of a new table.
    pub comment: Option<String>,
    /// A table for rows that do not fit, made if it does not exist. Without one they stop the batch.
    pub quarantine: Option<String>,
    /// What stands between two values of a CSV file; a comma if absent.
    pub delimiter: Option<String>,
    /// A text that means "no value" in a CSV file, beside the empty one.
    pub null: Option<String>,
    /// Whether names of columns become lower case letters, digits and underscores.
    #[serde(default, deserialize_with = "flag")]
    pub clean_names: bool,
    /// Types that are not guessed, as `name:type,name:type`.
    pub types: Option<String>,
    /// Reads the body, says what it holds and writes nothing.
    #[serde(default, deserialize_with = "flag")]
    pub dry_run: bool,
}

/// What landed.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct BatchResponse {
    /// `catalog.schema.table`
    pub table: String,
    /// The version that the rows made; absent where nothing was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// Whether the batch had landed before: nothing was written now.
    pub is_repeat: bool,
    /// Rows that landed, or would.
    pub rows: u64,
    /// Rows that do not fit.
    pub bad_rows: u64,
    /// The first of those.
    pub first_bad_rows: Vec<BadRow>,
    /// The table's columns.
    pub columns: Vec<ColumnReport>,
    /// Columns of the table that the file does not have; they are null.
    pub absent_columns: Vec<String>,
}

impl BatchResponse {
    fn new(table: String, version: Option<u64>, is_repeat: bool, report: Report) -> Self {
        Self {
            table,
            version,
            is_repeat,
            rows: report.rows,
            bad_rows: report.bad_rows,
            first_bad_rows: report.first_bad_rows,
            columns: report.columns,
            absent_columns: report.absent_columns,
        }
    }

    fn landed(landed: &Landed) -> Result<Self> {
        let report = serde_json::from_str(&landed.report).map_err(Error::internal)?;
        Ok(Self::new(managed::show(&landed.name), Some(landed.version), landed.is_repeat, report))
    }
}

async fn put(ctx: Ctx, params: PathParams, request: Request<Body>) -> Result<Response> {
    let asked: BatchRequest = read_query(request.uri().query())?;
    let content_type =
        request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let wanted = wanted(&asked, &params, content_type)?;
    land::check(&ctx, &wanted).await?;
    let spool = spool::ready(&ctx.app).await?;
    let body = body_stream(request);
    // What was begun goes on to its end, also where nobody waits for it any more: a file that is there by then is landed or
    // removed.
    let work = async move {
        let claim = spool.claim(ObjectId::random());
        let written = match spool.write(&claim, FILE_BYTES_MAX, body).await {
            Ok(written) => written,
            Err(error) => {
                spool.remove(vec![claim.id()]).await;
                return Err(error);
            }
        };
        if asked.dry_run {
            let report = land::inspect(&ctx, &wanted, &claim).await;
            spool.remove(vec![claim.id()]).await;
            return Ok(BatchResponse::new(managed::show(&wanted.name), None, false, report?));
        }
        BatchResponse::landed(&land::land(ctx, wanted, claim, written).await?)
    };
    json_response(&to_the_end(work).await?)
}

/// The id of a batch in the path of a request.
pub fn batch_id_of(params: &PathParams) -> Result<String> {
    let batch_id = param(params, "batch_id");
    check_text("batch_id", batch_id, BATCH_CHARS_MAX)?;
    if batch_id.is_empty() || batch_id.chars().any(char::is_control) {
        return Err(Error::invalid(format!(
            "Invalid value {batch_id:?} for parameter 'batch_id' supplied: it is one to {BATCH_CHARS_MAX} printable characters."
        )));
    }
    Ok(batch_id.to_owned())
}

fn wanted(asked: &BatchRequest, params: &PathParams, content_type: &str) -> Result<Wanted> {
    let batch_id = batch_id_of(params)?;
    let comment = asked.comment.clone().unwrap_or_default();
    check_text("comment", &comment, COMMENT_CHARS_MAX)?;
    let quarantine = asked.quarantine.as_deref().filter(|name| !name.is_empty());
    let (name, quarantine) =
        (managed::parse(param(params, "full_name"))?, quarantine.map(managed::parse).transpose()?);
    let folded = |name: &FullName| fold_case(&managed::show(name));
    if quarantine.as_ref().is_some_and(|other| folded(other) == folded(&name)) {
        return Err(Error::invalid("A table cannot be its own quarantine table. Name another one."));
    }
    Ok(Wanted {
        name,
        batch_id,
        create: asked.create,
        comment,
        mode: mode(asked.mode.as_deref())?,
        source: Source {
            path: std::path::PathBuf::new(),
            format: format(asked.format.as_deref(), content_type)?,
            delimiter: delimiter(asked.delimiter.as_deref())?,
            null: asked.null.clone(),
            clean_names: asked.clean_names,
            declared: types(asked.types.as_deref().unwrap_or_default())?,
        },
        quarantine,
    })
}

fn one_of<T: Copy>(field: &str, given: &str, known: &[(&str, T)]) -> Result<T> {
    known.iter().find(|(name, _)| name.eq_ignore_ascii_case(given)).map(|(_, value)| *value).ok_or_else(
        || {
            let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
            Error::invalid(format!(
                "Invalid value '{given}' for parameter '{field}' supplied: it is one of {}.",
                names.join(", ")
            ))
        },
    )
}

fn mode(given: Option<&str>) -> Result<Mode> {
    one_of("mode", given.unwrap_or("append"), &[("append", Mode::Append), ("overwrite", Mode::Overwrite)])
}

/// The format of this name.
pub fn format_named(given: &str) -> Result<Format> {
    const KNOWN: &[(&str, Format)] = &[
        ("csv", Format::Csv),
        ("json", Format::Json),
        ("parquet", Format::Parquet),
        ("arrow", Format::Arrow),
    ];
    one_of("format", given, KNOWN)
}

fn format(given: Option<&str>, content_type: &str) -> Result<Format> {
    match given {
        Some(given) => format_named(given),
        None => land::format_of(content_type).ok_or_else(|| {
            Error::invalid(format!(
                "The content type '{content_type}' says no format that rows come in. Send format=csv, json, parquet or arrow."
            ))
        }),
    }
}

fn delimiter(given: Option<&str>) -> Result<u8> {
    match given.map(str::as_bytes) {
        None => Ok(b','),
        Some(b"\\t" | b"tab") => Ok(b'\t'),
        Some([byte]) if byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r') => Ok(*byte),
        Some(_) => Err(Error::invalid(format!(
            "Invalid value '{}' for parameter 'delimiter' supplied: it is one ASCII character such as , or ; or tab.",
            given.unwrap_or_default()
        ))),
    }
}

/// Reads `name:type,name:type`; a type may have a comma in its parentheses.
fn types(given: &str) -> Result<Vec<Declared>> {
    let mut declared = Vec::new();
    for part in split_outside(given) {
        let (name, kind) = part.rsplit_once(':').ok_or_else(|| {
            Error::invalid(format!(
                "Invalid value '{part}' for parameter 'types' supplied: a type is given as name:type, such as amount:double."
            ))
        })?;
        declared.push(Declared {
            name: name.trim().to_owned(),
            type_text: kind.trim().to_owned(),
            nullable: true,
        });
    }
    Ok(declared)
}

fn split_outside(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0_u32, 0, Vec::new());
    for (at, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts.into_iter().map(str::trim).filter(|part| !part.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_split_outside_of_parentheses() {
        let declared = types("amount:decimal(10,2), a:b:long").unwrap();
        let said: Vec<(&str, &str)> =
            declared.iter().map(|one| (one.name.as_str(), one.type_text.as_str())).collect();
        assert_eq!(said, [("amount", "decimal(10,2)"), ("a:b", "long")]);
        assert!(types("amount").unwrap_err().message().contains("name:type"));
        assert!(types("").unwrap().is_empty());
    }

    #[test]
    fn a_delimiter_is_one_character() {
        assert_eq!(delimiter(None).unwrap(), b',');
        assert_eq!(delimiter(Some("\\t")).unwrap(), b'\t');
        for wrong in ["", "ab", "\"", "ü"] {
            assert!(delimiter(Some(wrong)).is_err(), "{wrong}");
        }
    }
}
