//! Gate reports as evidence: what a candidate was judged on, and whether an alias may move on it.
//!
//! What must stay true: a report is stored once and never changed; it speaks of exactly one version of one model with
//! exactly those files, against exactly one champion, and only until it expires.

use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::{models::Model, store, versions::Version};
use crate::{
    bind,
    db::{Change, Row, Sql},
    error::{Error, Result},
    events::{Event, EventKind},
    time,
};

/// What gates found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// All that had to hold holds.
    Pass,
    /// Something does not.
    Fail,
    /// Something could not be told.
    CouldNotJudge,
}

impl Verdict {
    /// As it is stored and sent.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::CouldNotJudge => "could_not_judge",
        }
    }

    fn parse(name: &str) -> Result<Self> {
        [Self::Pass, Self::Fail, Self::CouldNotJudge]
            .into_iter()
            .find(|verdict| verdict.name() == name)
            .ok_or_else(|| Error::internal(format!("a gate report has the unknown verdict {name:?}")))
    }
}

/// A gate report.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// Its id: that of the job that made it.
    pub id: Uuid,
    /// `asset.id` of the model.
    pub model_id: i64,
    /// Number of the version that was judged.
    pub version: i64,
    /// Digest of its files; none if this server does not keep them.
    pub digest: Option<String>,
    /// The alias that it was judged for.
    pub alias: String,
    /// The version that the alias pointed to; none if to none.
    pub champion: Option<i64>,
    /// Digest of that one's files.
    pub champion_digest: Option<String>,
    /// Digest of the gates as they were declared.
    pub config_digest: String,
    /// What was found.
    pub verdict: Verdict,
    /// The evaluation run.
    pub run_id: String,
    /// When it was made, milliseconds since the epoch.
    pub made_at: i64,
    /// From when on it moves nothing.
    pub expires_at: i64,
    /// `principal.id` of whose rights it was made with.
    pub by: i64,
    /// The whole report, as JSON.
    pub body: String,
}

/// Stores a report. Nothing happens where the report of this id is there.
pub fn record(tx: &mut Sql<'_>, report: &Evidence) -> Result<Change<()>> {
    if get(tx, report.id)?.is_some() {
        return Ok(Change::Nothing(()));
    }
    let id = report.id.to_string();
    tx.execute(
        &store::REPORT_INSERT,
        bind![
            &id,
            report.model_id,
            report.version,
            report.digest.as_deref(),
            &report.alias,
            report.champion,
            report.champion_digest.as_deref(),
            &report.config_digest,
            report.verdict.name(),
            &report.run_id,
            report.made_at,
            report.expires_at,
            report.by,
            &report.body
        ],
    )?;
    let event = Event::new(EventKind::GateReportCreate).asset(report.model_id, 0).subject_at(id, 1).detail(json!({
        "version": report.version, "digest": report.digest, "alias": report.alias, "champion": report.champion,
        "champion_digest": report.champion_digest, "config_digest": report.config_digest,
        "verdict": report.verdict.name(), "run": report.run_id, "expires_at": report.expires_at,
    }));
    Ok(Change::Made((), event))
}

/// The report of an id, without asking whether the caller may see it.
pub fn get(sql: &mut Sql<'_>, id: Uuid) -> Result<Option<Evidence>> {
    sql.first(&store::REPORT_GET, bind![&id.to_string()], read)
}

/// Reports of a model before an id, newest first; of one version where one is named.
pub fn list(
    sql: &mut Sql<'_>,
    model_id: i64,
    version: Option<i64>,
    before: &str,
    most: i64,
) -> Result<Vec<Evidence>> {
    sql.all(&store::REPORT_PAGE, bind![model_id, version.unwrap_or(0), before, most], read)
}

/// Ids of the newest reports and of their models, without asking whether the caller may see them.
pub fn newest(sql: &mut Sql<'_>, most: i64) -> Result<Vec<(Uuid, i64)>> {
    sql.all(&store::REPORT_NEWEST, bind![most], |row| {
        Ok((row.get::<String>(0)?.parse().map_err(Error::internal)?, row.get(1)?))
    })
}

/// The newest report of a version.
pub fn latest(sql: &mut Sql<'_>, model_id: i64, version: i64) -> Result<Option<Evidence>> {
    Ok(list(sql, model_id, Some(version), END, 1)?.pop())
}

/// Behind every id.
pub const END: &str = "~";

fn read(row: &Row<'_>) -> Result<Evidence> {
    Ok(Evidence {
        id: row.get::<String>(0)?.parse().map_err(Error::internal)?,
        model_id: row.get(1)?,
        version: row.get(2)?,
        digest: row.get(3)?,
        alias: row.get(4)?,
        champion: row.get(5)?,
        champion_digest: row.get(6)?,
        config_digest: row.get(7)?,
        verdict: Verdict::parse(&row.get::<String>(8)?)?,
        run_id: row.get(9)?,
        made_at: row.get(10)?,
        expires_at: row.get(11)?,
        by: row.get(12)?,
        body: row.get(13)?,
    })
}

