//! What a folder holds, whole and damaged, becomes items.

use std::fs;

use super::*;

const RUN: &str = "0a0b0c0d0e0f01020304050607080900";
const MODEL: &str = "m-0a0b0c0d0e0f01020304050607080900";

/// A folder with one experiment, one run and what more is written.
struct Fixture(tempfile::TempDir);

impl Fixture {
    fn new() -> Self {
        let fixture = Self(tempfile::tempdir().unwrap());
        fixture.experiment("7", "seven");
        fixture.run("7", RUN, "status: 3");
        fixture
    }

    fn put(&self, path: &str, bytes: impl AsRef<[u8]>) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn experiment(&self, path: &str, name: &str) {
        let id = path.rsplit('/').next().unwrap();
        let meta = format!(
            "artifact_location: file:///old/mlruns/{id}\ncreation_time: 5\nexperiment_id: '{id}'\nlast_update_time: 6\n\
             lifecycle_stage: active\nname: {name}\n"
        );
        self.put(&format!("{path}/meta.yaml"), meta);
    }

    fn run(&self, experiment: &str, id: &str, more: &str) {
        let experiment_id = experiment.rsplit('/').next().unwrap();
        let meta = format!(
            "artifact_uri: file:///old/mlruns/{experiment_id}/{id}/artifacts\nend_time: 20\nentry_point_name: ''\n\
             experiment_id: '{experiment_id}'\nrun_id: {id}\nrun_uuid: {id}\nrun_name: meta name\nsource_type: 4\n\
             start_time: 10\ntags: []\nuser_id: ann\n{more}\n"
        );
        self.put(&format!("{experiment}/{id}/meta.yaml"), meta);
    }

    fn read(&self) -> (Folder, Outline) {
        let mut folder = Folder::open(self.0.path()).unwrap();
        let outline = folder.outline().unwrap();
        (folder, outline)
    }

    fn only_run(&self) -> Found<CarriedRun> {
        let (mut folder, outline) = self.read();
        let mut runs = folder.runs(&outline.runs).unwrap();
        assert_eq!(runs.len(), 1);
        runs.remove(0)
    }
}

fn left(outline: &Outline) -> Vec<(&str, u64)> {
    outline.left_behind.iter().map(|(what, count)| (what.as_str(), *count)).collect()
}

#[test]
fn a_run_is_read_in_whole() {
    let fixture = Fixture::new();
    let run = format!("7/{RUN}");
    fixture.put(&format!("{run}/params/opt/lr"), "0.1\nwith lines\n");
    fixture.put(&format!("{run}/params/empty"), "");
    fixture.put(&format!("{run}/tags/mlflow.runName"), "older name");
    fixture.put(&format!("{run}/tags/note"), "grüße");
    fixture.put(
        &format!("{run}/metrics/val/loss"),
        "100 0.5\n101 nan 1\n102 inf 2\n103 -inf -3\n104 1e-05 4 train d1\n105 2 5 a name d1\n",
    );
    fixture.put(
        &format!("{run}/inputs/i1/meta.yaml"),
        "source_type: DATASET\nsource_id: d\ndestination_type: RUN\ndestination_id: d\ntags:\n  mlflow.data.context: train\n",
    );
    fixture.put(
        &format!("{run}/inputs/i2/meta.yaml"),
        format!("source_type: MODEL\nsource_id: {MODEL}\ntags: {{}}\n"),
    );
    fixture.put(
        &format!("{run}/outputs/{MODEL}/meta.yaml"),
        format!(
            "source_type: RUN_OUTPUT\nsource_id: {MODEL}\ndestination_id: {MODEL}\nstep: 3\ntags: {{}}\n"
        ),
    );
    fixture.put(
        "7/datasets/d/meta.yaml",
        "name: rows\ndigest: x1\nsource_type: local\nsource: '{\"uri\": \"a.csv\"}'\nschema: null\nprofile: '{}'\n",
    );
    let Found { item, .. } = fixture.only_run();
    let times = (item.start_time, item.end_time, item.deleted_time);
    assert_eq!((item.status.as_str(), item.user.as_str(), times), ("FINISHED", "ann", (10, Some(20), None)));
    assert_eq!((item.params["opt/lr"].as_str(), item.params["empty"].as_str()), ("0.1\nwith lines\n", ""));
    assert_eq!((item.tags["mlflow.runName"].as_str(), item.tags["note"].as_str()), ("meta name", "grüße"));
    let points: Vec<String> =
        item.metrics["val/loss"].iter().map(|point| format!("{} {}", point.0, point.1)).collect();
    assert_eq!(points, ["100 0", "101 1", "102 2", "103 -3", "104 4", "105 5"]);
    let values: Vec<f64> = item.metrics["val/loss"].iter().map(|point| point.2.0).collect();
    assert!(values[1].is_nan() && values[2] > 1e308 && values[3] < -1e308, "{values:?}");
    let dataset = &item.datasets[0];
    assert_eq!(
        (dataset.name.as_str(), dataset.digest.as_str(), dataset.schema.clone()),
        ("rows", "x1", None)
    );
    assert_eq!(dataset.tags["mlflow.data.context"], "train");
    assert_eq!(
        (item.models_read, item.models_written),
        (vec![MODEL.to_owned()], vec![(MODEL.to_owned(), 3)])
    );
}

