"""The page at ``/`` as a person sees it: what is here, the loop, recent runs, models with aliases, what to type next."""

import re
import sys
from urllib.parse import urljoin

import pytest
from playwright.sync_api import expect

import launcher
from raw import Raw
from test_auth import token_for
from world import HOSTILE

pytestmark = pytest.mark.beyond

# Bytes of the page with twelve runs, and how long the server may take for it on a busy machine in a debug build.
PAGE_MAX = 40_000
SERVER_TIME_MAX_MS = 1_000


@pytest.fixture(scope="module")
def empty(server, tmp_path_factory):
    """A server on which nothing happened yet, as it starts by default: without MLflow's pages."""
    with launcher.on_store(server.backend, tmp_path_factory.mktemp("empty") / "data") as running:
        yield running


@pytest.fixture(scope="module")
def guarded(server, tmp_path_factory):
    """A server that asks for tokens, and the token of an ordinary principal."""
    data = tmp_path_factory.mktemp("guarded-pages") / "data"
    data.mkdir()
    token = token_for(data, "ada")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIRTUAL_ENV", sys.prefix)
        running = launcher.strongback(data, extra=("--auth", "tokens", "--mlflow-ui", "auto"))
    yield running, token
    assert running.stop() == 0


def test_empty_server_teaches(look, empty):
    tab = look(f"{empty.url}/")
    tab.see("Nothing is logged yet")
    for step in ("Log", "Register", "Gate", "Serve", "Watch", "Ask"):
        tab.see(step, exact=True)
    tab.see(f"export MLFLOW_TRACKING_URI={empty.url}")
    tab.see('registered_model_name="fraud"')
    expect(tab.page.locator(".counts li").nth(1)).to_have_text("0 runs")
    expect(tab.page.locator("#linked")).to_be_hidden()
    assert not tab.complaints()


def test_a_link_printed_by_the_client_is_explained_where_its_pages_are_not_served(look, empty):
    tab = look(f"{empty.url}/#/experiments/0/runs/{'0' * 32}")
    tab.see("strongback up --mlflow-ui auto")
    assert not tab.complaints()


def test_a_link_printed_by_the_client_opens_the_run(look, site, world):
    tab = look(f"{site.url}/#/experiments/{world.experiment_id}/runs/{world.full_run}")
    tab.see("logistic regression")
    assert tab.page.url.startswith(f"{site.url}/mlflow/#/experiments/")


def test_filled_page_shows_what_is_here(look, site, world):
    tab = look(f"{site.url}/")
    runs = tab.page.locator("#runs tbody tr")
    full = runs.filter(has_text="logistic regression")
    for text in (world.experiment, "finished", "auc 0.9123", "loss 0.02024", "rows 284,807", "+1"):
        expect(full).to_contain_text(text)
    expect(runs.filter(has_text="broke off")).to_contain_text("failed")
    expect(runs.filter(has_text="still running")).to_contain_text("running")
    model = tab.page.locator("#models li").filter(has_text="@champion")
    expect(model).to_contain_text(world.model)
    expect(model.locator(".alias")).to_have_text(["@challenger → v2", "@champion → v1"])
    expect(tab.page.locator("#events li").first).to_contain_text("by local")
    commands = tab.page.locator("#next pre")
    expect(commands).to_contain_text(f"strongback history {world.model}@champion")
    expect(commands).to_contain_text(f"MLFLOW_TRACKING_URI={site.url}")
    for time in tab.page.locator("time").all():
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", time.get_attribute("datetime"))
        assert re.fullmatch(r"just now|(\d+ (s|min|h|days) ago)|yesterday|\d{4}-\d\d-\d\d", time.inner_text())
    assert not tab.complaints()


def test_hostile_names_are_text(look, site, world):
    tab = look(f"{site.url}/")
    expect(tab.page.locator("#runs td.name").filter(has_text=HOSTILE)).to_be_visible()
    expect(tab.page.locator("#models li").filter(has_text=world.hostile_model)).to_be_visible()
    assert tab.page.locator("img").count() == 0
    assert not tab.complaints()


def test_nothing_else_may_run_or_load(look, site):
    tab = look(f"{site.url}/")
    policy = tab.response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy.split("script-src")[1].split(";")[0]
    assert tab.response.headers["cache-control"] == "no-store"
    tab.page.evaluate("""() => {
        const script = document.createElement('script'); script.text = 'window.ran = true'; document.body.append(script);
        const image = new Image(); image.src = '/health'; document.body.append(image);
    }""")
    assert tab.page.evaluate("window.ran") is None
    refused = [fault for fault in tab.complaints() if "Content Security Policy" in fault]
    assert len(refused) >= 2, tab.complaints()


