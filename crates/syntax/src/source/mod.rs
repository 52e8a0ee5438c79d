//! Where a model version comes from, as clients say it: `models:/m-…`, `runs:/…/model`, `mlflow-artifacts:/…`,
//! `s3://…` and their like.
//!
//! What must stay true:
//! - A source that parses cannot climb: every path in it has passed [`crate::paths`], in all its decodings.
//! - Parsing looks nothing up. Whether the run, model, version or alias exists, and whether the caller may read it, is
//!   for the caller to find out; a [`SourceUri::Local`] must be shown to lie below the artifacts of the run or the logged model that is named with it.

use crate::names::{FullName, NameError, check_alias, check_model_name, shown};
use crate::paths::{ArtifactPath, PathError};

mod places;

/// Longest source, in bytes.
pub const SOURCE_BYTES_MAX: usize = 2048;

/// Object stores, cluster file systems and hosts of files whose addresses are kept as they are, since clients go there by
/// themselves. The server calls none of them for what a client says.
pub const EXTERNAL_SCHEMES: [&str; 16] = [
    "s3", "s3a", "gs", "abfs", "abfss", "wasb", "wasbs", "adl", "r2", "b2", "oss", "hdfs", "viewfs", "dbfs",
    "ftp", "sftp",
];

/// Stages of model versions, as old clients name them.
pub const STAGES: [&str; 4] = ["None", "Staging", "Production", "Archived"];

/// A source of a model version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceUri {
    /// `models:/m-<32 hex digits>`
    LoggedModel {
        /// With its `m-`, hex digits in small letters.
        model_id: String,
    },
    /// `models:/<name>/<version>`
    ModelVersion {
        /// Wire name or three-level name.
        name: String,
        /// From 1.
        version: u64,
    },
    /// `models:/<name>@<alias>`
    ModelAlias {
        /// Wire name or three-level name.
        name: String,
        /// The alias, case kept.
        alias: String,
    },
    /// `models:/<name>/latest` and `models:/<name>/<stage>`: the highest version, or the highest in a stage.
    ModelLatest {
        /// Wire name or three-level name.
        name: String,
        /// One of [`STAGES`], in their case; none where all are meant.
        stage: Option<&'static str>,
    },
    /// `runs:/<run>/<path>`: relative to the run's artifacts, wherever they are.
    RunRelative {
        /// 32 hex digits, in small letters.
        run_id: String,
        /// Below the run's artifact root; may be the root.
        path: ArtifactPath,
    },
    /// Artifacts of a run, addressed by place.
    RunArtifacts {
        /// Which of the address forms was used.
        root: ArtifactRoot,
        /// 32 hex digits, in small letters.
        run_id: String,
        /// Below the run's artifact root; may be the root.
        path: ArtifactPath,
    },
    /// Artifacts of a logged model, addressed by place.
    LoggedModelArtifacts {
        /// Which of the address forms was used.
        root: ArtifactRoot,
        /// `m-` and 32 hex digits, in small letters.
        model_id: String,
        /// Below the model's artifact root; may be the root.
        path: ArtifactPath,
    },
    /// `/Models/<catalog>/<schema>/<model>/<version>/…`: files of a governed model version in the Files API.
    VersionFiles {
        /// The governed model.
        name: FullName,
        /// From 1.
        version: u64,
        /// Below the version's files; may be the root.
        path: ArtifactPath,
    },
    /// `mlflow-artifacts:/versions/<model id>/<version>`: where the proxy gives out the files of a version.
    PinnedFiles {
        /// The registered model's id, which stays when it is renamed: a UUID in small letters.
        model_uuid: String,
        /// From 1.
        version: u64,
        /// Below the version's files; may be the root.
        path: ArtifactPath,
    },
    /// `/path`, `file:/path`: a place on the server's own disk.
    Local {
        /// Below `/`.
        path: ArtifactPath,
    },
    /// An object store or cluster file system, one of [`EXTERNAL_SCHEMES`].
    External {
        /// In small letters.
        scheme: String,
        /// Bucket or host; empty for `dbfs:/…`.
        authority: String,
        /// Below the authority; may be the root.
        path: ArtifactPath,
    },
    /// A word that addresses nothing, such as the `dummy-source` of prompts.
    Opaque(String),
}

/// How artifacts were addressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ArtifactRoot {
    /// `mlflow-artifacts:/<the experiment's place>/<run>/artifacts`, through the proxy.
    Proxied,
    /// `dbfs:/databricks/mlflow-tracking/<exp>/<run>/artifacts`.
    Workspace,
    /// `/WorkspaceInternal/Mlflow/Artifacts/<exp>/Runs/<run>/artifacts`, the same place in the Files API.
    Files,
}

/// A refused source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Invalid model version source: '{source_shown}'. {problem}")]
pub struct SourceError {
    /// The source as an error shows it: shortened, control characters escaped.
    pub source_shown: String,
    /// What was wrong, and what to do.
    pub problem: SourceProblem,
}

