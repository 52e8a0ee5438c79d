//! What is mine does not reach what is yours: a stranger names somebody's governed things from within things of their
//! own, where they may do everything.

use serde_json::json;

use super::{
    Example,
    world::{Tokens, World},
};
use crate::support::{TestApp, on_every_store_with};

/// Calls by the owner of `$run$`, `$model$` and so on; what begins with `@` is somebody else's and governed.
fn crossings() -> Vec<Example> {
    let post = |path, fields| Example::new("POST", path, fields);
    let version = |source: &str| {
        post("/api/2.0/mlflow/model-versions/create", json!({ "name": "$model$", "source": source }))
    };
    vec![
        version("models:/@gov@/1"),
        version("models:/@gov@@champion"),
        version("/@gov_dir@"),
        post(
            "/api/2.0/mlflow/registered-models/rename",
            json!({ "name": "$model$", "new_name": "@schema@.mine" }),
        ),
        Example::new(
            "PATCH",
            "/api/1.0/owner",
            json!({ "name": "@table@", "kind": "table", "owner": "eve" }),
        ),
        post("/api/2.0/token/create", json!({ "principal": "ada" })),
        post("/api/1.0/commands/{full_name}/run", json!({ "full_name": "@command@" })),
        post("/api/1.0/commands/{full_name}/run", json!({ "full_name": "$command$", "run_as": "ada" })),
        post("/api/1.0/jobs/{job_id}/cancel", json!({ "job_id": "@job@" })),
        post("/api/2.0/token/delete", json!({ "token_id": "@token@" })),
        post(
            "/api/2.0/mlflow-artifacts/mpu/abort/{*root}",
            json!({ "root": "$run_root$", "path": "/x/big.bin", "upload_id": "@session@" }),
        ),
        post(
            "/api/2.0/mlflow-artifacts/mpu/complete/{*root}",
            json!({ "root": "$run_root$", "path": "/x/big.bin", "upload_id": "@session@", "parts": [{ "part_number": 1 }] }),
        ),
    ]
}

#[test]
fn what_is_mine_does_not_reach_what_is_yours() {
    on_every_store_with(&[("auth", "tokens")], async |test: TestApp| {
        let theirs = Tokens::new(&test).await;
        let mut yours = World::new(&test, &theirs);
        let eve = theirs.stranger.clone();
        let own = Tokens { name: "eve", owner: eve.clone(), ..theirs.clone() };
        for crossing in crossings() {
            let mut fields = crossing.fields.to_string();
            for word in ["gov", "gov_dir", "schema", "table", "token", "session", "command", "job"] {
                let marked = format!("@{word}@");
                if fields.contains(&marked) {
                    fields = fields.replace(&marked, &yours.get(word).await);
                }
            }
            let mut mine = World::new(&test, &own);
            let crossing = Example { fields: serde_json::from_str(&fields).unwrap(), ..crossing };
            let answer = crossing.send(&mut mine, eve.as_deref()).await;
            assert!(matches!(answer.status, 400 | 403 | 404), "{crossing:?} went through: {answer:?}");
            assert_eq!(super::events_of(&test, &answer, theirs.admin.as_deref()).await, 0, "{crossing:?}");
        }
    });
}

/// A tag that names a table which one may not read says so, as a get of the table does.
#[test]
fn a_run_is_told_of_a_table_that_it_may_not_read() {
    on_every_store_with(&[("auth", "tokens")], async |test: TestApp| {
        let theirs = Tokens::new(&test).await;
        let table = World::new(&test, &theirs).get("table").await;
        let own = Tokens { name: "eve", owner: theirs.stranger.clone(), ..theirs.clone() };
        let mut mine = World::new(&test, &own);
        let mut warning_for = async |name: &str| {
            let tag = json!({ "run_id": "$run$", "key": "feature_store_table", "value": name });
            let set = Example::new("POST", "/api/2.0/mlflow/runs/set-tag", tag);
            assert_eq!(set.send(&mut mine, theirs.stranger.as_deref()).await.status, 200);
            let get = Example::new("GET", "/api/2.0/mlflow/runs/get", json!({ "run_id": "$run$" }));
            let run = get.send(&mut mine, theirs.stranger.as_deref()).await.json;
            let tags = run["run"]["data"]["tags"].as_array().unwrap();
            let warning =
                tags.iter().find(|tag| tag["key"] == "strongback.warning.feature_store_table").unwrap();
            warning["value"].as_str().unwrap().to_owned()
        };
        let theirs = warning_for(&table).await;
        assert!(theirs.contains("may not read the table") && theirs.contains(&table), "{theirs}");
        let absent = warning_for("no.such.table").await;
        assert!(absent.contains("is not known here"), "{absent}");
    });
}

/// Whoever names what is there and not theirs is refused, and not told that it is absent; what is absent is absent for
/// everybody.
#[test]
fn existence_is_told_in_one_way() {
    on_every_store_with(&[("auth", "tokens")], async |test: TestApp| {
        let tokens = Tokens::new(&test).await;
        let mut world = World::new(&test, &tokens);
        let (catalog, schema) = (world.get("catalog").await, world.get("schema").await);
        let (table, gov) = (world.get("table").await, world.get("gov").await);
        let command = world.get("command").await;
        for (path, there, absent) in [
            ("/api/2.1/unity-catalog/catalogs/{name}", &catalog, "absent"),
            ("/api/2.1/unity-catalog/schemas/{full_name}", &schema, "absent.s"),
            ("/api/2.1/unity-catalog/tables/{full_name}", &table, "absent.s.t"),
            ("/api/2.1/unity-catalog/tables/{full_name}/exists", &table, "absent.s.t"),
            ("/api/2.1/unity-catalog/models/{full_name}", &gov, "absent.s.m"),
            ("/api/2.0/mlflow/registered-models/get", &gov, "absent.s.m"),
            ("/api/2.0/mlflow/unity-catalog/registered-models/get", &gov, "absent.s.m"),
            ("/api/1.0/commands/{full_name}", &command, "absent.s.c"),
            ("/api/1.0/lineage", &table, "absent.s.t"),
            ("/api/1.0/lineage", &gov, "absent.s.m"),
        ] {
            let key = if path.contains("{full_name}") { "full_name" } else { "name" };
            let mut ask = async |name: &str, token: &Option<String>| {
                let answer =
                    Example::new("GET", path, json!({ key: name })).send(&mut world, token.as_deref()).await;
                (answer.status, answer.json["message"].as_str().unwrap_or_default().to_owned())
            };
            let (status, message) = ask(there, &tokens.stranger).await;
            assert_eq!(status, 403, "{path}: {message}");
            assert!(message.contains("Its owner is ada"), "{path}: {message}");
            let missing = if path.ends_with("/exists") { 200 } else { 404 };
            for token in [&tokens.stranger, &tokens.admin] {
                assert_eq!(ask(absent, token).await.0, missing, "{path}");
            }
            for name in [there.as_str(), absent] {
                assert_eq!(ask(name, &None).await.0, 401, "{path}");
            }
        }
    });
}
