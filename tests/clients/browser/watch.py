"""One tab of the browser, and everything in it that a person with the developer tools open would frown at."""

import os
import re
from pathlib import Path

from playwright.sync_api import Browser, Locator, Page, Response, expect

# Content may take its time on a busy machine; what is there is seen at once.
CONTENT_LIMIT_MS = 45_000
SCREENSHOTS = os.environ.get("STRONGBACK_TEST_SCREENSHOTS")


class Watch:
    """Opens ``url``; ``complaints()`` lists what went wrong since then."""

    def __init__(
        self, browser: Browser, url: str, name: str, *, width=1600, height=1000, cancel_sign_in=False, **options
    ):
        self.origin = "/".join(url.split("/")[:3])
        self.name = name
        self.refused: list[tuple[int, str, str]] = []
        self.faults: list[str] = []
        self.context = browser.new_context(viewport={"width": width, "height": height}, **options)
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(CONTENT_LIMIT_MS)
        self.page.on("response", self._response)
        self.page.on("request", self._request)
        self.page.on("requestfailed", self._failed)
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.faults.append(f"script: {error}"))
        self.page.on("dialog", self._dialog)
        if cancel_sign_in:
            self._cancel_sign_in()
        self.response: Response | None = self.page.goto(url)

    def see(self, text: str, *, exact: bool = False) -> Locator:
        """Waits until the text can be seen."""
        found = self.page.get_by_text(text, exact=exact).filter(visible=True).first
        expect(found).to_be_visible(timeout=CONTENT_LIMIT_MS)
        return found

    def reloaded(self) -> tuple[int, float, float]:
        """Loads the page five times over: the medians of its bytes, and of the milliseconds until its first byte and until it can be used."""
        samples = []
        for _ in range(5):
            self.page.reload()
            samples.append(
                self.page.evaluate("""() => { const t = performance.getEntriesByType('navigation')[0];
                    return [t.transferSize, t.responseStart - t.requestStart, t.domContentLoadedEventEnd] }""")
            )
        size, served, ready = (sorted(column)[2] for column in zip(*samples, strict=True))
        return size, served, ready

    def complaints(self, expected: set[tuple[int, str, str]] = frozenset()) -> list[str]:
        """Refused requests that are not ``expected`` (status, method, path), and all else that went wrong."""
        refused = [" ".join(map(str, call)) for call in dict.fromkeys(self.refused) if call not in expected]
        return refused + self.faults

    def close(self) -> None:
        if SCREENSHOTS:
            Path(SCREENSHOTS).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=Path(SCREENSHOTS) / (re.sub(r"[^\w.-]+", "-", self.name) + ".png"))
        self.context.close()

    def _cancel_sign_in(self) -> None:
        """Answers the browser's question for user and password as a person who has none."""
        devtools = self.context.new_cdp_session(self.page)
        devtools.on(
            "Fetch.requestPaused",
            lambda event: devtools.send("Fetch.continueRequest", {"requestId": event["requestId"]}),
        )
        answer = {"response": "CancelAuth"}
        devtools.on(
            "Fetch.authRequired",
            lambda event: devtools.send(
                "Fetch.continueWithAuth", {"requestId": event["requestId"], "authChallengeResponse": answer}
            ),
        )
        devtools.send("Fetch.enable", {"handleAuthRequests": True})

    def _response(self, response: Response) -> None:
        if response.status >= 400:
            path = response.url.removeprefix(self.origin).split("?")[0].removeprefix("/mlflow")
            self.refused.append((response.status, response.request.method, path))

    def _request(self, request) -> None:
        if not request.url.startswith((self.origin + "/", "data:", "blob:")):
            self.faults.append(f"loaded from elsewhere: {request.url}")

    def _failed(self, request) -> None:
        # A page that is left gives up what it still waits for.
        if request.failure != "net::ERR_ABORTED":
            self.faults.append(f"failed: {request.method} {request.url}: {request.failure}")

    def _console(self, message) -> None:
        # What could not be loaded is in the list of refused requests, with its status.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            self.faults.append(f"console: {message.text}")

    def _dialog(self, dialog) -> None:
        self.faults.append(f"dialog: {dialog.message}")
        dialog.dismiss()
