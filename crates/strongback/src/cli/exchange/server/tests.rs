//! What a server says, old and new, becomes items.

use std::{
    io::{Read as _, Seek as _},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::Request,
    response::Response,
};
use serde_json::{Value as Json, json};

use super::{files::ARTIFACTS, *};
use crate::exchange::ItemKind;

/// What is asked: the path, the query, the body and the login.
struct Asked {
    path: String,
    query: Vec<(String, String)>,
    body: Json,
    login: String,
}

impl Asked {
    fn of(&self, name: &str) -> &str {
        self.query.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }
}

type Answer = (u16, Vec<u8>);

fn json(value: &Json) -> Answer {
    (200, serde_json::to_vec(value).unwrap())
}

fn missing() -> Answer {
    (404, br#"{"error_code":"ENDPOINT_NOT_FOUND","message":"no such route"}"#.to_vec())
}

/// A server that answers as it is told, and its address.
fn serve(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> String {
    let answer = Arc::new(answer);
    let router = Router::new().fallback(move |request: Request| {
        let answer = answer.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = to_bytes(body, 1 << 20).await.unwrap();
            let query = head.uri.query().unwrap_or_default();
            let asked = Asked {
                path: head.uri.path().to_owned(),
                query: url::form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
                body: serde_json::from_slice(&body).unwrap_or_default(),
                login: head
                    .headers
                    .get("authorization")
                    .map(|it| it.to_str().unwrap().to_owned())
                    .unwrap_or_default(),
            };
            let (status, bytes) = answer(&asked);
            let response = Response::builder().status(status);
            let response = if status == 302 {
                response.header("location", "http://a:b@elsewhere/?c=d")
            } else {
                response
            };
            response.body(Body::from(bytes)).unwrap()
        }
    });
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            axum::serve(listener, router).await.unwrap();
        });
    });
    address
}

fn server(address: &str) -> Server {
    Server::with(address, |_| Ok(None)).unwrap()
}

/// A server of MLflow 2.9 with two runs, one experiment a page.
fn old(asked: &Asked) -> Answer {
    let run = |id: &str| {
        json!({
            "info": {"run_id": id, "run_name": "name", "experiment_id": "1", "status": "FINISHED", "start_time": 5,
                "end_time": 6, "lifecycle_stage": if id == "b" { "deleted" } else { "active" },
                "artifact_uri": format!("mlflow-artifacts:/1/{id}/artifacts")},
            "data": {"metrics": [{"key": "loss", "value": "NaN", "timestamp": 2, "step": 1}],
                "params": [{"key": "p", "value": "v"}, {"key": "empty"}], "tags": [{"key": "mlflow.runName", "value": "old"}]},
            "inputs": {"dataset_inputs": [{"tags": [{"key": "t", "value": "u"}],
                "dataset": {"name": "d", "digest": "1", "source_type": "s", "source": "{}"}}]},
        })
    };
    match asked.path.as_str() {
        "/version" => (200, b"2.9.2".to_vec()),
        "/api/2.0/mlflow/experiments/search" if asked.body["page_token"] == "next" => json(
            &json!({"experiments": [{"experiment_id": "1", "name": "one", "creation_time": "7", "lifecycle_stage": "deleted",
                "tags": [{"key": "a", "value": "b"}]}]}),
        ),
        "/api/2.0/mlflow/experiments/search" => json(&json!({
            "experiments": [{"experiment_id": "10", "name": "ten"}], "next_page_token": "next"})),
        "/api/2.0/mlflow/runs/search" => json(&json!({"runs": [run("a"), run("b")]})),
        "/ajax-api/2.0/mlflow/metrics/get-history-bulk" => (
            200,
            br#"{"metrics":[{"key":"loss","run_id":"a","value":NaN,"timestamp":2,"step":1},
                {"key":"loss","run_id":"a","value":0.5,"timestamp":1,"step":0}]}"#
                .to_vec(),
        ),
        "/api/2.0/mlflow/metrics/get-history"
            if asked.of("run_id") == "b" && asked.of("page_token").is_empty() =>
        {
            json(
                &json!({"metrics": [{"key": "loss", "value": "Infinity", "timestamp": 3, "step": 2}], "next_page_token": "2"}),
            )
        }
        "/api/2.0/mlflow/metrics/get-history" if asked.of("run_id") == "b" => {
            json(&json!({"metrics": [{"key": "loss", "value": 1, "timestamp": "4", "step": 3}]}))
        }
        "/api/2.0/mlflow/registered-models/search" if asked.of("filter").is_empty() => {
            json(&json!({"registered_models": [
            {"name": "cat", "creation_timestamp": 1, "aliases": [{"alias": "best", "version": "2"}]}]}))
        }
        "/api/2.0/mlflow/registered-models/search" => {
            json(&json!({"registered_models": [{"name": "prompt"}]}))
        }
        "/api/2.0/mlflow/model-versions/search" if asked.of("filter").is_empty() => {
            json(&json!({"model_versions": [
            {"name": "cat", "version": "2", "source": "models:/cat/1", "current_stage": "Staging", "status": "READY"},
            {"name": "cat", "version": "1", "source": "runs:/a/model"}]}))
        }
        "/api/2.0/mlflow/model-versions/search" => json(&json!({})),
        "/api/2.0/mlflow/model-versions/get-download-uri" => {
            json(&json!({"artifact_uri": "mlflow-artifacts:/1/a/artifacts/model"}))
        }
        _ => missing(),
    }
}

