"""The page of a run in MLflow's pages, and that of a logged model: what is written there is kept."""

import json
import re

from playwright.sync_api import expect

from mlflow_pages import (
    NAME_IS_FREE,
    VIEW,
    add_tag,
    answer,
    buttons_beside,
    clean,
    dialog,
    drawn,
    gone,
    menu,
    pick,
    write_note,
)
from watch import CONTENT_LIMIT_MS


def run_page(visit, fleet, name: str):
    return visit(f"/experiments/{fleet.experiment_id}/runs/{fleet.runs[name]}{VIEW}", "About this run", name)


def register(tab, model: str) -> None:
    """Registers the model of a page under a new name."""
    tab.page.get_by_role("button", name="Register model").first.click()
    opened = dialog(tab, "Register model")
    pick(tab, opened, "Create New Model")
    opened.get_by_placeholder("Input a model name").fill(model)
    with tab.page.expect_response("**/model-versions/create"):
        answer(opened, "Register")


def test_tags_are_edited(visit, keeper, fleet):
    tab = run_page(visit, fleet, "ash")
    tab.page.get_by_role("button", name="Edit tags").click()
    opened = dialog(tab, "Add/Edit tags")
    add_tag(opened, "owner", "ada")
    answer(opened, "Save tags")
    tab.see("ada")
    tags = keeper.get_run(fleet.runs["ash"]).data.tags
    assert (tags["owner"], tags["team"]) == ("ada", "red")
    # One is taken away, the other one gets another value.
    tab.page.get_by_role("button", name="Edit tags").click()
    opened = dialog(tab, "Add/Edit tags")
    buttons_beside(opened.get_by_text("owner", exact=True)).click()
    add_tag(opened, "team", "green")
    answer(opened, "Save tags")
    tab.see("green")
    tags = keeper.get_run(fleet.runs["ash"]).data.tags
    assert "owner" not in tags
    assert tags["team"] == "green"
    clean(tab)


def test_description_is_edited(visit, keeper, fleet):
    tab = run_page(visit, fleet, "ash")
    for text in ("The first one", "The second one"):
        with tab.page.expect_response("**/runs/set-tag"):
            write_note(tab, tab.page.get_by_role("button", name="Edit description"), text)
        assert keeper.get_run(fleet.runs["ash"]).data.tags["mlflow.note.content"] == text
    clean(tab)


def test_run_is_renamed_on_its_page(visit, keeper, fleet):
    tab = run_page(visit, fleet, "ash")
    menu(tab, "Rename")
    opened = dialog(tab, "Rename")
    opened.get_by_test_id("rename-modal-input").fill("elm")
    answer(opened, "Save")
    tab.see("elm", exact=True)
    assert keeper.get_run(fleet.runs["ash"]).info.run_name == "elm"
    clean(tab)


def test_run_is_deleted_on_its_page(visit, keeper, fleet):
    tab = run_page(visit, fleet, "ash")
    menu(tab, "Delete")
    answer(dialog(tab, "Delete"), "Delete selected")
    # What is left is the experiment.
    tab.page.wait_for_url(re.compile(rf"/experiments/{fleet.experiment_id}/(?!runs/)"))
    assert keeper.get_run(fleet.runs["ash"]).info.lifecycle_stage == "deleted"
    clean(tab)


def test_metrics_and_params_are_searched(visit, world):
    tab = visit(f"/experiments/{world.experiment_id}/runs/{world.full_run}{VIEW}", "About this run")
    tab.page.get_by_placeholder("Search metrics").fill("au")
    gone(tab.page.get_by_role("link", name="rows", exact=True))
    tab.page.get_by_placeholder("Search parameters").fill("dep")
    gone(tab.page.get_by_text("learning_rate", exact=True))
    tab.page.get_by_role("link", name="auc", exact=True).click()
    drawn(tab, ".js-plotly-plot .bars path")
    tab.page.get_by_placeholder("Search metric charts").fill("loss")
    drawn(tab, ".js-plotly-plot path.js-line")
    expect(tab.page.locator(".js-plotly-plot")).to_have_count(1, timeout=CONTENT_LIMIT_MS)
    clean(tab)