#[test]
fn every_status_has_a_number() {
    for (more, status) in [
        ("", "RUNNING"),
        ("status: 1", "RUNNING"),
        ("status: 2", "SCHEDULED"),
        ("status: 3", "FINISHED"),
        ("status: 4", "FAILED"),
        ("status: 5", "KILLED"),
    ] {
        let fixture = Fixture::new();
        fixture.run("7", RUN, more);
        assert_eq!(fixture.only_run().item.status, status);
    }
}

#[test]
fn what_was_deleted_comes_as_deleted() {
    let fixture = Fixture::new();
    fixture.run("7", RUN, "status: 3\nlifecycle_stage: deleted\ndeleted_time: 99");
    fixture.experiment(".trash/8", "eight");
    let other = RUN.replace("0a", "1a");
    fixture.run(".trash/8", &other, "status: 3\nlifecycle_stage: deleted\ndeleted_time: null");
    fixture.put(&format!(".trash/8/{other}/artifacts/a"), "x");
    let (mut folder, outline) = fixture.read();
    let experiments: Vec<_> =
        outline.experiments.iter().map(|found| (found.item.name.as_str(), found.item.deleted)).collect();
    assert_eq!(experiments, [("seven", false), ("eight", true)]);
    let mut runs = folder.runs(&outline.runs).unwrap();
    runs.sort_by(|a, b| a.item.run_id.cmp(&b.item.run_id));
    assert_eq!(runs.iter().map(|run| run.item.deleted_time).collect::<Vec<_>>(), [Some(99), Some(20)]);
    // Its files went with it.
    assert!(
        runs[1].artifact_uri.ends_with(&format!("/.trash/8/{other}/artifacts")),
        "{}",
        runs[1].artifact_uri
    );
    assert_eq!(runs[0].artifact_uri, format!("file:///old/mlruns/7/{RUN}/artifacts"));
}

