"""The list of experiments in MLflow's pages, and the page that changes one."""

import re

from playwright.sync_api import expect

from mlflow_pages import (
    NAME_IS_FREE,
    VIEW,
    add_tag,
    answer,
    choose_runs,
    clean,
    dialog,
    drawn,
    gone,
    menu,
    runs_are,
)
from watch import CONTENT_LIMIT_MS
from world import make_fleet


def search(tab, text: str) -> None:
    box = tab.page.get_by_test_id("search-experiment-input")
    box.fill(text)
    box.press("Enter")


def listed(tab, *names: str) -> None:
    """Waits until the list holds these and no others."""
    links = tab.page.get_by_test_id("experiment-list-item-link")
    expect(links).to_have_text(list(names), timeout=CONTENT_LIMIT_MS)


def row(tab, name: str):
    return tab.page.get_by_role("row").filter(has=tab.page.get_by_role("link", name=name, exact=True))


def choose(tab, *names: str) -> None:
    for name in names:
        row(tab, name).get_by_role("checkbox").check()


def test_experiment_is_created(visit, keeper, unique):
    name = unique("made on the page")
    tab = visit(f"/experiments{VIEW}", "Default")
    tab.page.get_by_test_id("create-experiment-button").click()
    opened = dialog(tab, "Create Experiment")
    opened.get_by_placeholder("Input an experiment name").fill(name)
    answer(opened, "Create")
    tab.page.wait_for_url(re.compile("/experiments/[0-9]+"))
    tab.see(name)
    made = keeper.get_experiment_by_name(name)
    assert f"/experiments/{made.experiment_id}" in tab.page.url
    clean(tab, NAME_IS_FREE)


def test_name_that_is_taken_is_refused_before_it_is_sent(visit, fleet):
    tab = visit(f"/experiments{VIEW}", "Default")
    tab.page.get_by_test_id("create-experiment-button").click()
    opened = dialog(tab, "Create Experiment")
    opened.get_by_placeholder("Input an experiment name").fill(fleet.experiment)
    opened.get_by_role("button", name="Create", exact=True).click()
    expect(opened).to_contain_text("already exists", timeout=CONTENT_LIMIT_MS)
    answer(opened, "Close")
    clean(tab)


def test_experiment_is_renamed_and_described(visit, keeper, fleet, unique):
    name = unique("renamed")
    tab = visit(f"/experiments/{fleet.experiment_id}/runs{VIEW}", "matching runs", fleet.experiment)
    menu(tab, "Edit experiment")
    opened = dialog(tab, "Edit experiment")
    opened.get_by_placeholder("Enter experiment name").fill(name)
    opened.get_by_test_id("text-area").fill("What it is for")
    answer(opened, "Save")
    tab.see(name)
    kept = keeper.get_experiment(fleet.experiment_id)
    assert (kept.name, kept.tags["mlflow.note.content"]) == (name, "What it is for")
    clean(tab, NAME_IS_FREE)


def test_experiments_are_searched(visit, fleet):
    tab = visit(f"/experiments{VIEW}", "Default", fleet.experiment)
    search(tab, fleet.experiment[:-3].upper())
    listed(tab, fleet.experiment)
    search(tab, "nothing is called so")
    tab.see("No experiments found")
    search(tab, "")
    tab.see("Default")
    clean(tab)


def test_experiment_is_tagged_in_the_list(visit, keeper, fleet, unique):
    purpose = unique("purpose")
    tab = visit(f"/experiments{VIEW}", fleet.experiment)
    there = row(tab, fleet.experiment)
    there.hover()
    there.get_by_role("button", name="Edit tags").click()
    opened = dialog(tab, "Add/Edit tags")
    add_tag(opened, "purpose", purpose)
    answer(opened, "Save tags")
    expect(there).to_contain_text(purpose, timeout=CONTENT_LIMIT_MS)
    assert keeper.get_experiment(fleet.experiment_id).tags["purpose"] == purpose
    clean(tab)


def test_experiments_are_deleted_in_the_list(visit, keeper, unique):
    name = unique("gone")
    ids = [keeper.create_experiment(f"{name}-{at}") for at in (1, 2, 3)]
    tab = visit(f"/experiments{VIEW}", "Default")
    search(tab, name)
    listed(tab, f"{name}-3", f"{name}-2", f"{name}-1")
    choose(tab, f"{name}-1", f"{name}-3")
    tab.page.get_by_test_id("delete-experiments-button").click()
    answer(dialog(tab, "Delete"), "Delete")
    listed(tab, f"{name}-2")
    stages = [keeper.get_experiment(one).lifecycle_stage for one in ids]
    assert stages == ["deleted", "active", "deleted"]
    clean(tab)


def test_experiment_is_deleted_on_its_page(visit, keeper, fleet):
    tab = visit(f"/experiments/{fleet.experiment_id}/runs{VIEW}", "matching runs", fleet.experiment)
    menu(tab, "Delete")
    answer(dialog(tab, "Delete"), "Delete")
    tab.see("Default")
    gone(row(tab, fleet.experiment))
    assert keeper.get_experiment(fleet.experiment_id).lifecycle_stage == "deleted"
    clean(tab)


def test_runs_of_several_experiments_are_compared(visit, keeper, fleet, unique):
    other = make_fleet(keeper, unique("other"))
    keeper.update_run(other.runs["ash"], name="poplar")
    tab = visit(f"/experiments{VIEW}", fleet.experiment, other.experiment)
    choose(tab, fleet.experiment, other.experiment)
    tab.page.get_by_test_id("compare-experiment-button").click()
    tab.see("Displaying Runs from 2 Experiments")
    tab.see("6 matching runs")
    tab.page.get_by_test_id("search-box").fill("metrics.auc = 0.8")
    tab.page.keyboard.press("Enter")
    runs_are(tab, "poplar", "ash")
    choose_runs(tab, "poplar", "ash")
    tab.page.get_by_test_id("runs-compare-button").click()
    tab.see("Comparing 2 Runs from 2 Experiments")
    drawn(tab, ".js-plotly-plot .main-svg")
    clean(tab)