def test_every_kind_of_link_leads_somewhere(look, site, world):
    """One link of each kind, ids and names aside; those into MLflow's pages show what they are about."""
    shows = {
        "mlflow/#/experiments": "Experiments",
        "mlflow/#/experiments/…/runs": "matching runs",
        "mlflow/#/experiments/…/runs/…": "About this run",
        "mlflow/#/models": "Registered Models",
        "mlflow/#/models/…": "Created Time",
        "mlflow/#/models/…/versions/…": "Registered At",
    }
    tab = look(f"{site.url}/")
    links = {}
    for link in tab.page.locator("a[href]").all():
        href = link.get_attribute("href")
        kind = re.sub(r"/(experiments|runs|models|versions)/[^/]+", r"/\1/…", href.split("?")[0])
        links.setdefault(kind, href)
    assert set(shows) <= set(links), links
    assert {"./", "#main", "api/openapi.json", "metrics", "ready"} <= set(links)
    for kind, href in links.items():
        if href.startswith("#"):
            assert tab.page.locator(href).count() == 1, href
        elif kind in shows:
            tab.page.goto(f"{site.url}/")
            tab.page.goto(urljoin(f"{site.url}/", href))
            tab.see(shows[kind])
        else:
            assert Raw(site).get(urljoin("/", href)).status == 200, href


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("which", ["empty", "site"])
def test_light_and_dark_can_be_read(look, request, world, scheme, which):
    tab = look(request.getfixturevalue(which).url + "/", color_scheme=scheme)
    background = tab.page.evaluate("getComputedStyle(document.body).backgroundColor")
    is_dark = sum(channels(background)) < 3 * 128
    assert is_dark == (scheme == "dark"), background
    # WCAG's AA for text of this size.
    drawn = tab.page.evaluate("""() => [...document.querySelectorAll('body *')]
        .filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()) && e.checkVisibility())
        .map(e => {
            let under = e;
            while (under && getComputedStyle(under).backgroundColor === 'rgba(0, 0, 0, 0)') under = under.parentElement;
            const behind = under ? getComputedStyle(under).backgroundColor : 'rgb(255, 255, 255)';
            return [e.tagName + '.' + e.className, getComputedStyle(e).color, behind];
        })""")
    assert len(drawn) > 15
    faint = {(what, round(contrast(ink, paper), 2)) for what, ink, paper in drawn if contrast(ink, paper) < 4.5}
    assert not faint
    assert not tab.complaints()


@pytest.mark.parametrize("which", ["empty", "site"])
def test_narrow_window_needs_no_sideways_scrolling(look, request, world, which):
    tab = look(request.getfixturevalue(which).url + "/", width=360, height=740)
    wide, window = tab.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert wide <= window
    assert not tab.complaints()


def test_keyboard_reaches_everything_visibly(look, site, world):
    tab = look(f"{site.url}/")
    links = tab.page.locator("a[href]").count()
    reached = []
    for _ in range(links):
        tab.page.keyboard.press("Tab")
        text, outline, left = tab.page.evaluate("""() => { const e = document.activeElement;
            return [e.textContent, getComputedStyle(e).outlineStyle, e.getBoundingClientRect().left] }""")
        assert outline != "none", text
        assert left >= 0, text
        reached.append(text)
    assert reached[0] == "Skip to what is here"
    assert {"MLflow", "OpenAPI", "logistic regression", world.model, "@champion → v1"} <= set(reached)


def test_quick_and_small(look, site, world, capsys):
    tab = look(f"{site.url}/")
    size, served, ready = tab.reloaded()
    requests = tab.page.evaluate("performance.getEntriesByType('resource').length")
    with capsys.disabled():
        print(f" [page: {size} bytes, first byte after {served:.1f} ms, ready after {ready:.0f} ms] ", end="")
    assert size <= PAGE_MAX
    assert served <= SERVER_TIME_MAX_MS
    assert requests == 0


def test_without_a_token_a_person_is_told_what_to_do(look, guarded):
    server, _ = guarded
    tab = look(f"{server.url}/", cancel_sign_in=True)
    assert tab.response.status == 401
    assert tab.response.headers["content-type"].startswith("text/html")
    assert tab.response.headers["www-authenticate"].startswith("Basic")
    tab.see("This server needs a token")
    tab.see("strongback token create --principal")
    assert tab.complaints() == ["401 GET /"]
    # A client that does not ask for a page gets the protocol's error.
    assert Raw(server).get("/").error_code == "UNAUTHENTICATED"


def test_with_a_token_a_person_sees_what_they_may(look, guarded):
    server, token = guarded
    credentials = {"username": "ada", "password": token}
    tab = look(f"{server.url}/", http_credentials=credentials)
    tab.see("you are ada")
    tab.see("export MLFLOW_TRACKING_TOKEN=sbt_…")
    assert token not in tab.page.content()
    # How much there is, and what others did, is for administrators.
    assert tab.page.locator(".counts, #events").count() == 0
    # The browser asks once without and then with what the person typed.
    assert not tab.complaints({(401, "GET", "/")})
    there = look(f"{server.url}/mlflow/#/experiments?workflowType=machine_learning", http_credentials=credentials)
    there.see("Default", exact=True)


def test_a_wrong_address_is_a_page_for_people(look, empty):
    tab = look(f"{empty.url}/no/such/page")
    assert tab.response.status == 404
    tab.see("No endpoint GET /no/such/page")
    tab.page.get_by_role("link", name="What is here", exact=True).click()
    tab.see("Nothing is logged yet")


def channels(colour: str) -> list[float]:
    """The channels of ``rgb(…)``, 0 to 255."""
    return [float(number) for number in re.findall(r"[\d.]+", colour)[:3]]


def contrast(one: str, other: str) -> float:
    """WCAG 2.2, relative luminance and contrast ratio."""

    def luminance(colour: str) -> float:
        linear = [
            c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (n / 255 for n in channels(colour))
        ]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)
