"""Registered models and their versions in MLflow's pages: what is made, written and deleted there is so afterwards."""

import pytest
from mlflow import MlflowException
from playwright.sync_api import expect

from mlflow_pages import NAME_IS_FREE, VIEW, add_tag, answer, clean, dialog, gone, menu, pick, write_note
from watch import CONTENT_LIMIT_MS


@pytest.fixture
def model(keeper, fleet, unique) -> str:
    """A model with two versions, which a test may change."""
    name = unique("scorer")
    keeper.create_registered_model(name)
    for run in (fleet.runs["ash"], fleet.runs["birch"]):
        # The page of a version reads the schema in it.
        keeper.log_text(run, "flavors: {}\n", "model/MLmodel")
        keeper.create_model_version(name, f"{keeper.get_run(run).info.artifact_uri}/model", run)
    return name


def description(tab):
    return tab.page.get_by_test_id("descriptionEditButton")


def unfold_tags(tab) -> None:
    """Opens the section of tags of a page, which is closed where there are none."""
    if not tab.page.get_by_test_id("add-tag-button").is_visible():
        tab.page.get_by_role("button", name="Tags", exact=True).click()
    expect(tab.page.get_by_test_id("add-tag-button")).to_be_visible(timeout=CONTENT_LIMIT_MS)


def edit_tags(tab, tags_kept) -> None:
    """Adds a tag, gives it another value and takes it away; ``tags_kept`` asks the server for the tags."""
    unfold_tags(tab)
    tab.page.get_by_test_id("tags-form-input-name").fill("region")
    tab.page.get_by_test_id("tags-form-input-value").fill("north")
    tab.page.get_by_test_id("add-tag-button").click()
    there = tab.page.get_by_role("row").filter(has_text="region")
    expect(there).to_contain_text("north", timeout=CONTENT_LIMIT_MS)
    assert tags_kept()["region"] == "north"
    there.get_by_test_id("editable-table-button-edit").click()
    there.get_by_role("textbox").fill("south")
    there.get_by_test_id("editable-table-button-save").click()
    expect(there).to_contain_text("south", timeout=CONTENT_LIMIT_MS)
    assert tags_kept()["region"] == "south"
    there.get_by_test_id("editable-table-button-delete").click()
    answer(dialog(tab, "Are you sure you want to delete this tag"), "Confirm")
    gone(there)
    assert "region" not in tags_kept()


def test_model_is_created(visit, keeper, unique):
    name = unique("made on the page")
    tab = visit(f"/models{VIEW}", "Registered Models")
    tab.page.get_by_role("button", name="Try it now").click()
    tab.page.get_by_test_id("create-model-button").click()
    opened = dialog(tab, "Create Model")
    opened.get_by_role("textbox").fill(name)
    with tab.page.expect_response("**/registered-models/create"):
        answer(opened, "Create")
    tab.see("Created Time")
    assert keeper.get_registered_model(name).name == name
    clean(tab, NAME_IS_FREE)


def test_models_are_searched(visit, keeper, model):
    keeper.set_registered_model_tag(model, "owner", model)
    tab = visit(f"/models{VIEW}", model)
    tab.page.get_by_role("button", name="Try it now").click()
    rows = tab.page.get_by_role("row").filter(has_text="Version")
    for text in (model[:-2].upper(), f"tags.owner = '{model}'"):
        box = tab.page.get_by_test_id("model-search-input")
        box.fill("nothing is called so")
        box.press("Enter")
        tab.see("No results")
        box.fill(text)
        box.press("Enter")
        expect(rows.filter(has_text=model)).to_have_count(1, timeout=CONTENT_LIMIT_MS)
        expect(rows).to_have_count(2)
    clean(tab)


def test_model_is_described_and_tagged(visit, keeper, model):
    tab = visit(f"/models/{model}{VIEW}", model, "Version 2")
    write_note(tab, description(tab), "Scores cards")
    assert keeper.get_registered_model(model).description == "Scores cards"
    edit_tags(tab, lambda: keeper.get_registered_model(model).tags)
    clean(tab)


def test_model_is_deleted(visit, keeper, model):
    tab = visit(f"/models/{model}{VIEW}", model, "Version 2")
    menu(tab, "Delete")
    answer(dialog(tab, "Delete Model"), "Delete")
    tab.see("Registered Models")
    gone(tab.page.get_by_role("link", name=model, exact=True))
    with pytest.raises(MlflowException, match="not found"):
        keeper.get_registered_model(model)
    clean(tab)


