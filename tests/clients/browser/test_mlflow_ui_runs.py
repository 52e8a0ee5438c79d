"""The table of runs in MLflow's pages: what is sorted, filtered, grouped, compared and changed there is so afterwards."""

import re

from playwright.sync_api import expect

from mlflow_pages import (
    VIEW,
    answer,
    choose_runs,
    clean,
    dialog,
    drawn,
    filter_runs,
    gone,
    runs_are,
)
from watch import CONTENT_LIMIT_MS


def table(visit, experiment_id: str, *texts: str):
    # Wide, for columns that are out of sight are not in the page.
    return visit(f"/experiments/{experiment_id}/runs{VIEW}", "matching runs", *texts, width=2400)


def column(tab, name: str):
    """The head of a column of the table."""
    return tab.page.locator(".ag-header-cell").filter(has_text=re.compile(rf"^\s*{re.escape(name)}\s*$"))


def test_header_of_a_column_sorts(visit, fleet):
    tab = table(visit, fleet.experiment_id)
    runs_are(tab, "ash", "cedar", "birch")
    for heading, order in [
        ("Run Name", ("cedar", "birch", "ash")),
        ("Run Name", ("ash", "birch", "cedar")),
        ("Created", ("ash", "cedar", "birch")),
        ("Created", ("birch", "cedar", "ash")),
    ]:
        tab.page.get_by_test_id(f"sort-header-{heading}").click()
        runs_are(tab, *order)
    clean(tab)


def test_list_of_columns_sorts(visit, fleet):
    tab = table(visit, fleet.experiment_id)
    for key, order in [("auc", ("birch", "ash", "cedar")), ("depth", ("ash", "birch", "cedar"))]:
        tab.page.get_by_test_id("sort-select-dropdown").click()
        tab.page.get_by_test_id(f"sort-select-{key}").click()
        runs_are(tab, *order)
        # What is sorted by is shown.
        tab.page.get_by_test_id(f"sort-header-{key}").click()
        runs_are(tab, *reversed(order))
    clean(tab)


def test_columns_are_shown_and_hidden(visit, fleet):
    tab = table(visit, fleet.experiment_id)
    expect(column(tab, "Source")).to_have_count(1)
    expect(column(tab, "depth")).to_have_count(0)
    tab.page.get_by_test_id("column-selection-dropdown").filter(has_text="Columns").click()
    for name in ("depth", "Source"):
        tab.page.locator(".du-bois-light-tree").get_by_title(name, exact=True).click()
    tab.page.keyboard.press("Escape")
    expect(column(tab, "depth")).to_have_count(1)
    expect(column(tab, "Source")).to_have_count(0)
    depths = tab.page.locator(".ag-cell[col-id='params.`depth`']")
    assert sorted(depths.all_text_contents()) == ["3", "4", "5"]
    # The browser remembers it.
    tab.page.reload()
    tab.see("matching runs")
    expect(column(tab, "depth")).to_have_count(1)
    expect(column(tab, "Source")).to_have_count(0)
    clean(tab)


def test_runs_are_grouped(visit, fleet):
    tab = table(visit, fleet.experiment_id)
    tab.page.get_by_test_id("sort-select-dropdown").click()
    tab.page.get_by_test_id("sort-select-auc").click()
    tab.page.get_by_role("button", name="Group by").click()
    tab.page.get_by_role("menuitemcheckbox", name="team").click()
    tab.see("Group: red")
    tab.see("Group: blue")
    # The mean of a group's runs.
    tab.see("0.85")
    runs_are(tab, "birch", "ash", "cedar")
    clean(tab)


def test_filter_text_finds_runs(visit, fleet):
    tab = table(visit, fleet.experiment_id)
    for text, found in [
        ('params.depth = "4"', ("birch",)),
        ("metrics.auc < 0.85", ("ash", "cedar")),
        ('tags.team = "red" AND metrics.auc > 0.85', ("birch",)),
        ("attributes.run_name LIKE '%c%'", ("cedar", "birch")),
        ("", ("ash", "cedar", "birch")),
    ]:
        filter_runs(tab, text)
        runs_are(tab, *found)
    filter_runs(tab, "metrics.auc > 99")
    tab.see("0 matching runs")
    clean(tab)


def test_wrong_filter_text_is_explained(visit, fleet):
    tab = table(visit, fleet.experiment_id)
    filter_runs(tab, "metrics.auc >")
    tab.see("Invalid clause(s) in filter string")
    filter_runs(tab, "metrics.auc > 0.85")
    runs_are(tab, "birch")
    clean(tab, {(400, "POST", "/ajax-api/2.0/mlflow/runs/search")})


def test_time_of_start_filters(visit, fleet):
    tab = table(visit, fleet.experiment_id)
    for choice, found in [("Last 24 hours", ()), ("Last 7 days", ("ash", "cedar", "birch"))]:
        tab.page.get_by_test_id("start-time-select-dropdown").click()
        tab.page.get_by_role("menuitemradio", name=choice).or_(tab.page.get_by_role("option", name=choice)).click()
        runs_are(tab, *found)
    clean(tab)