/// A refused place for artifacts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Invalid artifact location: '{location_shown}'. {problem}")]
pub struct LocationError {
    /// The place as an error shows it: shortened, control characters escaped.
    pub location_shown: String,
    /// What was wrong, and what to do.
    pub problem: SourceProblem,
}

/// Why a source is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceProblem {
    /// Nothing there.
    #[error("It is empty; name a logged model, a run's artifact or an address in an object store.")]
    Empty,
    /// Too long to be meant.
    #[error("It exceeds the maximum length of {SOURCE_BYTES_MAX} bytes.")]
    TooLong,
    /// A scheme that is not served.
    #[error(
        "The scheme '{0}' is not accepted; use models:, runs:, mlflow-artifacts: or an object store such as s3:."
    )]
    Scheme(String),
    /// The same, of where artifacts are to be kept.
    #[error(
        "The scheme '{0}' is not accepted; leave it out for the server's own artifacts, or name an object store such as s3:."
    )]
    LocationScheme(String),
    /// A path that climbs or hides something.
    #[error("{0}")]
    Path(#[from] PathError),
    /// A name or alias that breaks its rules.
    #[error("{0}")]
    Name(#[from] NameError),
    /// A host where none belongs, a user or a password.
    #[error("The host part '{0}' does not belong there; leave it out.")]
    Authority(String),
    /// A query or a fragment.
    #[error("A query or fragment does not belong there; leave out what follows '?' or '#'.")]
    QueryOrFragment,
    /// The right scheme, but not its form.
    #[error("Write it as {0}.")]
    Form(&'static str),
}

impl SourceUri {
    /// Reads a source.
    pub fn parse(source: &str) -> Result<Self, SourceError> {
        parse(source).map_err(|problem| SourceError { source_shown: shown(source), problem })
    }
}

fn parse(source: &str) -> Result<SourceUri, SourceProblem> {
    if source.trim().is_empty() {
        return Err(SourceProblem::Empty);
    }
    if source.len() > SOURCE_BYTES_MAX {
        return Err(SourceProblem::TooLong);
    }
    if source.starts_with('/') {
        return places::absolute_path(source);
    }
    let Some((scheme, rest)) = split_scheme(source) else {
        return opaque(source);
    };
    match scheme.as_str() {
        "models" => models(rest),
        "runs" => runs(rest),
        "mlflow-artifacts" => places::proxied(rest),
        "file" => places::local(local_part(rest)?),
        "dbfs" => places::dbfs(rest),
        known if EXTERNAL_SCHEMES.contains(&known) => external(scheme, rest),
        _ => Err(SourceProblem::Scheme(shown(&scheme))),
    }
}

/// Refuses what is no place for an experiment's artifacts. One is below the proxy of the server, in an object store or a cluster's file
/// system, or on a disk, which is the client's: the server opens none of them but its own.
pub fn check_artifact_location(location: &str) -> Result<(), LocationError> {
    check_location(location).map_err(|problem| LocationError { location_shown: shown(location), problem })
}

fn check_location(location: &str) -> Result<(), SourceProblem> {
    const FORM: &str = "an absolute path or a URI, such as s3://<bucket>/<path>";
    if location.len() > SOURCE_BYTES_MAX {
        return Err(SourceProblem::TooLong);
    }
    if location.starts_with('/') {
        return places::local(location).map(|_| ());
    }
    let (scheme, rest) = split_scheme(location).ok_or(SourceProblem::Form(FORM))?;
    match scheme.as_str() {
        "mlflow-artifacts" | "dbfs" => plain_path(rooted(rest)?).map(|_| ()),
        "file" => places::local(local_part(rest)?).map(|_| ()),
        known if EXTERNAL_SCHEMES.contains(&known) => external(scheme, rest).map(|_| ()),
        _ => Err(SourceProblem::LocationScheme(shown(&scheme))),
    }
}

/// The scheme in small letters and what follows its colon.
fn split_scheme(source: &str) -> Option<(String, &str)> {
    let (scheme, rest) = source.split_once(':')?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    let valid = scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.chars().all(allowed);
    valid.then(|| (scheme.to_ascii_lowercase(), rest))
}

/// A single harmless word.
fn opaque(source: &str) -> Result<SourceUri, SourceProblem> {
    let path = ArtifactPath::parse(source)?;
    if source.contains(['/', ':', '%', '?']) {
        return Err(SourceProblem::Form(
            "an absolute path or a URI, such as models:/<model id> or s3://<bucket>/<path>",
        ));
    }
    Ok(SourceUri::Opaque(path.as_str().to_owned()))
}

/// `/m-…`, `/<name>/<version>`, `/<name>@<alias>`
fn models(rest: &str) -> Result<SourceUri, SourceProblem> {
    const FORM: &str = "models:/<model id>, models:/<name>/<version>, models:/<name>/latest, models:/<name>/<stage> or models:/<name>@<alias>";
    let named = rooted(rest)?;
    if let Some(model_id) = read_model_id(named) {
        return Ok(SourceUri::LoggedModel { model_id });
    }
    ArtifactPath::parse(named)?;
    if let Some((name, version)) = named.split_once('/') {
        check_model_name(name)?;
        let name = name.to_owned();
        if version.eq_ignore_ascii_case("latest") {
            return Ok(SourceUri::ModelLatest { name, stage: None });
        }
        if let Some(stage) = STAGES.into_iter().find(|stage| stage.eq_ignore_ascii_case(version)) {
            return Ok(SourceUri::ModelLatest { name, stage: Some(stage) });
        }
        let version = read_version(version).ok_or(SourceProblem::Form(FORM))?;
        return Ok(SourceUri::ModelVersion { name, version });
    }
    let (name, alias) = named.rsplit_once('@').ok_or(SourceProblem::Form(FORM))?;
    check_model_name(name)?;
    check_alias(alias)?;
    Ok(SourceUri::ModelAlias { name: name.to_owned(), alias: alias.to_owned() })
}

/// `/<run>[/<path>]`
fn runs(rest: &str) -> Result<SourceUri, SourceProblem> {
    let (run, path) = split_first(rooted(rest)?);
    let run_id = read_run_id(run).ok_or(SourceProblem::Form("runs:/<run id>/<path>"))?;
    Ok(SourceUri::RunRelative { run_id, path: plain_path(path)? })
}

/// `//<bucket>[/<path>]`
fn external(scheme: String, rest: &str) -> Result<SourceUri, SourceProblem> {
    let rest = rest.strip_prefix("//").ok_or(SourceProblem::Form("<scheme>://<bucket>/<path>"))?;
    let (authority, path) = split_first(rest);
    let hostile = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@' | ':'));
    // A colon before an at sign is a password; a container before an at sign is Azure's form.
    let with_password = authority.split_once('@').is_some_and(|(user, _)| user.contains(':'));
    if authority.is_empty() {
        // A cluster's file system has a name node that clients know by themselves.
        return match scheme.as_str() {
            "hdfs" | "viewfs" => {
                Ok(SourceUri::External { scheme, authority: String::new(), path: plain_path(path)? })
            }
            _ => Err(SourceProblem::Form("<scheme>://<bucket>/<path>")),
        };
    }
    if authority.contains(hostile) || authority.starts_with('.') || with_password {
        let shown = if with_password { "<user>:<password>".to_owned() } else { shown(authority) };
        return Err(SourceProblem::Authority(shown));
    }
    Ok(SourceUri::External { scheme, authority: authority.to_owned(), path: plain_path(path)? })
}

/// What stands behind `scheme:/` or `scheme:///`, without the slash; a host is refused.
fn rooted(rest: &str) -> Result<&str, SourceProblem> {
    let local = local_part(rest)?;
    local.strip_prefix('/').ok_or(SourceProblem::Form("<scheme>:/<path>"))
}

/// The path of `scheme:/path` or `scheme:///path`; a host is refused.
fn local_part(rest: &str) -> Result<&str, SourceProblem> {
    match rest.strip_prefix("//") {
        None => Ok(rest),
        Some(path) if path.starts_with('/') => Ok(path),
        Some(hosted) => Err(SourceProblem::Authority(shown(split_first(hosted).0))),
    }
}

/// A path below something, one `/` at its end taken off, without query. The root passes.
fn plain_path(path: &str) -> Result<ArtifactPath, SourceProblem> {
    if path.contains(['?', '#']) {
        return Err(SourceProblem::QueryOrFragment);
    }
    Ok(ArtifactPath::parse_directory(path)?)
}

/// The first segment and what follows its slash.
fn split_first(path: &str) -> (&str, &str) {
    path.split_once('/').unwrap_or((path, ""))
}

/// 32 hex digits.
fn read_run_id(text: &str) -> Option<String> {
    let valid = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    valid.then(|| text.to_ascii_lowercase())
}

/// `m-` and 32 hex digits.
fn read_model_id(text: &str) -> Option<String> {
    read_run_id(text.strip_prefix("m-")?).map(|id| format!("m-{id}"))
}

/// Decimal digits, at most as many as fit 64 bits.
fn is_experiment_id(text: &str) -> bool {
    !text.is_empty() && text.len() <= 19 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A UUID in its usual form: 32 hex digits in five groups.
fn read_uuid(text: &str) -> Option<String> {
    let is_group = |(group, digits): (&str, usize)| {
        group.len() == digits && group.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    let valid = text.split('-').count() == 5 && text.split('-').zip([8, 4, 4, 4, 12]).all(is_group);
    valid.then(|| text.to_ascii_lowercase())
}

/// A positive number without sign or leading zero.
fn read_version(text: &str) -> Option<u64> {
    let valid = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    if valid { text.parse().ok() } else { None }
}