def test_data_of_a_run_is_shown(visit, world):
    tab = visit(f"/experiments/{world.experiment_id}/runs/{world.full_run}{VIEW}", "About this run")
    tab.page.get_by_text("transactions").click()
    drawer = dialog(tab, "Data details for")
    for text in ("1 datasets used", "200", "amount", "distance", "double"):
        expect(drawer.get_by_text(text).first).to_be_visible()
    drawer.get_by_placeholder("Search fields").fill("hour")
    gone(drawer.get_by_text("amount", exact=True))
    clean(tab)


def test_every_tab_of_a_run_opens(visit, world):
    tab = visit(f"/experiments/{world.experiment_id}/runs/{world.full_run}{VIEW}", "About this run")
    for name, text in [
        ("Model metrics", "smallest"),
        ("System metrics", "No charts in this section"),
        ("Traces", "No traces found"),
        ("Artifacts", "report.json"),
        ("Overview", "About this run"),
    ]:
        tab.page.get_by_role("tab", name=name).click()
        tab.see(text)
    clean(tab)


def test_model_in_the_files_of_a_run_is_registered(visit, keeper, fleet, unique):
    """As MLflow 2 logs it: a folder of the run, and a tag that says so."""
    run, model = fleet.runs["ash"], unique("from-run")
    keeper.log_text(run, "flavors:\n  python_function:\n    loader_module: nowhere\n", "model/MLmodel")
    logged = {"run_id": run, "artifact_path": "model", "utc_time_created": "2024-11-24 00:00:00.000000"}
    keeper.set_tag(run, "mlflow.log-model.history", json.dumps([logged | {"flavors": {"python_function": {}}}]))
    tab = run_page(visit, fleet, "ash")
    tab.page.get_by_role("tab", name="Artifacts").click()
    tab.see("Validate the model before deployment")
    register(tab, model)
    version = keeper.get_model_version(model, "1")
    assert (version.run_id, version.status) == (run, "READY")
    tab.page.get_by_role("tab", name="Overview").click()
    tab.page.reload()
    tab.see(model)
    clean(tab, NAME_IS_FREE)


def logged_model_page(visit, keeper, fleet):
    logged = keeper.create_logged_model(fleet.experiment_id, "forest", fleet.runs["ash"])
    keeper.finalize_logged_model(logged.model_id, "READY")
    path = f"/experiments/{fleet.experiment_id}/models/{logged.model_id}{VIEW}"
    return logged, visit(path, "About this logged model", "Ready", "forest")


def test_logged_model_is_described_and_deleted(visit, keeper, fleet):
    logged, tab = logged_model_page(visit, keeper, fleet)
    write_note(tab, tab.page.get_by_role("button", name="Edit description"), "Of few trees")
    assert keeper.get_logged_model(logged.model_id).tags["mlflow.note.content"] == "Of few trees"
    tab.page.get_by_role("button", name="More actions").click()
    tab.page.get_by_role("menuitem", name="Delete").click()
    answer(dialog(tab, "Delete"), "Delete")
    gone(tab.page.get_by_text(logged.model_id))
    assert not keeper.search_logged_models([fleet.experiment_id])
    clean(tab)


def test_logged_model_is_registered(visit, keeper, fleet, unique):
    logged, tab = logged_model_page(visit, keeper, fleet)
    tab.see("Not registered")
    model = unique("from-page")
    register(tab, model)
    version = keeper.get_model_version(model, "1")
    assert (version.source, version.run_id) == (f"models:/{logged.model_id}", fleet.runs["ash"])
    clean(tab, NAME_IS_FREE)
    # The server tells the logged model what it was registered as, and its page shows it.
    tab.page.reload()
    tab.see("About this logged model")
    tab.see(model)
    gone(tab.page.get_by_text("Not registered"))
