//! What holds while others write, while the index is built by two at once, and while histories are compacted.

use std::{
    borrow::Cow,
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use serde_json::{Value, json};
use syntax::search::{
    Attribute, DatasetField, Fields, Function, Grammar, OrderBy, Predicate, Subject, compare_numbers,
    compare_texts, parse_filter, parse_order_by,
};
use testkit::random::Random;
use tokio::task::JoinSet;

use super::{M, experiment, log, run};
use crate::support::{TestApp, ok, on_every_store};

/// What a writer knows of one of its runs.
#[derive(Debug, Clone, Default)]
struct Known {
    id: String,
    /// Every value of each, in the order of their steps.
    metrics: BTreeMap<String, Vec<f64>>,
    texts: BTreeMap<(bool, String), String>,
    datasets: BTreeSet<(String, String)>,
    status: &'static str,
    start: i64,
    end: Option<i64>,
    deleted: bool,
}

const PARAM: bool = true;
const TAG: bool = false;

impl Fields for Known {
    fn number(&self, subject: &Subject) -> Option<f64> {
        match subject {
            Subject::Metric(key) => self.metrics.get(key)?.last().copied(),
            Subject::Aggregate(aggregate) => {
                if let Some(literal) = aggregate.literal().and_then(|key| self.metrics.get(key)) {
                    return literal.last().copied();
                }
                let values = self.metrics.get(aggregate.key())?.iter().copied();
                match aggregate.function() {
                    Function::Last => values.last(),
                    Function::Min => values.filter(|value| !value.is_nan()).reduce(f64::min),
                    Function::Max => values.filter(|value| !value.is_nan()).reduce(f64::max),
                }
            }
            Subject::Attribute(Attribute::StartTime) => Some(self.start as f64),
            Subject::Attribute(Attribute::EndTime) => self.end.map(|end| end as f64),
            _ => None,
        }
    }

    fn text(&self, subject: &Subject) -> Option<Cow<'_, str>> {
        match subject {
            Subject::Param(key) => self.texts.get(&(PARAM, key.clone())).map(|text| text.as_str().into()),
            Subject::Tag(key) => self.texts.get(&(TAG, key.clone())).map(|text| text.as_str().into()),
            Subject::Attribute(Attribute::RunId) => Some(self.id.as_str().into()),
            Subject::Attribute(Attribute::Status) => Some(self.status.into()),
            _ => None,
        }
    }

    fn texts(&self, subject: &Subject) -> Vec<Cow<'_, str>> {
        let inputs = self.datasets.iter();
        match subject {
            Subject::Dataset(DatasetField::Name) => inputs.map(|(name, _)| name.as_str().into()).collect(),
            Subject::Dataset(DatasetField::Context) => inputs.map(|(_, used)| used.as_str().into()).collect(),
            _ => self.text(subject).into_iter().collect(),
        }
    }
}

/// One of several who write their own runs into one experiment and search them.
struct Writer {
    test: Arc<TestApp>,
    home: String,
    name: String,
    random: Random,
    step: i64,
    runs: Vec<Known>,
}

fn one_of<'t>(random: &mut Random, among: &[&'t str]) -> &'t str {
    among[random.below(among.len() as u64) as usize]
}

impl Writer {
    async fn create(&mut self) {
        let start = self.random.below(4) as i64;
        let body = json!({ "experiment_id": self.home, "run_name": "r", "start_time": start,
            "tags": [{ "key": "writer", "value": self.name }] });
        let made = self.test.post(&format!("{M}/runs/create"), body).await;
        let id = ok(&made)["run"]["info"]["run_id"].as_str().unwrap().to_owned();
        let texts = [("writer", self.name.as_str()), ("mlflow.runName", "r")];
        let texts = texts.map(|(key, value)| ((TAG, key.to_owned()), value.to_owned()));
        self.runs.push(Known { id, texts: texts.into(), status: "RUNNING", start, ..Known::default() });
    }

    async fn post(&self, path: &str, run: &Known, mut body: Value) {
        body["run_id"] = json!(run.id);
        ok(&self.test.post(&format!("{M}/runs/{path}"), body).await);
    }

