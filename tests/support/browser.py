"""A real browser: Debian's chromium, driven by Playwright, and what a person would complain about in it."""

import importlib.util
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Response

_ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_PATIENCE_MS = 60_000
"""How long to look for something on a page: the first page of a webserver loads slowly on a busy machine."""
_QUIET_MS = 5_000

Theme = Literal["light", "dark"]


def missing() -> str | None:
    """Why there is no browser here; None if there is one."""
    if shutil.which("chromium") is None:
        return "chromium is not installed: apt-get install chromium"
    if importlib.util.find_spec("playwright") is None:
        return "playwright is not installed: it is part of the extra `dev`"
    return None


def need_browser() -> None:
    """Skip the test where there is no browser."""
    if reason := missing():
        pytest.skip(reason)


@contextmanager
def chromium() -> Iterator["Browser"]:
    """The browser that is installed on this machine. Playwright's own ones are not needed."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=_ARGUMENTS)
        yield browser
        browser.close()


@dataclass
class Tab:
    """One tab of the browser, and what was noticed in it."""

    page: "Page"
    problems: list[str] = field(default_factory=list)
    """Errors in the console, exceptions of scripts, and answers of the server with a status from 400 on."""
    seen: list[str] = field(default_factory=list)
    """The content of each page that was looked at."""

    def open(self, path: str) -> None:
        """Go to a page and wait until it is complete."""
        self.page.goto(path)
        self.settle()

    def settle(self) -> None:
        """Wait until nothing is loaded any more. Pages that refresh themselves never get there: it gives up soon."""
        from playwright.sync_api import TimeoutError as StillLoading

        with suppress(StillLoading):
            self.page.wait_for_load_state("networkidle", timeout=_QUIET_MS)
        self.seen.append(self.page.content())

    def follow(self, name: str) -> None:
        """Click the first link with this text."""
        self.page.get_by_role("link", name=name).first.click()
        self.settle()

    def press(self, name: str) -> None:
        """Click the first button with this text."""
        self.page.get_by_role("button", name=name).first.click()

    def find(self, text: str) -> "Locator":
        """The first place with this text. Waits until it is visible."""
        place = self.page.get_by_text(text).first
        place.wait_for(state="visible")
        return place

    @property
    def dialog(self) -> "Locator":
        return self.page.get_by_role("dialog").last

    def _hear(self, message: "ConsoleMessage") -> None:
        if message.type == "error":
            self.problems.append(f"{self.page.url}: {message.text}")

    def _answered(self, response: "Response") -> None:
        if response.status >= 400:
            self.problems.append(f"{self.page.url}: {response.status} of {response.url}")


@contextmanager
def tab(browser: "Browser", address: str, *, theme: Theme = "light", height: int = 900) -> Iterator[Tab]:
    """A new tab with cookies of its own.

    Args:
        browser: it opens there.
        address: of the website; paths are relative to it.
        theme: what the person's system prefers; Dagster follows it.
        height: of the window, in pixels; it is 1440 wide.
    """
    size = {"width": 1440, "height": height}
    context = browser.new_context(base_url=address, viewport=size, color_scheme=theme)
    context.set_default_timeout(_PATIENCE_MS)
    opened = Tab(context.new_page())
    opened.page.on("console", opened._hear)
    opened.page.on("pageerror", lambda error: opened.problems.append(f"{opened.page.url}: {error}"))
    opened.page.on("response", opened._answered)
    yield opened
    context.close()
