"""MLflow's pages where there is more than fits: many runs, runs below runs, files of all kinds; and where tokens are asked for."""

import struct
import sys
import zlib

import pytest
from mlflow import MlflowClient
from playwright.sync_api import expect

import launcher
from mlflow_pages import VIEW, answer, clean, dialog, filter_runs, runs_are
from test_auth import token_for
from watch import CONTENT_LIMIT_MS
from world import make_fleet


def table(visit, experiment_id, **options):
    return visit(f"/experiments/{experiment_id}/runs{VIEW}", "matching runs", width=2400, **options)


def test_more_runs_are_loaded(visit, keeper, unique):
    home = keeper.create_experiment(unique("many"))
    for number in range(120):
        keeper.create_run(home, start_time=1_700_000_000_000 + number, run_name=f"run {number:03}")
    # High, for rows that are out of sight are not in the page.
    tab = table(visit, home, height=6000)
    names = [f"run {number:03}" for number in reversed(range(120))]
    runs_are(tab, *names[:100])
    tab.page.get_by_role("button", name="Load more").click()
    runs_are(tab, *names)
    clean(tab)


def test_runs_below_a_run_are_unfolded(visit, keeper, fleet):
    for name in ("cedar", "birch"):
        keeper.set_tag(fleet.runs[name], "mlflow.parentRunId", fleet.runs["ash"])
    tab = table(visit, fleet.experiment_id)
    runs_are(tab, "ash")
    parent = tab.page.locator(".ag-row").filter(has=tab.page.get_by_role("link", name="ash", exact=True))
    expander = parent.locator(".ag-cell button").first
    expander.click()
    runs_are(tab, "ash", "cedar", "birch")
    expander.click()
    runs_are(tab, "ash")
    clean(tab)


def png(width):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + b"\xd0\x20\x20" * width for _ in range(width))
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, width, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def log_files(keeper, run_id, folder):
    (folder / "red.png").write_bytes(png(64))
    (folder / "rows.csv").write_text("amount,city\n12.5,Zürich\n7,Bern\n")
    (folder / "report.html").write_text("<h1>The report</h1><script>document.write('of a script')</script>")
    keeper.log_artifacts(run_id, str(folder), "looked at")


def look_at_files(tab):
    tab.page.get_by_role("tab", name="Artifacts").click()
    tab.see("looked at").click()
    tab.see("red.png").click()
    image = tab.page.get_by_alt_text("looked at/red.png")
    expect(image).to_be_visible(timeout=CONTENT_LIMIT_MS)
    tab.page.wait_for_function("image => image.naturalWidth === 64", arg=image.element_handle())
    tab.see("rows.csv").click()
    tab.see("Previewing the first 2 rows")
    expect(tab.page.get_by_role("row").filter(has_text="12.5")).to_contain_text("Zürich")
    tab.see("report.html").click()
    page = tab.page.frame_locator("iframe")
    for text in ("The report", "of a script"):
        expect(page.get_by_text(text)).to_be_visible(timeout=CONTENT_LIMIT_MS)


def test_image_table_and_page_are_shown(visit, keeper, fleet, tmp_path):
    log_files(keeper, fleet.runs["ash"], tmp_path)
    tab = visit(f"/experiments/{fleet.experiment_id}/runs/{fleet.runs['ash']}{VIEW}", "About this run")
    look_at_files(tab)
    clean(tab)


@pytest.fixture
def guarded(server, tmp_path, monkeypatch):
    """A server that asks for tokens, as an ordinary principal is let in."""
    data = tmp_path / "guarded"
    data.mkdir()
    token = token_for(data, "ada")
    monkeypatch.setenv("VIRTUAL_ENV", sys.prefix)
    running = launcher.strongback(data, extra=("--auth", "tokens", "--mlflow-ui", "auto"))
    try:
        monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", token)
        yield running, {"username": "ada", "password": token}
        assert running.stop() == 0
    finally:
        running.end()