    /// Changes a random run of its own.
    async fn change(&mut self) {
        let at = self.random.below(self.runs.len() as u64) as usize;
        let mut known = self.runs[at].clone();
        if known.deleted {
            known.deleted = false;
            self.post("restore", &known, json!({})).await;
            self.runs[at] = known;
            return;
        }
        match self.random.below(6) {
            0 => self.log(&mut known).await,
            1 => {
                let key = one_of(&mut self.random, &["t0", "t1"]).to_owned();
                if known.texts.remove(&(TAG, key.clone())).is_some() {
                    self.post("delete-tag", &known, json!({ "key": key })).await;
                }
            }
            2 => {
                (known.status, known.end) = ("FINISHED", Some(self.random.below(4) as i64));
                let body = json!({ "status": known.status, "end_time": known.end });
                self.post("update", &known, body).await;
            }
            3 => {
                known.deleted = true;
                self.post("delete", &known, json!({})).await;
            }
            4 => {
                let name = one_of(&mut self.random, &["d0", "d1"]).to_owned();
                let used = if name == "d0" { "train" } else { "test" }.to_owned();
                let dataset = json!({ "name": name, "digest": "1", "source_type": "local", "source": "x" });
                let tags = json!([{ "key": "mlflow.data.context", "value": used }]);
                let body = json!({ "datasets": [{ "dataset": dataset, "tags": tags }] });
                self.post("log-inputs", &known, body).await;
                known.datasets.insert((name, used));
            }
            _ => self.create().await,
        }
        self.runs[at] = known;
    }

    async fn log(&mut self, known: &mut Known) {
        self.step += 1;
        let metric = one_of(&mut self.random, &["m0", "m0", "m1", "m1", "m2", "m1.max"]).to_owned();
        let value = one_of(&mut self.random, &["NaN", "-1", "0", "0.5", "2"]);
        let param = one_of(&mut self.random, &["p0", "p1"]).to_owned();
        let tag = one_of(&mut self.random, &["t0", "t1"]).to_owned();
        let text = one_of(&mut self.random, &["", "a", "B", "ab", "é"]).to_owned();
        // A param is written once.
        let first = known.texts.entry((PARAM, param.clone())).or_insert_with(|| text.clone()).clone();
        let body = json!({
            "metrics": [{ "key": metric, "value": value, "timestamp": 1, "step": self.step }],
            "params": [{ "key": param, "value": first }],
            "tags": [{ "key": tag, "value": text }],
        });
        self.post("log-batch", known, body).await;
        known.metrics.entry(metric).or_default().push(value.parse().unwrap());
        known.texts.insert((TAG, tag), text);
    }

    /// Asks something random about its own runs, page by page, and works the answer out one run after another.
    async fn check(&mut self) {
        let filters = [
            "metrics.m0 > 0",
            "metrics.m1 != 0.5",
            "metrics.m2 <= 0.5",
            "metrics.m0.min < 0",
            "metrics.m1.max = 2",
            "metrics.`m1`.max >= 0.5",
            "NOT metrics.m2.min < 0.5",
            "params.p0 = 'a'",
            "params.p1 != 'B'",
            "params.p0 IS NULL",
            "tags.t0 ILIKE '%b'",
            "tags.t1 IS NOT NULL",
            "tags.t1 LIKE 'a%'",
            "status = 'FINISHED'",
            "end_time < 2",
            "start_time >= 1",
            "dataset.name = 'd0'",
            "dataset.context IN ('test')",
        ];
        let orders = [
            "metrics.m0 DESC",
            "metrics.m1",
            "metrics.m0.max",
            "metrics.m1.max DESC",
            "metrics.`m1`.min DESC",
            "params.p0 DESC",
            "tags.t0",
            "status",
            "end_time DESC",
            "start_time",
            "run_id DESC",
        ];
        let mut filter = format!("tags.writer = '{}'", self.name);
        for _ in 0..self.random.below(3) {
            filter = format!("{filter} AND {}", one_of(&mut self.random, &filters));
        }
        let mut order: Vec<String> = Vec::new();
        for _ in 0..self.random.below(3) {
            let field = one_of(&mut self.random, &orders).to_owned();
            if !order.contains(&field) {
                order.push(field);
            }
        }
        let view = one_of(&mut self.random, &["ACTIVE_ONLY", "DELETED_ONLY", "ALL"]);
        let most = 1 + self.random.below(8);
        let mut body = json!({ "experiment_ids": [self.home], "filter": filter, "order_by": order,
            "run_view_type": view, "max_results": most });
        let mut found: Vec<String> = Vec::new();
        loop {
            let answer = self.test.post(&format!("{M}/runs/search"), body.clone()).await;
            found.extend(ids(ok(&answer)));
            match answer.json["next_page_token"].as_str() {
                Some(next) => body["page_token"] = json!(next),
                None => break,
            }
        }
        assert_eq!(found, self.expected(&filter, &order, view), "{filter:?} by {order:?}, {view}");
    }

