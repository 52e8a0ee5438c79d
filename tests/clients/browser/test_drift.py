"""Alerts and drift on the page at ``/``, as a person sees them, and as who cannot see hears them."""

import subprocess

import pytest
from playwright.sync_api import expect

import launcher
from governed import ensure_schema

pytestmark = pytest.mark.beyond

PAGE_MAX = 150_000
COLUMNS = 12


@pytest.fixture(scope="module")
def watched(server, tmp_path_factory):
    """A server with a monitor whose second window has drifted, in all columns but one."""
    folder = tmp_path_factory.mktemp("drift")
    with launcher.on_store(server.backend, folder / "data") as running:
        drift(running, folder)
        yield running


def drift(running, folder):
    def strongback(*arguments):
        command = [launcher.binary(), *arguments, "--server", running.url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr

    def table(name, lines):
        path = folder / "rows.csv"
        path.write_text("\n".join(lines) + "\n")
        strongback("table", "import", str(path), "--name", f"prod.risk.{name}", "--type", "at:timestamp")

    ensure_schema(running, "prod", "risk")
    heading = "at," + ",".join(f"c{column}" for column in range(COLUMNS))

    def rows(hour, shift):
        for row in range(100):
            values = [row + (shift if column else 0) for column in range(COLUMNS)]
            yield f"2024-11-24T{hour:02}:{row // 2:02}:00Z," + ",".join(map(str, values))

    table("train", [heading, *rows(0, 0)])
    table("tx", [heading, *rows(0, 0), *rows(1, 50)])
    (folder / "m.yaml").write_text(
        "version: 1\nwatch: prod.risk.tx\nbaseline: prod.risk.train@1\nevent_time: at\nwindow: { length: 1h }\n"
        "thresholds: [{ metric: psi, above: 0.2 }]\nalerts: { severity: high }\n"
    )
    strongback("monitor", "apply", str(folder / "m.yaml"))
    strongback("monitor", "run", "prod.risk.tx", "--wait")


def test_the_page_shows_what_drifted(look, watched):
    tab = look(f"{watched.url}/")
    alerts = tab.page.locator("#alerts li")
    expect(alerts).to_have_count(min(COLUMNS - 1, 8))
    expect(alerts.first).to_contain_text("high")
    expect(alerts.first).to_contain_text("psi of c")
    expect(alerts.first).to_contain_text("prod.risk.tx · 1 window · local")
    drift = tab.page.locator("#drift")
    expect(drift.locator("h3")).to_contain_text("prod.risk.tx against prod.risk.train@1")
    charts = drift.get_by_role("img")
    expect(charts).to_have_count(8)
    assert "in the newest of 2 windows, limit 0.2" in charts.first.get_attribute("aria-label")
    expect(drift.locator(".crossed")).to_have_count(8)
    expect(drift).to_contain_text("more below these")
    # It is drawn, not only said: the line has a height, and the limit is broken.
    box = charts.first.locator("polyline").bounding_box()
    assert box["height"] > 5, box
    assert box["width"] > 20, box
    assert charts.first.locator(".limit").evaluate("line => getComputedStyle(line).strokeDasharray") != "none"
    assert len(tab.response.body()) < PAGE_MAX
    assert not tab.complaints()


@pytest.mark.parametrize("width", [360, 1600])
def test_it_is_whole_without_scripts_and_on_a_phone(look, watched, width):
    tab = look(f"{watched.url}/", width=width, java_script_enabled=False)
    expect(tab.page.locator("#drift svg").first).to_be_visible()
    assert tab.page.locator("body").bounding_box()["width"] <= width
    assert not tab.complaints()