impl Evidence {
    /// Refuses to move an alias from where it points now to this version, unless that is what was judged and passed.
    /// Answers what the move keeps of it.
    pub(super) fn check(
        &self,
        model: &Model,
        alias: &str,
        (from, to): (Option<&Version>, &Version),
        now: i64,
    ) -> Result<Json> {
        let Self { id, version, .. } = self;
        let digest_of = |version: &Version| version.pin.as_ref().map(|pin| pin.manifest.digest.clone());
        let refuse = |why: String| {
            Error::denied(format!("The gate report {id} does not move the alias '{alias}': {why}"))
        };
        let number =
            |version: Option<i64>| version.map_or("no version".to_owned(), |n| format!("version {n}"));
        if (self.model_id, *version) != (model.id, to.version) {
            return Err(refuse(format!("it judged version {version} of another model, or another version.")));
        }
        if self.alias != alias {
            return Err(refuse(format!(
                "it was made for the alias '{}'. Run the gates for this one.",
                self.alias
            )));
        }
        if self.verdict != Verdict::Pass {
            return Err(refuse(format!("its verdict is {}. strongback gate show {id}", self.verdict.name())));
        }
        if self.expires_at <= now {
            return Err(refuse(format!(
                "it expired on {}. Run the gates again.",
                time::utc(self.expires_at)
            )));
        }
        let digest = digest_of(to);
        if digest.is_none() || digest != self.digest {
            return Err(refuse("the files of the version are not those that were judged.".to_owned()));
        }
        let from_number = from.map(|from| from.version);
        if self.champion != from_number {
            return Err(refuse(format!(
                "it compared with {}, and the alias points to {} now. Run the gates again.",
                number(self.champion),
                number(from_number)
            )));
        }
        if from.and_then(digest_of) != self.champion_digest {
            return Err(refuse(format!(
                "the files of {}, with which it compared, are not what they were. Run the gates again.",
                number(from_number)
            )));
        }
        Ok(json!({ "gate_report": id.to_string(), "digest": digest }))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        files::Manifest,
        registry::versions::{Pin, Stage, Status},
    };

    fn model() -> Model {
        Model {
            id: 7,
            uuid: String::new(),
            schema_id: 1,
            leaf: "fraud".into(),
            wire_name: None,
            schema: "risk".into(),
            catalog: "prod".into(),
            owner: String::new(),
            created_by: String::new(),
            updated_by: String::new(),
            description: String::new(),
            created_at: 0,
            updated_at: 0,
            tags: BTreeMap::new(),
        }
    }

    /// Version 2, with files of this digest.
    fn version(digest: Option<&str>) -> Version {
        let pin =
            |digest: &str| Pin { manifest: Manifest { digest: digest.into(), files: 1, bytes: 1 }, at: 0 };
        Version {
            model_id: 7,
            version: 2,
            status: Status::Ready,
            status_message: String::new(),
            stage: Stage::None,
            source: String::new(),
            origin: String::new(),
            run_id: String::new(),
            run_link: String::new(),
            logged_model: String::new(),
            description: String::new(),
            signature: None,
            pin: digest.map(pin),
            tags: BTreeMap::new(),
            created_by: String::new(),
            created_at: 0,
            updated_at: 0,
        }
    }

    /// Of version 2 against version 1.
    fn report(digest: Option<&str>) -> Evidence {
        Evidence {
            id: Uuid::nil(),
            model_id: 7,
            version: 2,
            digest: digest.map(str::to_owned),
            alias: "champion".into(),
            champion: Some(1),
            champion_digest: Some("files1:c".into()),
            config_digest: String::new(),
            verdict: Verdict::Pass,
            run_id: String::new(),
            made_at: 0,
            expires_at: 10,
            by: 1,
            body: String::new(),
        }
    }

    #[test]
    fn only_the_files_that_were_judged_move_an_alias() {
        let against = |champion: Option<&str>, judged: Option<&str>, now: Option<&str>| {
            let champion = Version { version: 1, ..version(champion) };
            report(judged).check(&model(), "champion", (Some(&champion), &version(now)), 5)
        };
        let check = |judged, now| against(Some("files1:c"), judged, now);
        assert_eq!(check(Some("files1:a"), Some("files1:a")).unwrap()["digest"], "files1:a");
        // Other files, files that are elsewhere by now, and files that never were here: nobody can tell what was judged.
        for (judged, now) in [(Some("files1:a"), Some("files1:b")), (Some("files1:a"), None), (None, None)] {
            let error = check(judged, now).unwrap_err();
            assert!(
                error.message().contains("the files of the version are not those that were judged"),
                "{judged:?} {now:?}: {error}"
            );
        }
        // Nor do figures stand that compared with other files.
        for champion in [Some("files1:d"), None] {
            let error = against(champion, Some("files1:a"), Some("files1:a")).unwrap_err();
            assert!(error.message().contains("the files of version 1, with which it compared"), "{error}");
        }
    }
}
