//! The things that `tests/data/reference.tsv` was recorded over, and others like them.

use std::borrow::Cow;
use std::cmp::Ordering;

use syntax::search::{
    Attribute, DatasetField, Fields, Grammar, OrderBy, Subject, compare_numbers, compare_texts,
};

/// A thing that is searched: whatever it has, by subject.
#[derive(Debug, Clone, Default)]
pub struct Thing {
    pub name: String,
    numbers: Vec<(Subject, f64)>,
    texts: Vec<(Subject, String)>,
}

impl Thing {
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    pub fn number(mut self, attribute: Attribute, value: f64) -> Self {
        self.numbers.push((Subject::Attribute(attribute), value));
        self
    }

    pub fn text(mut self, attribute: Attribute, value: &str) -> Self {
        self.texts.push((Subject::Attribute(attribute), value.to_owned()));
        self
    }

    pub fn metric(mut self, key: &str, value: f64) -> Self {
        self.numbers.push((Subject::Metric(key.to_owned()), value));
        self
    }

    pub fn param(mut self, key: &str, value: &str) -> Self {
        self.texts.push((Subject::Param(key.to_owned()), value.to_owned()));
        self
    }

    pub fn tag(mut self, key: &str, value: &str) -> Self {
        self.texts.push((Subject::Tag(key.to_owned()), value.to_owned()));
        self
    }

    pub fn dataset(mut self, name: &str, digest: &str, context: &str) -> Self {
        let fields = [DatasetField::Name, DatasetField::Digest, DatasetField::Context];
        for (field, value) in fields.into_iter().zip([name, digest, context]) {
            self.texts.push((Subject::Dataset(field), value.to_owned()));
        }
        self
    }
}

impl Fields for Thing {
    fn number(&self, subject: &Subject) -> Option<f64> {
        self.numbers.iter().find(|(known, _)| known == subject).map(|(_, number)| *number)
    }

    fn text(&self, subject: &Subject) -> Option<Cow<'_, str>> {
        self.texts(subject).into_iter().next()
    }

    fn texts(&self, subject: &Subject) -> Vec<Cow<'_, str>> {
        let of_subject = self.texts.iter().filter(|(known, _)| known == subject);
        of_subject.map(|(_, text)| Cow::Borrowed(text.as_str())).collect()
    }
}

/// The things of a grammar, in MLflow's default order.
pub fn things(grammar: Grammar) -> Vec<Thing> {
    match grammar {
        Grammar::Runs => runs(),
        Grammar::Experiments => experiments(),
        Grammar::RegisteredModels => registered_models(),
        Grammar::ModelVersions => model_versions(),
        Grammar::LoggedModels => logged_models(),
    }
}

/// Orders things as a search would; what is equal keeps its default order.
pub fn sort(grammar: Grammar, things: &mut [Thing], orders: &[OrderBy]) {
    things.sort_by(|left, right| {
        orders.iter().fold(Ordering::Equal, |so_far, order| {
            so_far.then_with(|| {
                let subject = &order.subject;
                if grammar.is_numeric(subject) {
                    let number = |thing: &Thing| Fields::number(thing, subject);
                    compare_numbers(number(left), number(right), order.ascending)
                } else {
                    let (left, right) = (Fields::text(left, subject), Fields::text(right, subject));
                    compare_texts(left.as_deref(), right.as_deref(), order.ascending)
                }
            })
        })
    });
}