#[test]
fn damage_is_counted_and_the_rest_comes() {
    let fixture = Fixture::new();
    let ids: Vec<String> = (1..7).map(|at| RUN.replace("0a", &format!("{at}a"))).collect();
    fixture.put(&format!("7/{}/meta.yaml", ids[0]), "a: 'b");
    fixture.put(&format!("7/{}/meta.yaml", ids[1]), [0xff, 0xfe]);
    fixture.run("7", &ids[2], "status: 77");
    fs::create_dir_all(fixture.0.path().join(format!("7/{}/metrics", ids[3]))).unwrap();
    fixture.put(&format!("7/{}/meta.yaml", ids[4]), format!("run_id: {RUN}\nexperiment_id: '7'\n"));
    // Files of a run that stands elsewhere.
    fixture.put(&format!("7/{}/artifacts/model", ids[5]), "x");
    fixture.put(&format!("9/{RUN}/meta.yaml"), "x: y");
    fixture.put("10/some/file", "x");
    fixture.put(&format!("7/{RUN}/metrics/loss"), b"1 0.5 0\n\xff\n2 x 0\n3 1 1 \n4 2 2 d");
    fixture.put(&format!("7/{RUN}/params/bad"), [0xff]);
    fixture.put(&format!("7/{RUN}/params/good"), "1");
    fixture.put(&format!("7/{RUN}/inputs/i/meta.yaml"), "source_type: DATASET\nsource_id: ../../x\n");
    fixture.put("7/traces/t1/trace_info.yaml", "x: y");
    fixture.put("models/broken/meta.yaml", "name: other");
    fixture.put("models/fine/meta.yaml", "name: fine\ncreation_timestamp: 1");
    fixture.put("models/fine/version-1/meta.yaml", "name: fine\nversion: x");
    fixture.put(&format!("7/models/{MODEL}/meta.yaml"), "model_id: other");
    let (_, outline) = fixture.read();
    assert_eq!(
        left(&outline),
        [
            ("damaged experiments", 1),
            ("damaged logged models", 1),
            ("damaged model versions", 1),
            ("damaged registered models", 1),
            ("damaged runs", 5),
            ("runs of damaged experiments", 1),
            ("traces", 1)
        ]
    );
    assert_eq!(outline.models.len(), 1);
    let run = fixture.only_run().item;
    let points: Vec<_> = run.metrics["loss"].iter().map(|point| point.0).collect();
    assert_eq!(points, [1, 3, 4]);
    assert_eq!(run.params.keys().collect::<Vec<_>>(), ["good"]);
    assert!(run.datasets.is_empty());
}

#[test]
fn what_cannot_be_read_of_what_comes_is_told_once() {
    let fixture = Fixture::new();
    fixture.put(&format!("7/{RUN}/metrics/loss"), b"1 0.5 0\n\xff\n2 x 0\n3 1 1 \n");
    fixture.put(&format!("7/{RUN}/params/bad"), [0xff]);
    fixture.put(&format!("7/{RUN}/tags/good"), "1");
    fixture.put("models/fine/meta.yaml", "name: fine\ncreation_timestamp: 1");
    fixture.put("models/fine/aliases/odd", "ten");
    let (mut folder, outline) = fixture.read();
    for _ in 0..2 {
        assert_eq!(folder.fitting(&outline.runs, 1).unwrap(), 1);
        assert_eq!(folder.runs(&outline.runs).unwrap().len(), 1);
    }
    let unread = folder.unread();
    let expect = [
        format!("7/{RUN}/metrics/loss: 2 of its lines are damaged, the others come"),
        format!("7/{RUN}/params/bad: it is not UTF-8"),
        "models/fine/aliases/odd: it is no number of a version".to_owned(),
    ];
    assert_eq!((unread.count, unread.named), (3, expect.to_vec()));
}

#[test]
fn a_batch_ends_at_points() {
    let fixture = Fixture::new();
    let ids: Vec<String> = (1..5).map(|at| RUN.replace("0a", &format!("{at}a"))).collect();
    for id in &ids {
        fixture.run("7", id, "status: 3");
        fixture.put(&format!("7/{id}/metrics/a/loss"), "1600000000000 0.5 0\n".repeat(100));
    }
    let (mut folder, _) = fixture.read();
    assert_eq!(folder.fitting(&ids, 1_000).unwrap(), 4);
    assert_eq!(folder.fitting(&ids, 250).unwrap(), 2);
    assert_eq!(folder.fitting(&ids, 1).unwrap(), 1);
}