    fn expected(&self, filter: &str, order: &[String], view: &str) -> Vec<String> {
        let predicate = Predicate::new(&parse_filter(Grammar::Runs, filter).unwrap());
        let order = parse_order_by(Grammar::Runs, order).unwrap();
        let shown = |run: &&Known| view == "ALL" || run.deleted == (view == "DELETED_ONLY");
        let mut found: Vec<&Known> =
            self.runs.iter().filter(shown).filter(|run| predicate.matches(*run)).collect();
        found.sort_by(|a, b| compare(a, b, &order));
        found.into_iter().map(|run| run.id.clone()).collect()
    }
}

fn compare(a: &Known, b: &Known, order: &[OrderBy]) -> Ordering {
    for OrderBy { subject, ascending } in order {
        let is_number = matches!(
            subject,
            Subject::Metric(_)
                | Subject::Aggregate(_)
                | Subject::Attribute(Attribute::StartTime | Attribute::EndTime)
        );
        let by = if is_number {
            compare_numbers(a.number(subject), b.number(subject), *ascending)
        } else {
            compare_texts(a.text(subject).as_deref(), b.text(subject).as_deref(), *ascending)
        };
        if by.is_ne() {
            return by;
        }
    }
    b.start.cmp(&a.start).then_with(|| a.id.cmp(&b.id))
}

fn ids(answer: &Value) -> Vec<String> {
    let runs = answer["runs"].as_array().into_iter().flatten();
    runs.map(|run| run["info"]["run_id"].as_str().unwrap().to_owned()).collect()
}

/// Runs `work` while two builders index and compact all the time.
async fn under_builders<T>(test: &Arc<TestApp>, work: impl Future<Output = T>) -> T {
    let stop = Arc::new(AtomicBool::new(false));
    let mut builders = JoinSet::new();
    for _ in 0..2 {
        let (test, stop) = (Arc::clone(test), Arc::clone(&stop));
        builders.spawn(async move {
            while !stop.load(Relaxed) {
                strongback::tracking::catch_up(&test.app).await.unwrap();
                tokio::task::yield_now().await;
            }
        });
    }
    let done = work.await;
    stop.store(true, Relaxed);
    while let Some(ended) = builders.join_next().await {
        ended.unwrap();
    }
    done
}

async fn all(mut tasks: JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
}

#[test]
fn every_page_equals_reading_all_runs_while_others_write_and_the_index_is_built() {
    let seed = Random::arbitrary_seed();
    println!("seed {seed}");
    on_every_store(|test| async move {
        let home = experiment(&test, "raced").await;
        let test = Arc::new(test);
        let mut writers = JoinSet::new();
        for number in 0..3 {
            let (test, home) = (Arc::clone(&test), home.clone());
            let mut writer = Writer {
                test,
                home,
                name: format!("w{number}"),
                random: Random::new(seed + number),
                step: 0,
                runs: Vec::new(),
            };
            writers.spawn(async move {
                writer.create().await;
                for _ in 0..80 {
                    writer.change().await;
                    writer.check().await;
                }
            });
        }
        under_builders(&test, all(writers)).await;
    });
}

#[test]
fn pages_neither_repeat_nor_skip_what_was_there_before_them() {
    on_every_store(|test| async move {
        let home = experiment(&test, "paged").await;
        let mut before = Vec::new();
        for n in 0..40 {
            let id = run(&test, &home, "old").await;
            log(&test, &id, json!({ "metrics": [{ "key": "m", "value": n % 9, "timestamp": 1 }] })).await;
            before.push(id);
        }
        let test = Arc::new(test);
        let stop = Arc::new(AtomicBool::new(false));
        let mut inserting = JoinSet::new();
        let (other, into, stopped) = (Arc::clone(&test), home.clone(), Arc::clone(&stop));
        inserting.spawn(async move {
            let mut random = Random::new(1);
            for _ in 0..200 {
                if stopped.load(Relaxed) {
                    break;
                }
                let id = run(&other, &into, "new").await;
                let value = random.below(9);
                let metrics = json!({ "metrics": [{ "key": "m", "value": value, "timestamp": 1 }] });
                log(&other, &id, metrics).await;
            }
        });
        under_builders(&test, async {
            for most in [3, 7, 7, 13] {
                let mut body = json!({ "experiment_ids": [home], "order_by": ["metrics.m DESC"],
                    "filter": "metrics.m >= 0", "max_results": most });
                let mut found: Vec<String> = Vec::new();
                loop {
                    let answer = test.post(&format!("{M}/runs/search"), body.clone()).await;
                    found.extend(ids(ok(&answer)));
                    match answer.json["next_page_token"].as_str() {
                        Some(next) => body["page_token"] = json!(next),
                        None => break,
                    }
                }
                let distinct: BTreeSet<&String> = found.iter().collect();
                assert_eq!(distinct.len(), found.len(), "a run came twice");
                assert!(before.iter().all(|id| distinct.contains(id)), "a run was skipped");
            }
            stop.store(true, Relaxed);
            all(inserting).await;
        })
        .await;
    });
}