fn runs() -> Vec<Thing> {
    let run = |name: &str, user: &str, start: f64, status: &str| {
        Thing::new(name)
            .text(Attribute::RunName, name)
            .tag("mlflow.runName", name)
            .text(Attribute::UserId, user)
            .text(Attribute::Status, status)
            .text(Attribute::RunId, &format!("{name}-id"))
            .text(Attribute::ArtifactUri, &format!("/art/{name}/artifacts"))
            .text(Attribute::ExperimentId, "1")
            .text(Attribute::LifecycleStage, "active")
            .number(Attribute::StartTime, start)
    };
    vec![
        run("Gamma", "ann", 300.0, "RUNNING").metric("nan", 1.0).metric("big", 1e300).param("lr", "10"),
        run("beta", "bob", 200.0, "FAILED")
            .number(Attribute::EndTime, 250.0)
            .metric("acc", 0.5)
            .metric("nan", f64::NAN)
            .param("lr", "0.01")
            .param("note", "100x surexthing")
            .tag("team", "Risk")
            .dataset("train-set", "d2", "train")
            .dataset("eval-set", "d3", "eval"),
        run("alpha", "ann", 100.0, "FINISHED")
            .number(Attribute::EndTime, 150.0)
            .metric("acc", 0.9)
            .metric("val loss", 1.0)
            .metric("a.b", 2.0)
            .param("lr", "0.1")
            .param("Model", "RF")
            .param("note", "100% sure_thing")
            .tag("team", "risk")
            .tag("kind", "Big")
            .tag("a.b", "dot")
            .dataset("train-set", "d1", "train"),
    ]
}

fn experiments() -> Vec<Thing> {
    let experiment = |name: &str, id: u32| {
        Thing::new(name)
            .text(Attribute::Name, name)
            .text(Attribute::ExperimentId, &id.to_string())
            .number(Attribute::CreationTime, 1_700_000_000_000.0 + f64::from(id))
            .number(Attribute::LastUpdateTime, 1_700_000_000_000.0 + f64::from(id))
    };
    vec![
        experiment("Exp-C", 4),
        experiment("exp-b", 3).tag("team", "ml"),
        experiment("exp-a", 2).tag("team", "risk"),
        experiment("exp-runs", 1),
    ]
}

fn registered_models() -> Vec<Thing> {
    let model = |name: &str, changed: f64| {
        Thing::new(name)
            .text(Attribute::Name, name)
            .number(Attribute::CreationTime, changed)
            .number(Attribute::LastUpdateTime, changed)
    };
    vec![
        model("M-Two", 3.0),
        model("fraud.model", 1.0).text(Attribute::Description, "frauds").tag("k", "V"),
        model("m-one", 2.0).text(Attribute::Description, "").tag("k", "v"),
    ]
}

fn model_versions() -> Vec<Thing> {
    let version = |name: &str, number: u32, created: f64, source: &str, run: &str| {
        Thing::new(&format!("{name}/{number}"))
            .text(Attribute::Name, name)
            .text(Attribute::SourcePath, source)
            .text(Attribute::RunId, run)
            .number(Attribute::VersionNumber, f64::from(number))
            .number(Attribute::CreationTime, created)
            .number(Attribute::LastUpdateTime, created)
    };
    vec![
        version("M-Two", 1, 3.0, "s3://b/one", "r1").tag("k", "w"),
        version("m-one", 2, 2.0, "s3://b/two", "r2"),
        version("m-one", 1, 1.0, "s3://b/one", "r1").tag("k", "v"),
    ]
}

fn logged_models() -> Vec<Thing> {
    let model = |name: &str, status: &str, created: f64| {
        Thing::new(name)
            .text(Attribute::Name, name)
            .text(Attribute::ModelId, &format!("m-{name}"))
            .text(Attribute::Status, status)
            .text(Attribute::ExperimentId, "1")
            .number(Attribute::CreationTime, created)
            .number(Attribute::LastUpdateTime, created)
    };
    vec![
        model("LM-c", "1", 3.0),
        model("lm-b", "3", 2.0).text(Attribute::ModelType, "tool").metric("acc", 0.5).param("lr", "0.2"),
        model("lm-a", "2", 1.0)
            .text(Attribute::ModelType, "Agent")
            .metric("acc", 0.9)
            .param("lr", "0.1")
            .tag("team", "risk"),
    ]
}