#[test]
fn a_registry_that_is_hidden_is_named_and_the_rest_comes() {
    for status in [403, 404, 405, 501] {
        let mut server = server(&serve(move |asked| match asked.path.as_str() {
            "/api/2.0/mlflow/registered-models/search" | "/api/2.0/mlflow/model-versions/search" => {
                (status, br#"{"message":"not for you"}"#.to_vec())
            }
            _ => old(asked),
        }));
        let outline = server.outline().unwrap();
        assert_eq!((outline.runs.len(), outline.models.len(), outline.versions.len()), (2, 0, 0));
        let unread = server.unread();
        assert_eq!((unread.count, unread.named.len()), (2, 2), "{status}: {unread:?}");
        assert!(unread.named[0].contains("/registered-models/search"), "{unread:?}");
    }
}

#[test]
fn a_batch_has_as_many_runs_as_those_before_had_points() {
    let mut server = server(&serve(old));
    let ids = server.outline().unwrap().runs;
    assert_eq!(server.fitting(&vec![String::new(); 500], 500_000).unwrap(), 100);
    server.runs(&ids).unwrap();
    // Two runs with two points each: four times as many as before, and not all at once.
    assert_eq!(server.fitting(&vec![String::new(); 500], 500_000).unwrap(), 400);
    server.points_a_run = 1_000_000;
    assert_eq!(server.fitting(&ids, 500_000).unwrap(), 1);
}

#[test]
fn an_old_server_is_read() {
    let mut server = server(&serve(old));
    let outline = server.outline().unwrap();
    assert_eq!(outline.version, "2.9.2");
    let names: Vec<_> =
        outline.experiments.iter().map(|found| (&found.item.name[..], found.item.deleted)).collect();
    assert_eq!(names, [("one", true), ("ten", false)]);
    assert_eq!((outline.experiments[0].item.created_time, outline.experiments[0].item.updated_time), (7, 7));
    assert_eq!(
        (outline.runs.clone(), outline.logged_models.len()),
        (vec!["a".to_owned(), "b".to_owned()], 0)
    );
    let models: Vec<_> = outline.models.iter().map(|model| &model.name[..]).collect();
    assert_eq!((models, outline.aliases[0].aliases["best"]), (vec!["cat", "prompt"], 2));
    let places: Vec<_> =
        outline.versions.iter().map(|found| (found.item.version, &found.storage_location[..])).collect();
    assert_eq!(places, [(1, ""), (2, "mlflow-artifacts:/1/a/artifacts/model")]);

    let mut runs = server.runs(&[outline.runs.clone(), vec!["it's".to_owned()]].concat()).unwrap();
    runs.sort_by(|a, b| a.item.run_id.cmp(&b.item.run_id));
    let points = |at: usize| runs[at].item.metrics["loss"].iter().map(|at| (at.0, at.1)).collect::<Vec<_>>();
    assert_eq!((points(0), points(1)), (vec![(1, 0), (2, 1)], vec![(3, 2), (4, 3)]));
    assert!(runs[0].item.metrics["loss"][1].2.0.is_nan());
    assert_eq!(runs.iter().map(|run| run.item.deleted_time).collect::<Vec<_>>(), [None, Some(6)]);
    let run = &runs[0].item;
    assert_eq!(
        (&run.params["empty"][..], &run.tags["mlflow.runName"][..], &run.datasets[0].tags["t"][..]),
        ("", "name", "u")
    );
}

#[test]
fn a_new_server_has_logged_models() {
    let address = serve(|asked| match asked.path.as_str() {
        "/api/2.0/mlflow/logged-models/search" => {
            json(&json!({"models": [{"info": {"model_id": "m-1"}}, {"info": {"model_id": "m-2"}}]}))
        }
        "/api/2.0/mlflow/logged-models/m-1" => json(&json!({"model": {
            "info": {"model_id": "m-1", "experiment_id": "1", "name": "net", "status": "LOGGED_MODEL_PENDING",
                "creation_timestamp_ms": "5", "artifact_uri": "mlflow-artifacts:/1/models/m-1/artifacts",
                "tags": [{"key": "t", "value": "v"}]},
            "data": {"params": [{"key": "p", "value": "q"}], "metrics": [
                {"key": "acc", "value": "NaN", "timestamp": 1, "step": 2, "run_id": "a", "dataset_name": "d",
                    "dataset_digest": "x"}]}}})),
        "/api/2.0/mlflow/runs/get" => json(&json!({"run": {
            "info": {"run_id": asked.of("run_id")}, "inputs": {"model_inputs": [{"model_id": "m-1"}]}}})),
        _ => old(asked),
    });
    let mut server = server(&address);
    let outline = server.outline().unwrap();
    assert_eq!(outline.logged_models, ["m-1", "m-2"]);
    let models = server.logged_models(&outline.logged_models).unwrap();
    assert_eq!(models.len(), 1);
    let (item, measured) = (&models[0].item, &models[0].item.metrics[0]);
    let texts = (&item.status[..], &item.params["p"][..], &item.tags["t"][..], &measured.dataset_name[..]);
    assert_eq!(texts, ("LOGGED_MODEL_PENDING", "q", "v", "d"));
    assert_eq!(
        (item.created_time, item.updated_time, measured.step, measured.value.0.is_nan()),
        (5, 5, 2, true)
    );
    let runs = server.runs(&outline.runs).unwrap();
    assert!(runs.len() == 2 && runs.iter().all(|run| run.item.models_read == ["m-1"]));
}

#[test]
fn an_experiment_that_an_export_gave_another_number_has_its_id_again() {
    let wide = "5000000000";
    let address = serve(move |asked| match asked.path.as_str() {
        "/api/2.0/mlflow/experiments/search" => json(&json!({"experiments": [
            {"experiment_id": "1", "name": "one", "tags": [{"key": "strongback.experiment_id", "value": wide}]}]})),
        "/api/2.0/mlflow/logged-models/search" => json(&json!({"models": [{"info": {"model_id": "m-1"}}]})),
        "/api/2.0/mlflow/logged-models/m-1" => {
            json(&json!({"model": {"info": {"model_id": "m-1", "experiment_id": "1", "name": "net"}}}))
        }
        _ => old(asked),
    });
    let mut server = server(&address);
    let outline = server.outline().unwrap();
    let home = &outline.experiments[0].item;
    assert_eq!((&home.experiment_id[..], home.tags.len()), (wide, 0));
    let runs = server.runs(&outline.runs).unwrap();
    assert!(runs.len() == 2 && runs.iter().all(|run| run.item.experiment_id == wide));
    assert_eq!(server.logged_models(&outline.logged_models).unwrap()[0].item.experiment_id, wide);
}

#[test]
fn files_are_listed_and_fetched() {
    let address = serve(|asked| match (asked.path.as_str(), asked.of("path")) {
        (ARTIFACTS, "1/a/artifacts") => {
            json(&json!({"files": [{"path": "m", "is_dir": true}, {"path": "b c", "file_size": "5"}]}))
        }
        (ARTIFACTS, "1/a/artifacts/m") => json(&json!({"files": [{"path": "x", "file_size": 3}]})),
        (ARTIFACTS, "out") => json(&json!({"files": [{"path": "..", "is_dir": true}]})),
        (ARTIFACTS, path) if path.starts_with("round") => {
            json(&json!({"files": [{"path": "r", "is_dir": true}]}))
        }
        ("/api/2.0/mlflow-artifacts/artifacts/1/a/artifacts/b%20c", _) => (200, b"hello".to_vec()),
        ("/api/2.0/mlflow/artifacts/list", "") if asked.of("run_id") == "r" => {
            json(&json!({"files": [{"path": "d", "is_dir": true}]}))
        }
        ("/api/2.0/mlflow/artifacts/list", "d") => {
            json(&json!({"files": [{"path": "d/x y", "file_size": 2}]}))
        }
        ("/get-artifact", "d/x y") if asked.of("run_uuid") == "r" => (200, b"hi".to_vec()),
        ("/api/2.0/mlflow/logged-models/m/artifacts/directories", _) => {
            json(&json!({"files": [{"path": "MLmodel", "file_size": 3}]}))
        }
        ("/ajax-api/2.0/mlflow/logged-models/m/artifacts/files", _)
            if asked.of("artifact_file_path") == "MLmodel" =>
        {
            (200, b"yml".to_vec())
        }
        _ => missing(),
    });
    let mut server = server(&address);
    let root = "mlflow-artifacts:/1/a/artifacts";
    let expect = vec![("b c".to_owned(), 5), ("m/x".to_owned(), 3)];
    let run = |artifact_uri| Held { kind: ItemKind::Run, id: "r", artifact_uri };
    assert_eq!(server.files(&run(root)).unwrap(), Some(expect.clone()));
    let named = root.replace(":/", &format!("://{}/", &address[7..]));
    assert_eq!(server.files(&run(&named)).unwrap(), Some(expect));
    for elsewhere in ["s3://b/a", "", "mlflow-artifacts://other/1/a/artifacts"] {
        assert_eq!(server.files(&run(elsewhere)).unwrap(), None, "{elsewhere}");
    }
    let version = Held { kind: ItemKind::Version, id: "v/1", artifact_uri: "/models/v" };
    assert_eq!(server.files(&version).unwrap(), None);
    for wrong in ["mlflow-artifacts:/out", "mlflow-artifacts:/round", "mlflow-artifacts:/a/../../b"] {
        assert!(server.files(&run(wrong)).is_err(), "{wrong}");
    }
    // What lies on the disk there is had as the pages there have it.
    let model = Held {
        kind: ItemKind::LoggedModel,
        id: "m",
        artifact_uri: "file:///srv/mlruns/1/models/m/artifacts",
    };
    let on_disk = run("/srv/mlruns/1/r/artifacts");
    assert_eq!(server.files(&on_disk).unwrap(), Some(vec![("d/x y".to_owned(), 2)]));
    assert_eq!(server.files(&model).unwrap(), Some(vec![("MLmodel".to_owned(), 3)]));
    for (owner, path, expected) in
        [(&run(root), "b c", "hello"), (&on_disk, "d/x y", "hi"), (&model, "MLmodel", "yml")]
    {
        let (mut file, mut text) = (tempfile::tempfile().unwrap(), String::new());
        server.fetch(owner, path, &mut file).unwrap();
        file.rewind().unwrap();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, expected);
        for absent in ["absent", "../x", "/etc/passwd"] {
            assert!(server.fetch(owner, absent, &mut file).is_err(), "{absent}");
        }
    }
}

