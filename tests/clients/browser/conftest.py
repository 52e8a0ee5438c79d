"""A headless Chromium, a server with MLflow's pages, and something to look at in them."""

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from mlflow import MlflowClient
from playwright.sync_api import sync_playwright

import launcher
import world as worlds
from watch import Watch

CHROMIUM = Path(__file__).parents[3] / "tools/chromium.sh"


# Not for the session: while Playwright runs, its event loop does, and other tests could not start one of their own.
@pytest.fixture(scope="package")
def chromium():
    """The browser, whatever opens pages in it."""
    executable = subprocess.run([CHROMIUM], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    with sync_playwright() as playwright:
        # The sandbox refuses to work for root, as whom tests run in containers.
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def look(chromium, request):
    """Opens a tab and watches it: ``look(url, width=…, color_scheme=…)``."""
    opened = []

    def opener(url: str, **options) -> Watch:
        opened.append(Watch(chromium, url, request.node.name, **options))
        return opened[-1]

    yield opener
    for watch in opened:
        watch.close()


# A module has its own, for what one makes pushes what another one looks at out of the lists of what is new.
@pytest.fixture(scope="module")
def site(server, tmp_path_factory):
    """A server of the same backend that serves the pages of the mlflow that runs these tests."""
    if server.backend == "peer":
        yield server
        return
    data = tmp_path_factory.mktemp(f"site-{server.backend}") / "data"
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("VIRTUAL_ENV", sys.prefix)
            running = stack.enter_context(launcher.on_store(server.backend, data, extra=("--mlflow-ui", "auto")))
        assert "MLflow's pages at /mlflow/: version" in running.log.read_text(), running.log_tail(200)
        yield running


@pytest.fixture(scope="module")
def world(site, toy, toy_model):
    """What the pages have to show; made once by the mlflow client."""
    return worlds.make(site.url, toy, toy_model)


@pytest.fixture
def pages(site) -> str:
    """Where MLflow's pages begin: below /mlflow/ here, at the root of MLflow's own server."""
    return site.url + ("/" if site.backend == "peer" else "/mlflow/")


@pytest.fixture
def visit(look, pages):
    """Opens a page of MLflow's and waits for texts on it."""

    def opener(path: str, *texts: str, **options) -> Watch:
        tab = look(f"{pages}#{path}", **options)
        for text in texts:
            tab.see(text)
        return tab

    return opener


@pytest.fixture
def keeper(site) -> MlflowClient:
    """The mlflow client of the server that serves the pages: what it says is what was kept."""
    return MlflowClient(site.url, registry_uri=site.url)


@pytest.fixture
def fleet(keeper, unique) -> worlds.Fleet:
    """Runs that a test may change."""
    return worlds.make_fleet(keeper, unique("fleet"))
