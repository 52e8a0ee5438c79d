//! The parts of the page at `/`. Text that a client wrote is only ever an escaped text, an escaped part of a link to
//! MLflow's pages, or a quoted word of a command.

use maud::{Markup, html};

use super::{
    format::{ago, duration, escaped, figure, grouped, shell},
    home::Frame,
};
use crate::answers::{Counts, ModelLine, Overview, RunLine};

/// MLflow's pages hide models from who has not chosen "Model training"; our links say so for the page they open.
pub(super) const VIEW: &str = "?workflowType=machine_learning";
/// All experiments.
pub(super) const MLFLOW_EXPERIMENTS: &str = "mlflow/#/experiments?workflowType=machine_learning";
const MLFLOW_MODELS: &str = "mlflow/#/models?workflowType=machine_learning";

const RUNS: usize = 12;
const MODELS: usize = 8;
const EVENTS: usize = 8;

pub(super) fn counts(counts: &Counts) -> Markup {
    let lines = [
        (counts.experiments, "experiment"),
        (counts.runs, "run"),
        (counts.models, "model"),
        (counts.versions, "version"),
    ];
    html! {
        ul.counts aria-label="How much is here" {
            @for (number, noun) in lines {
                li { strong { (grouped(number)) } " " (noun) @if number != 1 { "s" } }
            }
        }
    }
}

pub(super) fn the_loop() -> Markup {
    let steps = [
        ("Log", "runs with params, metrics, data, files"),
        ("Register", "catalog.schema.model, version by version"),
        ("Gate", "only evidence moves @champion"),
        ("Serve", "and log what was answered"),
        ("Watch", "drift, alerts, challengers"),
        ("Ask", "why, lineage, history, audit log"),
    ];
    html! {
        ol.loop aria-label="The loop" { @for (name, what) in steps { li { strong { (name) } span { (what) } } } }
    }
}

/// For who came by a link that the mlflow client printed, while its pages are not served.
pub(super) fn no_pages() -> Markup {
    html! {
        p.note #linked {
            "That link is one of MLflow's pages, which are not served here. Start the server with "
            code { "strongback up --mlflow-ui auto" }
            " to see those of your installed mlflow."
        }
    }
}

pub(super) fn runs(overview: &Overview, frame: &Frame) -> Markup {
    html! {
        section #runs {
            h2 { "Recent runs" @if frame.mlflow { a href=(MLFLOW_EXPERIMENTS) { "All experiments" } } }
            @if overview.runs.is_empty() {
                p.none { "None yet: " code { "with mlflow.start_run(): …" } " makes one." }
            } @else {
                table {
                    thead { tr { th scope="col" { "Run" } th scope="col" { "Status" } th.wide scope="col" { "Metrics" } th scope="col" { "Started" } } }
                    tbody { @for run in overview.runs.iter().take(RUNS) { (run_line(run, frame)) } }
                }
            }
        }
    }
}

fn run_line(run: &RunLine, frame: &Frame) -> Markup {
    let experiment = format!("mlflow/#/experiments/{}", run.experiment_id);
    let name = if run.name.is_empty() { &run.run_id } else { &run.name };
    let status = run.status.to_lowercase();
    let took = run.end_time.map(|end| duration(end.saturating_sub(run.start_time)));
    let more = run.metric_count.saturating_sub(run.metrics.len());
    html! {
        tr {
            td.name {
                @if frame.mlflow { a href={ (experiment) "/runs/" (run.run_id) (VIEW) } title=(run.run_id) { (name) } } @else { span title=(run.run_id) { (name) } }
                small { @if frame.mlflow { a href={ (experiment) "/runs" (VIEW) } { (run.experiment) } } @else { (run.experiment) } }
            }
            td { span class={ "status " (status) } { (status) } }
            td.metrics.wide {
                @for (key, value) in &run.metrics { span { (key) " " b { (figure(*value)) } } " " }
                @if more > 0 { span { "+" (more) } }
            }
            td { (ago(run.start_time, frame.now)) @if let Some(took) = took { br; span.took.quiet title="how long it took" { (took) } } }
        }
    }
}

pub(super) fn models(overview: &Overview, frame: &Frame) -> Markup {
    html! {
        section #models {
            h2 { "Models" @if frame.mlflow { a href=(MLFLOW_MODELS) { "All models" } } }
            @if overview.models.is_empty() {
                p.none { "None yet: pass " code { "registered_model_name=\"catalog.schema.model\"" } " to " code { "log_model" } "." }
            } @else {
                ul.list { @for model in overview.models.iter().take(MODELS) { (model_line(model, frame)) } }
            }
        }
    }
}

