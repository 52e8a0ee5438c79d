//! A file as a response: whole or a range, with validators, and never as something that a browser would run.

use std::ops::Range;

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request::Parts};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use syntax::paths::ArtifactPath;

use super::{
    File, Guard, get,
    range::{self, Wanted},
};
use crate::{
    context::Ctx,
    error::{Code, Error, Result},
    objects::Whole,
    time,
};

/// How often a file is looked up again that was replaced between finding its row and opening its object.
const ATTEMPTS: usize = 3;

/// Characters of a file name that RFC 8187 lets stand in a header.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Answers GET and HEAD for a file; `head` is the request's.
pub async fn serve(ctx: &Ctx, guard: &Guard, path: &ArtifactPath, head: &Parts) -> Result<Response> {
    for _ in 0..ATTEMPTS {
        let (reader, wanted) = (guard.clone(), path.clone());
        let file = ctx
            .read(move |sql| {
                let place = reader(sql)?;
                get(sql, &place.area, &wanted)
            })
            .await?;
        if let Some(response) = answer(ctx, &file, path, head).await? {
            return Ok(response);
        }
    }
    tracing::error!(%path, "the object of a recorded file is missing");
    Err(lost(path, "its bytes are gone from where artifacts are kept"))
}

/// Not an error of the server's kind: clients repeat those for minutes, and this does not pass.
fn lost(path: &ArtifactPath, what: &str) -> Error {
    Error::new(
        Code::ResourceDoesNotExist,
        format!(
            "The file '{path}' is recorded, but {what}. Bring them back from a backup; \
             strongback artifacts verify says what else is missing or damaged."
        ),
    )
    .with_status(StatusCode::GONE.as_u16())
}

/// `None` if the object is gone, because the file was replaced in this moment.
async fn answer(ctx: &Ctx, file: &File, path: &ArtifactPath, head: &Parts) -> Result<Option<Response>> {
    let facts = Facts { size: file.size, etag: file.etag(), changed_at: file.created_at };
    respond(&facts, path, head, async |range| bytes(ctx, file, &range).await).await
}

/// What a response tells of a file besides its bytes.
pub(super) struct Facts {
    /// Bytes.
    pub size: u64,
    /// Entity tag, with its quotes.
    pub etag: String,
    /// When it was put there, milliseconds since the epoch.
    pub changed_at: i64,
}

/// What a request asks for, of the bytes that `read` gives; `None` if they are gone.
pub(super) async fn respond(
    file: &Facts,
    path: &ArtifactPath,
    head: &Parts,
    read: impl AsyncFnOnce(Range<u64>) -> Result<Whole>,
) -> Result<Option<Response>> {
    let headers = &head.headers;
    if let Some(status) = precondition(file, headers) {
        return describe(status.into_response(), file, path).map(Some);
    }
    let wanted = match header_text(headers, &header::IF_RANGE) {
        Some(tag) if tag != file.etag && tag != time::http(file.changed_at) => Wanted::Whole,
        _ => range::parse(header_text(headers, &header::RANGE), file.size),
    };
    let (status, range) = match wanted {
        Wanted::Whole => (StatusCode::OK, 0..file.size),
        Wanted::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Wanted::Nothing => return Ok(Some(beyond(file))),
    };
    let body = if head.method == Method::HEAD {
        Body::empty()
    } else {
        match read(range.clone()).await? {
            Whole::Bytes(stream) => Body::from_stream(stream),
            Whole::Gone => return Ok(None),
            Whole::Damaged => return Err(lost(path, "its bytes are not those that were stored")),
        }
    };
    let mut response = (status, body).into_response();
    set(&mut response, header::CONTENT_LENGTH, &(range.end - range.start).to_string())?;
    if status == StatusCode::PARTIAL_CONTENT {
        let text = format!("bytes {}-{}/{}", range.start, range.end - 1, file.size);
        set(&mut response, header::CONTENT_RANGE, &text)?;
    }
    describe(response, file, path).map(Some)
}

/// The bytes of a range. Those of a whole file are compared with its digest.
async fn bytes(ctx: &Ctx, file: &File, range: &Range<u64>) -> Result<Whole> {
    let objects = &ctx.app.objects;
    if *range == (0..file.size) {
        return objects.read_whole(file.object, file.size, &file.sha256).await;
    }
    objects.read_range(file.object, range.clone()).await
}

/// The status by which a condition of the request ends it.
fn precondition(file: &Facts, headers: &HeaderMap) -> Option<StatusCode> {
    let has_tag = |tags: &str| {
        tags.split(',').map(str::trim).any(|tag| tag == "*" || tag.trim_start_matches("W/") == file.etag)
    };
    let since = |name| header_text(headers, name).and_then(time::parse_http);
    let changed_at = file.changed_at.div_euclid(1000);
    if let Some(tags) = header_text(headers, &header::IF_MATCH) {
        if !has_tag(tags) {
            return Some(StatusCode::PRECONDITION_FAILED);
        }
    } else if since(&header::IF_UNMODIFIED_SINCE).is_some_and(|at| changed_at > at) {
        return Some(StatusCode::PRECONDITION_FAILED);
    }
    let unchanged = match header_text(headers, &header::IF_NONE_MATCH) {
        Some(tags) => has_tag(tags),
        None => since(&header::IF_MODIFIED_SINCE).is_some_and(|at| changed_at <= at),
    };
    unchanged.then_some(StatusCode::NOT_MODIFIED)
}