@pytest.mark.beyond
def test_whoever_has_a_token_walks_through_the_pages(look, guarded, tmp_path):
    server, login = guarded
    keeper = MlflowClient(server.url, registry_uri=server.url)
    fleet = make_fleet(keeper, "fleet")
    files = tmp_path / "files"
    files.mkdir()
    log_files(keeper, fleet.runs["ash"], files)
    keeper.log_text(fleet.runs["ash"], "flavors: {}\n", "model/MLmodel")
    keeper.create_registered_model("scorer")
    for _ in range(2):
        keeper.create_model_version("scorer", f"runs:/{fleet.runs['ash']}/model", fleet.runs["ash"])
    keeper.set_registered_model_alias("scorer", "champion", "1")
    tab = look(
        f"{server.url}/mlflow/#/experiments/{fleet.experiment_id}/runs{VIEW}", http_credentials=login, width=2400
    )
    runs_are(tab, "ash", "cedar", "birch")
    filter_runs(tab, "metrics.auc > 0.85")
    runs_are(tab, "birch")
    filter_runs(tab, "")
    tab.page.get_by_role("link", name="ash", exact=True).click()
    tab.see("About this run")
    look_at_files(tab)
    tab.page.goto(f"{server.url}/mlflow/#/models/scorer/versions/2{VIEW}")
    tab.see("Registered At")
    tab.page.get_by_role("button", name="Edit aliases").or_(tab.page.get_by_role("button", name="Add")).first.click()
    opened = dialog(tab, "Save aliases")
    opened.get_by_role("combobox").press_sequentially("champion")
    tab.page.keyboard.press("Enter")
    expect(opened).to_contain_text("also being used on version 1")
    answer(opened, "Save aliases")
    tab.see("champion")
    assert keeper.get_registered_model("scorer").aliases == {"champion": "2"}
    clean(tab)


@pytest.mark.beyond
def test_behind_a_proxy_every_page_stays_below_its_path(look, tmp_path, monkeypatch):
    """No page asks for anything beside the path, which a proxy would send elsewhere."""
    monkeypatch.setenv("VIRTUAL_ENV", sys.prefix)
    flags = ("--mlflow-ui", "auto", "--static-prefix", "/team/x")
    with launcher.on_store("sqlite", tmp_path / "data", extra=flags) as running:
        front = f"{running.url}/team/x"
        keeper = MlflowClient(front, registry_uri=front)
        fleet = make_fleet(keeper, "fleet")
        (tmp_path / "files").mkdir()
        log_files(keeper, fleet.runs["ash"], tmp_path / "files")
        tab = look(front, width=2400)
        assert tab.page.url == f"{front}/"
        asked = []
        tab.page.on("request", lambda request: asked.append(request.url))
        tab.page.get_by_role("link", name="ash", exact=True).click()
        tab.see("About this run")
        look_at_files(tab)
        # The link that mlflow's client prints, as a script has it that knows the path.
        tab.page.goto(f"{front}/#/experiments/{fleet.experiment_id}/runs/{fleet.runs['birch']}")
        tab.see("About this run")
        assert tab.page.url.startswith(f"{front}/mlflow/#/")
        tab.page.goto(f"{front}/mlflow/#/experiments/{fleet.experiment_id}/runs{VIEW}")
        runs_are(tab, "ash", "cedar", "birch")
        filter_runs(tab, "metrics.auc > 0.85")
        runs_are(tab, "birch")
        tab.page.goto(f"{front}/mlflow")
        tab.see("Experiments")
        clean(tab, {(404, "GET", "/team/x/mlflow/ajax-api/2.0/mlflow/users/current")})
        tab.page.goto(f"{front}/why")
        tab.page.get_by_label("Why did a request get its answer?").fill("nonsense")
        tab.page.get_by_role("button", name="Ask").click()
        tab.see("is no request id")
        assert tab.page.url == f"{front}/why/nonsense"
        tab.page.get_by_role("link", name="What is here", exact=True).click()
        tab.see("Recent runs")
        assert tab.page.url == f"{front}/"
        beside = [url for url in asked if not url.startswith((f"{front}/", "data:", "blob:"))]
        assert asked
        assert not beside, beside
