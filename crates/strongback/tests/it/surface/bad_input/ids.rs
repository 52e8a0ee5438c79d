//! Ids and names of things that are not there, in the place of those that are.

use super::{TOKENS, for_each, problem_of};
use crate::{
    support::{TestApp, on_every_store_with},
    surface::{
        Example, examples,
        world::{Tokens, World, words},
    },
};

/// Something of the right shape that does not exist.
fn unknown(word: &str) -> Option<String> {
    let hex = "f".repeat(32);
    Some(match word {
        "exp" | "dead_exp" => "987654321098765432".into(),
        "run" | "dead_run" | "run_of_file" => hex,
        "logged" => format!("m-{hex}"),
        "exp_name" | "model" | "catalog" | "user" | "group" | "member" | "token" => "never-made".into(),
        "schema" => "never.made".into(),
        "table" | "gov" | "command" => "never.made.it".into(),
        "mpu" | "session" | "job" | "leased" | "webhook" => "0190b6a0-0000-7000-8000-000000000000".into(),
        "run_root" => format!("987654321098765432/{hex}/artifacts"),
        "run_file" => format!("987654321098765432/{hex}/artifacts/dir/f.txt"),
        "gov_dir" | "gov2_dir" => "Models/never/made/it/1".into(),
        _ => return None,
    })
}

/// What is not there is 404 with MLflow's code, or the Files API's; whatever else is answered stands in the picture:
/// a search finds nothing, a run of another server may be named, and an address is signed for what it says.
#[test]
fn what_is_not_there_is_not_found() {
    on_every_store_with(TOKENS, async |test: TestApp| {
        let tokens = Tokens::administrator(&test).await;
        let lines = for_each(examples::all(), async |example: Example| {
            let mut lines = Vec::new();
            for word in words(&example.fields) {
                let Some(unknown) = unknown(&word) else { continue };
                let mut world = World::new(&test, &tokens);
                let there = world.get(&word).await;
                let fields = world.fill(&example.fields).await.to_string().replace(&there, &unknown);
                let fields = serde_json::from_str(&fields).unwrap();
                let answer = test.send(example.request(&fields, tokens.admin.as_deref())).await;
                assert_eq!(problem_of(&answer), None, "{example:?} {word}: {answer:?}");
                if answer.status != 404 {
                    let (method, path, code) = (example.method, example.path, answer.error_code());
                    lines.push(
                        format!("{method} {path} {word}: {} {code}", answer.status).trim_end().to_owned(),
                    );
                }
            }
            lines
        });
        insta::assert_snapshot!("unknown_ids", lines.await.join("\n"));
    });
}