fn beyond(file: &Facts) -> Response {
    let message = format!("The range lies behind the end of the file, which has {} bytes.", file.size);
    let error = Error::new(Code::BadRequest, message).with_status(StatusCode::RANGE_NOT_SATISFIABLE.as_u16());
    let mut response = error.into_response();
    if let Ok(value) = HeaderValue::from_str(&format!("bytes */{}", file.size)) {
        response.headers_mut().insert(header::CONTENT_RANGE, value);
    }
    response
}

/// Validators, type and the headers that keep a browser from running what somebody uploaded.
fn describe(mut response: Response, file: &Facts, path: &ArtifactPath) -> Result<Response> {
    let name = path.file_name().unwrap_or("file");
    let encoded = utf8_percent_encode(name, PLAIN);
    let fallback: String = name
        .chars()
        .map(|c| if c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '%') { c } else { '_' })
        .collect();
    let disposition = format!("attachment; filename=\"{fallback}\"; filename*=UTF-8''{encoded}");
    set(&mut response, header::CONTENT_DISPOSITION, &disposition)?;
    set(&mut response, header::CONTENT_TYPE, media_type(name))?;
    set(&mut response, header::CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'")?;
    set(&mut response, header::ACCEPT_RANGES, "bytes")?;
    set(&mut response, header::ETAG, &file.etag)?;
    set(&mut response, header::LAST_MODIFIED, &time::http(file.changed_at))?;
    Ok(response)
}

fn set(response: &mut Response, name: HeaderName, value: &str) -> Result<()> {
    let value = HeaderValue::from_str(value).map_err(Error::internal)?;
    response.headers_mut().insert(name, value);
    Ok(())
}

fn header_text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// The media type by the name, for pages that show files. Text is text whatever it is written in, except what a page
/// must know the type of.
fn media_type(name: &str) -> &'static str {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending).to_ascii_lowercase();
    match ending.as_str() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "svg" => "image/svg+xml",
        "bmp" => "image/bmp",
        "pdf" => "application/pdf",
        "html" | "htm" => "text/html; charset=utf-8",
        "json" | "geojson" => "application/json",
        "csv" => "text/csv; charset=utf-8",
        "mp3" => "audio/mpeg",
        "wav" => "audio/wav",
        "mp4" => "video/mp4",
        "txt" | "log" | "md" | "py" | "r" | "js" | "yaml" | "yml" | "toml" | "ini" | "cfg" | "sh" | "sql"
        | "tsv" | "xml" | "err" => "text/plain; charset=utf-8",
        "" if matches!(name, "MLmodel" | "MLproject" | "mlproject" | "LICENSE" | "README") => {
            "text/plain; charset=utf-8"
        }
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_end_a_request_as_rfc_9110_says() {
        let file = Facts { size: 1, etag: "\"ab\"".into(), changed_at: 784_111_777_500 };
        let check = |name: &str, value: &str, expected: Option<u16>| {
            let mut headers = HeaderMap::new();
            headers.insert(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
            assert_eq!(
                precondition(&file, &headers).map(|status| status.as_u16()),
                expected,
                "{name}: {value}"
            );
        };
        check("if-none-match", "\"ab\"", Some(304));
        check("if-none-match", "\"x\", W/\"ab\"", Some(304));
        check("if-none-match", "*", Some(304));
        check("if-none-match", "\"x\"", None);
        check("if-match", "\"ab\"", None);
        check("if-match", "\"x\"", Some(412));
        check("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT", Some(304));
        check("if-modified-since", "Sun, 06 Nov 1994 08:49:36 GMT", None);
        check("if-unmodified-since", "Sun, 06 Nov 1994 08:49:37 GMT", None);
        check("if-unmodified-since", "Sun, 06 Nov 1994 08:49:36 GMT", Some(412));
        check("if-modified-since", "nonsense", None);
    }

    #[test]
    fn names_cannot_break_out_of_the_header() {
        let file = Facts { size: 1, etag: "\"\"".into(), changed_at: 0 };
        let path = ArtifactPath::parse("d/ü\" x.html").unwrap();
        let response = describe(Response::new(Body::empty()), &file, &path).unwrap();
        assert_eq!(
            response.headers()["content-disposition"],
            "attachment; filename=\"___x.html\"; filename*=UTF-8''%C3%BC%22%20x.html"
        );
        assert!(response.headers()["content-security-policy"].to_str().unwrap().starts_with("sandbox"));
    }
}
