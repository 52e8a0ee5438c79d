"""MLflow's pages besides runs and models: settings, webhooks, prompts, traces.

What this server does not have answers that it has not, and the page stays in use.
"""

import pytest
from playwright.sync_api import expect

from mlflow_pages import VIEW, answer, buttons_beside, clean, dialog, gone
from watch import CONTENT_LIMIT_MS

GATEWAY = "/ajax-api/3.0/mlflow/gateway"
NO_GATEWAY = {
    (501, "GET", f"{GATEWAY}/{what}")
    for what in ("secrets/list", "endpoints/list", "endpoints/bindings/list", "model-definitions/list")
}

GATEWAY_PAGES = ["/gateway", "/gateway/usage", "/gateway/budgets", "/gateway/api-keys", "/gateway/endpoints/create"]


def test_settings(visit):
    tab = visit(f"/settings{VIEW}", "Theme preference", "Enable telemetry")
    tab.page.get_by_role("switch").first.click()
    tab.see("Dark")
    background = "getComputedStyle(document.body).backgroundColor"
    tab.page.reload()
    # The browser remembers it.
    tab.see("Dark")
    assert tab.page.evaluate(background) != "rgb(255, 255, 255)"
    tab.page.get_by_role("switch").nth(1).click()
    tab.see("Off")
    clean(tab)


@pytest.mark.beyond
def test_settings_of_what_is_not_here_stay_usable(visit):
    tab = visit("/settings/llm-connections", "LLM Connections", "Failed to load API keys")
    tab.page.get_by_role("link", name="Webhooks").click()
    tab.see("Create webhook")
    clean(tab, NO_GATEWAY)


@pytest.mark.beyond
@pytest.mark.parametrize(
    ("page", "said", "asked"),
    [
        *((page, "Set up MLflow AI Gateway", f"{GATEWAY}/secrets/config") for page in GATEWAY_PAGES),
        ("/mcp-registry", "A registry of MCP servers is not part of this server", "/ajax-api/3.0/mlflow/mcp-servers"),
    ],
)
def test_pages_of_what_is_not_here_lead_on(visit, world, page, said, asked):
    tab = visit(page, said)
    tab.page.get_by_role("link", name="Experiments").first.click()
    tab.see(world.experiment)
    # What is not here says so, and nothing else goes wrong.
    clean(tab, {(501, "GET", asked)})


def test_webhook_is_made_changed_and_deleted(visit, keeper, unique):
    name = unique("hook")
    tab = visit("/settings/webhooks", "Create webhook")
    tab.page.get_by_role("button", name="Create webhook").click()
    opened = dialog(tab, "Create webhook")
    opened.get_by_placeholder("My webhook").fill(name)
    opened.get_by_placeholder("https://example.com/webhook").fill("https://8.8.8.8/hook")
    opened.get_by_text("Model version created", exact=True).click()
    answer(opened, "Create")
    tab.see(name)
    made = next(hook for hook in keeper.list_webhooks() if hook.name == name)
    assert (made.url, [str(event) for event in made.events]) == (
        "https://8.8.8.8/hook",
        ["model_version.created"],
    )
    buttons_beside(tab.see(name)).filter(has_text="Edit").click()
    opened = dialog(tab, "Edit webhook")
    opened.get_by_role("switch").click()
    answer(opened, "Save")
    tab.see("Disabled")
    assert keeper.get_webhook(made.webhook_id).status.value == "DISABLED"
    buttons_beside(tab.see(name)).filter(has_text="Delete").click()
    answer(dialog(tab, "Delete"), "Delete")
    gone(tab.page.get_by_text(name, exact=True))
    assert name not in [hook.name for hook in keeper.list_webhooks()]
    clean(tab)


def test_prompt_is_made_found_and_deleted(visit, keeper, unique):
    """Prompts are registered models of a kind, and come with them."""
    name = unique("greeting")
    tab = visit("/prompts", "Prompts")
    tab.page.get_by_test_id("create-prompt-empty-state-button").or_(
        tab.page.get_by_role("button", name="Create prompt", exact=True)
    ).first.click()
    opened = dialog(tab, "Create prompt")
    opened.get_by_placeholder("Provide an unique prompt name").fill(name)
    opened.get_by_placeholder("Type prompt content here").fill("Hello {{ name }}")
    answer(opened, "Create")
    tab.see("Viewing version 1")
    tab.see("Hello {{ name }}")
    assert keeper.get_prompt_version(name, 1).template == "Hello {{ name }}"
    tab.page.get_by_role("link", name="Prompts").first.click()
    tab.page.get_by_placeholder("Search prompts by name").fill(name)
    expect(tab.page.get_by_role("row").filter(has_text=name)).to_have_count(1, timeout=CONTENT_LIMIT_MS)
    tab.page.get_by_role("link", name=name, exact=True).click()
    tab.page.get_by_role("button", name="More actions").click()
    tab.page.get_by_role("menuitem", name="Delete").click()
    answer(dialog(tab, "Delete"), "Delete")
    tab.see("Prompts")
    gone(tab.page.get_by_role("link", name=name, exact=True))
    clean(tab)


def test_traces_of_an_experiment_are_none_and_the_page_stays_usable(visit, fleet):
    tab = visit(f"/experiments/{fleet.experiment_id}/traces{VIEW}", "Start tracing your LLM")
    tab.page.get_by_role("button", name="Got it").click()
    tab.page.get_by_role("tab", name="Manual setup").click()
    tab.page.get_by_role("link", name="Runs", exact=True).click()
    tab.see("matching runs")
    tab.see("cedar")
    clean(tab)


def test_home(visit, fleet):
    tab = visit(f"/{VIEW}", fleet.experiment)
    clean(tab)