fn model_line(model: &ModelLine, frame: &Frame) -> Markup {
    let page = format!("mlflow/#/models/{}", escaped(&model.name));
    html! {
        li {
            p {
                @if frame.mlflow { a href={ (page) (VIEW) } { (model.name) } } @else { strong { (model.name) } }
                span.quiet { @match model.newest_version { Some(version) => { "v" (version) " · " }, None => { "no version · " } } (ago(model.updated_at, frame.now)) }
            }
            @for (alias, version) in &model.aliases {
                @if frame.mlflow { a.alias href={ (page) "/versions/" (version) (VIEW) } { "@" (alias) " → v" (version) } }
                @else { span.alias { "@" (alias) " → v" (version) } }
            }
        }
    }
}

/// Equal events that follow each other are one line: a training loop logs thousands.
pub(super) fn events(overview: &Overview, frame: &Frame) -> Markup {
    let same = |a: &crate::catalog::audit::Listed, b: &crate::catalog::audit::Listed| {
        (&a.action, &a.principal, &a.asset) == (&b.action, &b.principal, &b.asset)
    };
    html! {
        section #events {
            h2 { "What happened" }
            ul.list {
                @for alike in overview.events.chunk_by(same).take(EVENTS) {
                    @if let Some(event) = alike.first() {
                        li {
                            p {
                                span {
                                    (event.action) @if alike.len() > 1 { " ×" (alike.len()) }
                                    " " span.quiet { (event.asset.as_deref().unwrap_or_default()) " by " (event.principal) }
                                }
                                (ago(event.at, frame.now))
                            }
                        }
                    }
                }
            }
        }
    }
}

/// An empty server: three things to type, in the order in which they make sense.
pub(super) fn start(frame: &Frame) -> Markup {
    html! {
        section #next {
            h2 { "Nothing is logged yet. What to type next" }
            ol.start {
                li {
                    p { strong { "1. Point your code here" } ", unchanged" }
                    pre {
                        "export MLFLOW_TRACKING_URI=" (shell(&frame.url)) "\n"
                        @if frame.tokens { "export MLFLOW_TRACKING_TOKEN=sbt_…\n" }
                        "python train.py"
                    }
                }
                li {
                    p { strong { "2. Register what it trained" } }
                    pre {
                        "mlflow.sklearn.log_model(\n    model, name=\"model\", input_example=X[:5],\n    registered_model_name=\"fraud\",\n)"
                    }
                }
                li {
                    p { strong { "3. Give it an alias and load it" } }
                    pre {
                        "client = mlflow.MlflowClient()\nclient.set_registered_model_alias(\n    \"fraud\", \"champion\", 1)\n"
                        "mlflow.pyfunc.load_model(\n    \"models:/fraud@champion\")"
                    }
                }
            }
        }
    }
}

pub(super) fn next(overview: &Overview, frame: &Frame) -> Markup {
    let aliased = overview.models.iter().find_map(|model| {
        let alias = model.aliases.iter().find(|(alias, _)| alias == "champion").or(model.aliases.first())?;
        Some((&model.name, &alias.0))
    });
    let metric = overview.runs.iter().find_map(|run| run.metrics.first());
    let url = shell(&frame.url);
    html! {
        section #next {
            h2 { "What to type next" }
            pre {
                "export MLFLOW_TRACKING_URI=" (url) " STRONGBACK_URL=" (url) "\n"
                @if frame.tokens { "export MLFLOW_TRACKING_TOKEN=sbt_… STRONGBACK_TOKEN=sbt_…\n" }
                "python train.py  " em { "# your code, unchanged" } "\n"
                @if let Some((key, _)) = metric { "strongback runs best --metric " (shell(key)) "\n" }
                @if let Some((name, alias)) = aliased {
                    "strongback history " (shell(&format!("{name}@{alias}"))) "\n"
                    "strongback lineage " (shell(name)) "\n"
                    @match overview.serving.endpoints.iter().find_map(|line| line.traffic.newest.first()) {
                        Some(newest) => { "strongback why " (shell(&newest.request_id)) "\n" },
                        None if overview.serving.endpoints.is_empty() => {
                            "strongback endpoint create my-endpoint --model " (shell(&format!("{name}@{alias}"))) "\n"
                        },
                        None => {},
                    }
                } @else {
                    em { "# and once a model has an alias: strongback history NAME@champion, strongback lineage NAME" } "\n"
                }
                "strongback audit-log verify"
                @if let Some(dir) = &frame.data_dir { " --data-dir " (shell(dir)) }
                "  " em { "# where the server runs" }
            }
        }
    }
}
