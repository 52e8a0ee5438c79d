"""What a person does on MLflow's pages, whichever page it is: reads tables, answers dialogs, edits tags and notes."""

from contextlib import suppress

from playwright.sync_api import Locator, TimeoutError, expect

from watch import CONTENT_LIMIT_MS, Watch

# How our own page links to them: the view for trained models. The other view is looked at in a test of its own.
VIEW = "?workflowType=machine_learning"

# What the pages ask and MLflow's own server refuses as well: whether somebody is signed in, where authentication is off.
REFUSED_BY_MLFLOW_TOO = {(404, "GET", "/ajax-api/2.0/mlflow/users/current")}
# Forms ask whether a name is taken, and are glad of a no.
NAME_IS_FREE = {
    (404, "GET", "/ajax-api/2.0/mlflow/experiments/get-by-name"),
    (404, "GET", "/ajax-api/2.0/mlflow/registered-models/get"),
}

# Chromium's notice that a layout took two passes; no fault of a page. And a film out of MLflow's documentation, which its
# empty page of traces shows once it is drawn, from there.
NO_FAULTS = ("ResizeObserver loop", "https://mlflow.org/docs/latest/images/llms/tracing/")


def clean(tab: Watch, expected: set[tuple[int, str, str]] = frozenset()) -> None:
    """Nothing went wrong on the page but what is ``expected`` (status, method, path)."""
    faults = tab.complaints(REFUSED_BY_MLFLOW_TOO | expected)
    faults = [fault for fault in faults if not any(known in fault for known in NO_FAULTS)]
    assert not faults, faults


def drawn(tab: Watch, selector: str, at_least: int = 1) -> None:
    """Waits until so many marks of a chart are on the page and have a size."""
    marks = tab.page.locator(selector)
    expect(marks.nth(at_least - 1)).to_be_attached(timeout=CONTENT_LIMIT_MS)
    box = marks.first.bounding_box()
    assert box, selector
    assert box["width"] + box["height"] > 2, box


def gone(found: Locator) -> None:
    expect(found).to_have_count(0, timeout=CONTENT_LIMIT_MS)


def dialog(tab: Watch, title: str) -> Locator:
    """The dialog that is open, by a text in it."""
    found = tab.page.get_by_role("dialog").filter(has_text=title, visible=True)
    expect(found).to_be_visible(timeout=CONTENT_LIMIT_MS)
    return found


def answer(opened: Locator, button: str) -> None:
    """Presses a button of a dialog, which closes it."""
    opened.get_by_role("button", name=button, exact=True).click()
    expect(opened).to_be_hidden(timeout=CONTENT_LIMIT_MS)


def buttons_beside(label: Locator) -> Locator:
    """The buttons of the smallest part of a page in which a text has some."""
    return label.locator("xpath=ancestor::*[.//button][1]//button")


def menu(tab: Watch, item: str) -> None:
    """Picks an item of the menu in the head of a page."""
    tab.page.get_by_test_id("overflow-menu-trigger").click()
    tab.page.get_by_role("menuitem", name=item, exact=True).click()


def add_tag(opened: Locator, key: str, value: str) -> None:
    """Adds a tag in the dialog that edits tags, which is not saved yet."""
    opened.get_by_role("combobox").press_sequentially(key)
    opened.page.keyboard.press("Enter")
    opened.get_by_placeholder("Type a value").fill(value)
    opened.get_by_role("button", name="Add tag").click()
    expect(opened).to_contain_text(f"{key}: {value}")


def write_note(tab: Watch, edit: Locator, text: str) -> None:
    """Writes a description over the one that is there and waits until it is shown."""
    edit.click()
    tab.page.get_by_test_id("text-area").filter(visible=True).fill(text)
    tab.page.get_by_role("button", name="Save", exact=True).click()
    gone(tab.page.get_by_role("button", name="Save", exact=True))
    tab.see(text)


def pick(tab: Watch, opened: Locator, choice: str, *, typed: str = "") -> None:
    """Opens the list in a dialog, which what is ``typed`` makes shorter, and picks an entry by what is written on it."""
    opened.get_by_role("combobox").click()
    opened.get_by_role("combobox").press_sequentially(typed)
    tab.page.locator(".du-bois-light-select-item-option").filter(has_text=choice).click()


# The table of runs writes its rows in any order and moves them to their places.
RUNS_IN_ORDER = """() => [...document.querySelectorAll('.ag-row')]
    .map(row => [Number(row.getAttribute('row-index')), row.querySelector('a[href*="/runs/"]')?.textContent])
    .filter(([at, name]) => name).sort(([one], [other]) => one - other).map(([at, name]) => name)"""


def runs_are(tab: Watch, *names: str) -> None:
    """Waits until the table lists these runs, from top to bottom."""
    with suppress(TimeoutError):
        tab.page.wait_for_function(f"names => `${{({RUNS_IN_ORDER})()}}` === `${{names}}`", arg=list(names))
    found = tab.page.evaluate(RUNS_IN_ORDER)
    assert found == list(names), found


def choose_runs(tab: Watch, *names: str) -> None:
    """Marks runs in the table."""
    for name in names:
        link = tab.page.get_by_role("link", name=name, exact=True)
        tab.page.locator(".ag-row").filter(has=link).get_by_role("checkbox").first.check()


def filter_runs(tab: Watch, text: str) -> None:
    box = tab.page.get_by_test_id("search-box")
    box.fill(text)
    box.press("Enter")