def test_version_is_tagged_in_the_list(visit, keeper, model):
    tab = visit(f"/models/{model}{VIEW}", model, "Version 2")
    tab.page.get_by_role("row").filter(has_text="Version 1").get_by_role("button", name="Add").first.click()
    opened = dialog(tab, "Add/Edit tags")
    add_tag(opened, "checked", "yes")
    answer(opened, "Save tags")
    # Both servers' lists show it when they are opened again.
    tab.page.reload()
    tab.see("checked")
    assert keeper.get_model_version(model, "1").tags == {"checked": "yes"}
    clean(tab)


def test_version_is_described_and_tagged(visit, keeper, model):
    tab = visit(f"/models/{model}/versions/1{VIEW}", "Version 1", "ash")
    write_note(tab, description(tab), "The first try")
    assert keeper.get_model_version(model, "1").description == "The first try"
    edit_tags(tab, lambda: keeper.get_model_version(model, "1").tags)
    clean(tab)


def test_version_is_deleted(visit, keeper, model):
    tab = visit(f"/models/{model}/versions/1{VIEW}", "Version 1")
    menu(tab, "Delete")
    answer(dialog(tab, "Delete Model Version"), "Delete")
    tab.see("Version 2")
    gone(tab.page.get_by_role("link", name="Version 1", exact=True))
    assert [version.version for version in keeper.search_model_versions(f"name = '{model}'")] == ["2"]
    clean(tab)


def test_alias_moves_and_goes(visit, keeper, model):
    keeper.set_registered_model_alias(model, "champion", "1")
    keeper.set_registered_model_alias(model, "old", "2")
    tab = visit(f"/models/{model}/versions/2{VIEW}", "Version 2", "old")
    tab.page.get_by_role("button", name="Edit aliases").click()
    opened = dialog(tab, "Save aliases")
    opened.get_by_role("combobox").press("Backspace")
    opened.get_by_role("combobox").press_sequentially("champion")
    tab.page.keyboard.press("Enter")
    expect(opened).to_contain_text("also being used on version 1")
    answer(opened, "Save aliases")
    tab.see("champion")
    assert keeper.get_registered_model(model).aliases == {"champion": "2"}
    clean(tab)


def test_stage_of_a_version_is_changed(visit, keeper, model):
    """MLflow's older way, which its pages still offer."""
    tab = visit(f"/models/{model}/versions/1{VIEW}", "Version 1")
    tab.page.get_by_role("switch").click()
    answer(dialog(tab, "Disable the new model stages"), "Disable")
    for now, then in (("None", "Staging"), ("Staging", "Production")):
        tab.page.get_by_text(now, exact=True).filter(visible=True).first.click()
        tab.page.get_by_role("menuitem").filter(has_text=then).click()
        with tab.page.expect_response("**/model-versions/transition-stage"):
            answer(dialog(tab, "Stage"), "OK")
        expect(tab.page.get_by_text(then, exact=True).filter(visible=True).first).to_be_visible()
        assert keeper.get_model_version(model, "1").current_stage == then
    clean(tab)


def test_version_is_promoted_to_another_model(visit, keeper, model, unique):
    other = unique("production")
    keeper.create_registered_model(other)
    tab = visit(f"/models/{model}/versions/2{VIEW}", "Version 2")
    tab.page.get_by_role("button", name="Promote model").click()
    opened = dialog(tab, f"Promote {model} version 2")
    pick(tab, opened, other, typed=other)
    with tab.page.expect_response("**/model-versions/create"):
        answer(opened, "Promote")
    copy = keeper.get_model_version(other, "1")
    assert copy.source == f"models:/{model}/2"
    tab.see(other)
    clean(tab)


def test_versions_are_chosen_and_compared(visit, model):
    tab = visit(f"/models/{model}{VIEW}", model, "Version 2")
    for version in ("Version 1", "Version 2"):
        tab.page.get_by_role("row").filter(has_text=version).hover()
        tab.page.get_by_role("row").filter(has_text=version).get_by_role("checkbox").check()
    tab.page.get_by_test_id("compareButton").click()
    tab.see("Comparing 2 Versions")
    for text in ("depth", "auc", "0.8", "0.9"):
        tab.see(text)
    clean(tab)
