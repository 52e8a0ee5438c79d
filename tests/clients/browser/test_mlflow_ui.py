"""MLflow's own web pages over this server: every page shows what the client logged, and no call of it fails.

Against a peer (``STRONGBACK_TEST_PEER_URL``) the same tests open MLflow's own server.
"""

from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from mlflow_pages import VIEW, clean, drawn
from watch import CONTENT_LIMIT_MS
from world import HOSTILE


def test_experiments(visit, world):
    tab = visit(f"/experiments{VIEW}", world.experiment, "Default")
    clean(tab)


def test_runs_table(visit, world):
    path = f"/experiments/{world.experiment_id}/runs{VIEW}"
    tab = visit(path, "logistic regression", "boosted trees", HOSTILE, "broke off", "still running", "5 matching runs")
    tab.see("transactions")
    clean(tab)


def test_runs_are_searched(visit, world):
    path = f"/experiments/{world.experiment_id}/runs{VIEW}&searchFilter={quote('metrics.auc > 0.92')}"
    tab = visit(path, "boosted trees", "1 matching run")
    expect(tab.page.get_by_text("logistic regression")).to_have_count(0)
    clean(tab)


def test_charts_of_several_runs(visit, world):
    tab = visit(
        f"/experiments/{world.experiment_id}/runs{VIEW}&compareRunsMode=CHART", "logistic regression", "auc", "loss"
    )
    drawn(tab, ".js-plotly-plot .bars path, .js-plotly-plot path.js-line")
    clean(tab)


def test_run_overview(visit, world):
    path = f"/experiments/{world.experiment_id}/runs/{world.full_run}{VIEW}"
    tab = visit(path, "logistic regression", "Finished", world.full_run, "transactions", "2024-Q4-v2", world.model)
    tab.see("Notes on this run")
    for text in ("learning_rate", "0.9123", "284807"):
        expect(tab.page.get_by_text(text).first).to_be_attached()
    clean(tab)


def test_run_with_a_hostile_name(visit, world):
    tab = visit(f"/experiments/{world.experiment_id}/runs/{world.hostile_run}{VIEW}", HOSTILE)
    clean(tab)


def test_run_by_its_id_alone(visit, world):
    clean(visit(f"/runs/{world.full_run}{VIEW}", "logistic regression", "About this run"))


def test_metric_charts_of_a_run(visit, world):
    tab = visit(f"/experiments/{world.experiment_id}/runs/{world.full_run}/model-metrics{VIEW}", "auc", "loss", "rows")
    drawn(tab, ".js-plotly-plot path.js-line")
    drawn(tab, ".js-plotly-plot .bars path")
    # A line through forty points, not through a few.
    line = tab.page.locator(".js-plotly-plot path.js-line").first.get_attribute("d")
    assert sum(line.count(letter) for letter in "MLCQS") >= 20, line
    clean(tab)


def test_artifacts_of_a_run(visit, world):
    tab = visit(f"/experiments/{world.experiment_id}/runs/{world.full_run}/artifacts{VIEW}", "notes", "report.json")
    tab.see("report.json").click()
    tab.see("threshold")
    tab.see("notes", exact=True).click()
    tab.see("readme.txt").click()
    tab.see("a word about this run")
    clean(tab)


def test_comparison_of_two_runs(visit, world):
    runs = quote(f'["{world.full_run}","{world.other_run}"]')
    # The page takes its arguments by their place.
    experiments = quote(f'["{world.experiment_id}"]')
    tab = visit(f"/compare-runs?runs={runs}&experiments={experiments}&{VIEW[1:]}", "Comparing 2 Runs from 1 Experiment")
    for text in ("logistic regression", "boosted trees", "learning_rate"):
        tab.see(text)
    # An axis for each param that differs, and one for the metric.
    drawn(tab, ".js-plotly-plot .parcoords .y-axis", 3)
    clean(tab)


def test_logged_models_of_an_experiment(visit, world):
    clean(visit(f"/experiments/{world.experiment_id}/models{VIEW}", "model", "logistic regression", "boosted trees"))


def test_logged_model(visit, world):
    path = f"/experiments/{world.experiment_id}/models/{world.logged_model}"
    clean(visit(f"{path}{VIEW}", world.logged_model, "logistic regression", "Ready"))
    clean(visit(f"{path}/artifacts{VIEW}", "MLmodel", "requirements.txt"))


def test_registered_models(visit, world):
    tab = visit(f"/models{VIEW}", world.model, world.hostile_model, "Version 2")
    # MLflow greets every new browser with what its registry can do.
    tab.page.get_by_role("button", name="Try it now").click()
    row = tab.page.get_by_role("row").filter(has_text=world.model).filter(has_not_text=world.hostile_model)
    expect(row).to_contain_text("challenger")
    clean(tab)


def test_registered_model(visit, world):
    tab = visit(f"/models/{world.model}{VIEW}", world.model, "Scores card transactions", "champion", "challenger")
    clean(tab)


def test_model_version(visit, world):
    tab = visit(f"/models/{world.model}/versions/2{VIEW}", "Version 2", "challenger", "boosted trees", "Inputs (3)")
    clean(tab)


def test_comparison_of_two_versions(visit, world):
    runs = quote(f'{{"1":"{world.full_run}","2":"{world.other_run}"}}')
    name = quote(f'"{world.model}"')
    clean(visit(f"/compare-model-versions?name={name}&runs={runs}&{VIEW[1:]}", "Comparing 2 Versions", "learning_rate"))


# What these pages ask for and this server says that it has not.
LEFT_OUT = {
    "/playground": [("GET", "gateway/endpoints/list")],
    "/review-queue": [
        ("GET", "review-queues/list"),
        ("POST", "review-queues/get-or-create-user"),
        ("GET", "label-schemas/list"),
    ],
}


@pytest.mark.parametrize(
    "page",
    [
        "",
        "/traces",
        "/evaluation-runs",
        "/datasets",
        "/judges",
        "/chat-sessions",
        "/overview/usage",
        "/playground",
        "/prompts",
        "/review-queue",
    ],
)
def test_view_for_language_models_has_nothing_and_says_so(visit, world, page):
    """It is the view in which MLflow's pages start. Traces are not part of this server, so there are none."""
    tab = visit(f"/experiments/{world.experiment_id}{page}", world.experiment.rsplit("/", 1)[1])
    tab.see("Training runs")
    failed = tab.page.get_by_text("Failed to load").or_(tab.page.get_by_text("Couldn't load"))
    expect(failed).to_have_count(0)
    clean(tab, {(501, method, f"/ajax-api/3.0/mlflow/{call}") for method, call in LEFT_OUT.get(page, ())})


def test_a_change_made_on_a_page_is_kept(visit, keeper, world):
    """The pages write too: an alias is given on the page of the version, and the client finds it."""
    tab = visit(f"/models/{world.model}/versions/2{VIEW}", "Version 2")
    tab.page.get_by_role("button", name="Edit aliases").click()
    dialog = tab.page.get_by_role("dialog").filter(has_text="Save aliases")
    dialog.get_by_role("combobox").press_sequentially("shadow")
    tab.page.keyboard.press("Enter")
    dialog.get_by_role("button", name="Save aliases").click()
    expect(dialog).to_have_count(0, timeout=CONTENT_LIMIT_MS)
    tab.see("shadow")
    clean(tab)
    assert keeper.get_model_version_by_alias(world.model, "shadow").version == "2"
    keeper.delete_registered_model_alias(world.model, "shadow")