async fn steps(test: &TestApp, run: &str, key: &str) -> Vec<i64> {
    let answer = test.get(&format!("{M}/metrics/get-history?run_id={run}&metric_key={key}")).await;
    let points = ok(&answer)["metrics"].as_array().into_iter().flatten();
    points.map(|point| point["step"].as_i64().unwrap()).collect()
}

#[test]
fn what_several_append_to_one_run_survives_its_compaction() {
    on_every_store(|test| async move {
        let home = experiment(&test, "appended").await;
        let id = run(&test, &home, "r").await;
        // Of a run that has ended, few pieces are worth compacting.
        ok(&test
            .post(&format!("{M}/runs/update"), json!({ "run_id": id, "status": "FINISHED", "end_time": 1 }))
            .await);
        let test = Arc::new(test);
        let mut appending = JoinSet::new();
        for writer in 0..4_i64 {
            let (test, id) = (Arc::clone(&test), id.clone());
            appending.spawn(async move {
                let own = format!("own{writer}");
                for batch in 0..15_i64 {
                    let points = (batch * 40..(batch + 1) * 40).flat_map(|step| {
                        let shared = step * 4 + writer;
                        [
                            json!({ "key": own, "value": step, "timestamp": step, "step": step }),
                            json!({ "key": "shared", "value": shared, "timestamp": shared, "step": shared }),
                        ]
                    });
                    let tag = json!({ "key": format!("{own}.{batch}"), "value": "1" });
                    log(&test, &id, json!({ "metrics": points.collect::<Vec<_>>(), "tags": [tag] })).await;
                    assert_eq!(steps(&test, &id, &own).await, (0..(batch + 1) * 40).collect::<Vec<_>>());
                }
            });
        }
        under_builders(&test, all(appending)).await;
        strongback::tracking::catch_up(&test.app).await.unwrap();
        assert_eq!(steps(&test, &id, "shared").await, (0..2_400).collect::<Vec<_>>());
        let got = test.get(&format!("{M}/runs/get?run_id={id}")).await;
        let data = &ok(&got)["run"]["data"];
        assert_eq!(data["tags"].as_array().unwrap().len(), 61, "a tag was lost");
        let latest = |key: &str| {
            let metrics = data["metrics"].as_array().unwrap();
            metrics.iter().find(|metric| metric["key"] == key).unwrap()["step"].as_i64()
        };
        assert_eq!((latest("shared"), latest("own0")), (Some(2_399), Some(599)));
    });
}

#[test]
fn of_several_values_for_one_param_one_wins() {
    on_every_store(|test| async move {
        let home = experiment(&test, "params").await;
        let id = run(&test, &home, "r").await;
        let test = Arc::new(test);
        let mut writing = JoinSet::new();
        for value in 0..8 {
            let (test, id) = (Arc::clone(&test), id.clone());
            writing.spawn(async move {
                let body = json!({ "run_id": id, "key": "p", "value": value.to_string() });
                let answer = test.post(&format!("{M}/runs/log-parameter"), body).await;
                (answer.status, value.to_string())
            });
        }
        let answers: Vec<(u16, String)> = writing.join_all().await;
        let mut won = answers.iter().filter(|(status, _)| *status == 200);
        let winner = won.next().unwrap();
        assert!(won.next().is_none(), "{answers:?}");
        assert!(answers.iter().all(|(status, _)| matches!(status, 200 | 400)), "{answers:?}");
        let got = test.get(&format!("{M}/runs/get?run_id={id}")).await;
        assert_eq!(ok(&got)["run"]["data"]["params"], json!([{ "key": "p", "value": winner.1 }]));
    });
}