def test_dataset_filters_and_opens(visit, world):
    tab = table(visit, world.experiment_id)
    tab.page.get_by_test_id("open-dataset-drawer").first.click()
    drawer = dialog(tab, "Data details for")
    for text in ("transactions", "distance", "label", "num rows"):
        expect(drawer.get_by_text(text).first).to_be_visible()
    drawer.get_by_role("button", name="Close").click()
    tab.page.get_by_test_id("datasets-select-dropdown").click()
    tab.page.get_by_role("option").filter(has_text="transactions").click()
    tab.see("2 matching runs")
    tab.page.keyboard.press("Escape")
    runs_are(tab, "boosted trees", "logistic regression")
    clean(tab)


def test_two_chosen_runs_are_compared(visit, world):
    tab = table(visit, world.experiment_id, "boosted trees")
    choose_runs(tab, "boosted trees", "logistic regression")
    tab.page.get_by_test_id("runs-compare-button").click()
    tab.see("Comparing 2 Runs from 1 Experiment")
    for text in ("learning_rate", "0.05", "0.9123", "0.9323"):
        tab.see(text)
    drawn(tab, ".js-plotly-plot .parcoords .y-axis", 3)
    for kind in ("Scatter Plot", "Contour Plot"):
        tab.page.get_by_role("tab", name=kind).click()
        drawn(tab, "[role=tabpanel]:visible .js-plotly-plot .main-svg")
    tab.page.get_by_role("link", name="loss", exact=True).click()
    # The page of a metric: a line a run, and a row with the ends of each.
    drawn(tab, ".js-plotly-plot path.js-line", 2)
    row = tab.page.get_by_role("row").filter(has_text="boosted trees")
    expect(row).to_contain_text("1.05 (step=0)", timeout=CONTENT_LIMIT_MS)
    expect(row).to_contain_text("(step=39)")
    clean(tab)


def test_table_turns_into_charts(visit, world):
    tab = table(visit, world.experiment_id)
    tab.page.locator("label").filter(has=tab.page.locator("input[value=CHART]")).click()
    drawn(tab, ".js-plotly-plot .bars path")
    drawn(tab, ".js-plotly-plot path.js-line", 2)
    charts = tab.page.get_by_placeholder("Search metric charts")
    charts.fill("auc")
    expect(tab.page.locator(".js-plotly-plot path.js-line")).to_have_count(0, timeout=CONTENT_LIMIT_MS)
    drawn(tab, ".js-plotly-plot .bars path")
    clean(tab)


def test_run_is_renamed(visit, keeper, fleet):
    tab = table(visit, fleet.experiment_id)
    choose_runs(tab, "cedar")
    tab.page.get_by_test_id("run-rename-button").click()
    opened = dialog(tab, "Rename")
    opened.get_by_test_id("rename-modal-input").fill("oak")
    answer(opened, "Save")
    runs_are(tab, "ash", "oak", "birch")
    assert keeper.get_run(fleet.runs["cedar"]).info.run_name == "oak"
    clean(tab)


def test_runs_are_deleted_and_restored(visit, keeper, fleet):
    tab = table(visit, fleet.experiment_id)
    choose_runs(tab, "cedar", "birch")
    tab.page.get_by_test_id("runs-delete-button").click()
    answer(dialog(tab, "Delete"), "Delete selected")
    runs_are(tab, "ash")
    stages = {name: keeper.get_run(run).info.lifecycle_stage for name, run in fleet.runs.items()}
    assert stages == {"ash": "active", "birch": "deleted", "cedar": "deleted"}
    tab.page.get_by_test_id("lifecycle-filter").click()
    tab.page.get_by_test_id("deleted-runs-menu-item").click()
    runs_are(tab, "cedar", "birch")
    choose_runs(tab, "cedar")
    tab.page.get_by_test_id("runs-restore-button").click()
    answer(dialog(tab, "Restore"), "Restore")
    runs_are(tab, "birch")
    assert keeper.get_run(fleet.runs["cedar"]).info.lifecycle_stage == "active"
    clean(tab)


def test_tag_is_given_to_several_runs(visit, keeper, fleet):
    """A tag that one run has is offered for the others."""
    keeper.set_tag(fleet.runs["birch"], "owner", "ada")
    tab = table(visit, fleet.experiment_id)
    choose_runs(tab, "ash", "cedar")
    tab.page.get_by_test_id("runs-tag-multiselect-trigger").click()
    tab.page.get_by_role("option", name="owner: ada").click()
    save = tab.page.get_by_role("button", name="Save", exact=True)

    def tagged(name: str):
        return lambda answer: "/runs/set-tag" in answer.url and fleet.runs[name] in answer.request.post_data

    with tab.page.expect_response(tagged("ash")), tab.page.expect_response(tagged("cedar")):
        save.click()
    gone(save)
    assert {keeper.get_run(run).data.tags["owner"] for run in fleet.runs.values()} == {"ada"}
    clean(tab)