#[test]
fn links_lead_nowhere_outside() {
    let fixture = Fixture::new();
    let outside = Fixture::new();
    outside.put("secret", "s");
    let link = |from: &Path, to: &str| {
        let to = fixture.0.path().join(to);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(from, to).unwrap();
    };
    link(&outside.0.path().join("secret"), &format!("7/{RUN}/params/secret"));
    link(&outside.0.path().join("7"), "8");
    link(&fixture.0.path().join("7"), &format!("7/{RUN}/params/round"));
    link(&fixture.0.path().join("7").join(RUN).join("meta.yaml"), &format!("7/{RUN}/params/meta"));
    let (_, outline) = fixture.read();
    assert_eq!(outline.experiments.len(), 1);
    let run = fixture.only_run().item;
    assert_eq!(run.params.keys().collect::<Vec<_>>(), ["meta"]);
}

#[test]
fn the_registry_and_logged_models_are_read() {
    let fixture = Fixture::new();
    fixture.put(
        "models/cat/meta.yaml",
        "name: cat\ndescription: a cat\ncreation_timestamp: 1\nlast_updated_timestamp: 2",
    );
    fixture.put("models/cat/tags/team", "x");
    fixture.put("models/cat/aliases/best", "10");
    fixture.put("models/cat/aliases/odd", "ten");
    for (version, stage) in [("2", "Production"), ("10", "None"), ("3", "Deleted_Internal")] {
        let meta = format!(
            "name: cat\nversion: {version}\ncurrent_stage: {stage}\nsource: runs:/{RUN}/model\nrun_id: {RUN}\nstatus: READY\n\
             storage_location: /old/mlruns/7/{RUN}/artifacts/a b/model\ncreation_timestamp: 3\nlast_updated_timestamp: 4\n"
        );
        fixture.put(&format!("models/cat/version-{version}/meta.yaml"), meta);
    }
    fixture.put(&format!("7/{RUN}/artifacts/a b/model/MLmodel"), "");
    let meta = format!(
        "model_id: {MODEL}\nexperiment_id: '7'\nname: net\nartifact_location: file:///old/mlruns/7/models/{MODEL}/artifacts\n\
         status: 2\nsource_run_id: {RUN}\ncreation_timestamp: 1\nlast_updated_timestamp: 2\nmodel_type: null\n"
    );
    fixture.put(&format!("7/models/{MODEL}/meta.yaml"), meta);
    fixture.put(
        &format!("7/models/{MODEL}/metrics/acc"),
        format!("1 0.5 0 {RUN}\n2 0.6 1 {RUN}\n1 0.7 0 {RUN} my rows x1\n"),
    );
    fixture.put(&format!("7/models/{MODEL}/tags/t"), "v");
    fs::create_dir_all(fixture.0.path().join(format!("7/models/{MODEL}/artifacts"))).unwrap();
    let (mut folder, outline) = fixture.read();
    let versions: Vec<_> =
        outline.versions.iter().map(|found| (found.item.version, &found.item.stage[..])).collect();
    assert_eq!(versions, [(2, "Production"), (10, "None")]);
    let place = &outline.versions[0].storage_location;
    assert!(
        place.starts_with("file:///") && place.ends_with(&format!("/7/{RUN}/artifacts/a%20b/model")),
        "{place}"
    );
    assert_eq!((outline.models[0].tags["team"].as_str(), outline.models[0].updated_time), ("x", 2));
    assert_eq!(outline.aliases[0].aliases, BTreeMap::from([("best".to_owned(), 10)]));
    let models = folder.logged_models(&outline.logged_models).unwrap();
    let measured: Vec<_> = models[0].item.metrics.iter().map(|at| (&at.dataset_name[..], at.step)).collect();
    assert_eq!(
        (models[0].item.status.as_str(), measured),
        ("LOGGED_MODEL_READY", vec![("", 1), ("my rows", 0)])
    );
    assert!(models[0].artifact_uri.contains(&*fixture.0.path().canonicalize().unwrap().to_string_lossy()));
}

#[test]
fn a_folder_of_something_else_is_refused() {
    let other = tempfile::tempdir().unwrap();
    for path in [other.path().to_owned(), other.path().join("absent"), PathBuf::from("/dev/null")] {
        assert!(Folder::open(&path).is_err(), "{}", path.display());
    }
}