#[test]
fn a_busy_server_is_asked_again() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let address = serve(move |asked| match count.fetch_add(1, Ordering::Relaxed) {
        0 | 1 => (503, b"busy".to_vec()),
        _ => old(asked),
    });
    assert_eq!(server(&address).outline().unwrap().version, "2.9.2");
    assert!(asked.load(Ordering::Relaxed) > 3);
}

#[test]
fn what_goes_wrong_is_said_without_the_login() {
    let login = "Basic YW5uOnNlY3JldA==";
    let cases: [(Answer, &str); 5] = [
        ((401, b"who are you".to_vec()), "MLFLOW_TRACKING_USERNAME"),
        ((302, vec![]), "redirects to 'http://elsewhere/'"),
        ((500, br#"{"message":"boom"}"#.to_vec()), "boom"),
        ((200, b"<html>".to_vec()), "cannot be read"),
        (missing(), "Is it a server of MLflow?"),
    ];
    for (answer, expect) in cases {
        let address = serve(move |asked| {
            assert_eq!(asked.login, login);
            if asked.path == "/version" && answer.0 == 200 { (200, b"3.1".to_vec()) } else { answer.clone() }
        });
        let error = server(&address.replace("://", "://ann:secret@")).outline().unwrap_err();
        let (message, causes) = (error.message().to_owned(), error.cause_chain().unwrap_or_default());
        assert!(message.contains(expect) && message.contains(&address), "{message}");
        assert!(!format!("{message}{causes}").contains("secret"), "{message} {causes}");
    }
    let error = server("http://127.0.0.1:1").outline().unwrap_err();
    assert!(error.message().contains("No server answers at http://127.0.0.1:1"), "{}", error.message());
}

#[test]
fn a_list_without_an_end_is_left() {
    let address = serve(|asked| match asked.path.as_str() {
        "/api/2.0/mlflow/experiments/search" => {
            json(&json!({"experiments": [{"experiment_id": "1"}], "next_page_token": "same"}))
        }
        _ => missing(),
    });
    let error = server(&address).outline().unwrap_err();
    assert!(error.message().contains("end of a list"), "{}", error.message());
}
