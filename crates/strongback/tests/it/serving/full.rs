//! A full disk: what needs room is refused with an error that says so, and loses nothing; what was asked again once there is
//! room lands once.
//!
//! The limit is the one on the size of files: the system refuses such a write in the middle, as it does on a full disk.

use std::fmt::Write as _;

use serde_json::{Value, json};
use testkit::random::Random;

use crate::promotion::lab::{GOOD, Lab, MODEL, on_every_store};

/// Above what the stores of metadata need of a single file here, and below what the test brings.
const LIMIT_BYTES: u64 = 8 << 20;
const BATCH: &str = "/api/1.0/tables/prod.risk.large/batches/one?format=csv&create=true";
const SCORE: &str = "/endpoints/score/invocations";

/// More than fits: numbers that nothing makes shorter.
fn large(rows: u64) -> String {
    let mut random = Random::new(3);
    let mut csv = String::from("a,b,c,d,e,f\n");
    for _ in 0..rows {
        let mut line = || random.unit();
        let _ = writeln!(csv, "{},{},{},{},{},{}", line(), line(), line(), line(), line(), line());
    }
    csv
}

fn rows(count: u64) -> Value {
    let data: Vec<Value> = (0..count).map(|row| json!([row as f64 / 7.0, row as f64])).collect();
    json!({ "dataframe_split": { "columns": ["x1", "x2"], "data": data } })
}

#[test]
fn what_finds_no_room_is_refused_and_loses_nothing() {
    on_every_store(|mut lab: Lab| {
        let version = lab.version(GOOD);
        assert_eq!(lab.alias("champion", version).0, 200);
        lab.post("/api/1.0/endpoints", &json!({ "name": "score", "model": format!("{MODEL}@champion") }));
        lab.post(SCORE, &rows(1));
        lab.server.limit_files(Some(LIMIT_BYTES)).unwrap();

        let csv = large(250_000);
        let refused = lab.answer_put(BATCH, csv.as_bytes());
        assert_eq!(refused.status, 503, "{}", refused.text());
        assert!(refused.text().contains("full"), "{}", refused.text());
        assert_eq!(lab.answer_get("/api/2.1/unity-catalog/tables/prod.risk.large").status, 404);

        let (mut answered, many) = (1, rows(1_000));
        let refused = loop {
            let answer = lab.answer(SCORE, &many);
            if answer.status != 200 {
                break answer;
            }
            answered += 1;
            assert!(answered < 2_000, "the log grows beyond the limit");
        };
        assert_eq!(refused.status, 503, "{}", refused.text());
        assert!(refused.text().contains("cannot be logged"), "{}", refused.text());
        // It goes on with what needs no room.
        assert_eq!(lab.get("/api/1.0/endpoints/score")["name"], "score");

        lab.server.limit_files(None).unwrap();
        let landed = lab.answer_put(BATCH, csv.as_bytes());
        assert_eq!(landed.status, 200, "{}", landed.text());
        assert_eq!(lab.sql("SELECT count(*) AS n FROM prod.risk.large")[0]["n"], 250_000);
        lab.post(SCORE, &rows(1));
        answered += 1;
        let log = lab.post("/api/1.0/endpoints/score/flush", &json!({}));
        let figure = |name: &str| log[name].as_u64().unwrap();
        assert_eq!(
            (figure("served"), figure("drained"), figure("waiting")),
            (answered, answered, 0),
            "{log}"
        );
        assert_eq!(figure("drained_rows"), (answered - 2) * 1_000 + 2, "{log}");
        let counted = lab.sql(&format!("SELECT count(*) AS n FROM {}", log["table"].as_str().unwrap()));
        assert_eq!(counted[0]["n"].as_u64(), Some(figure("drained_rows")));
        let verified = lab.server.command(&["audit-log", "verify"]).unwrap();
        assert!(verified.status.success(), "{verified:?}");
    });
}
