"""Debian's Chromium on a Dagster UI, as a person would use it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from playwright.sync_api import Page

CHROMIUM = "/usr/bin/chromium"
MOST_SECONDS = 60
PARTIES = ("ingestor", "pha", "facilitator", "portal")


@dataclass(frozen=True)
class DagsterUI:
    """The UI at an address, in one browser page."""

    address: str
    page: "Page"

    def open(self, path: str, text: str) -> None:
        """Go to a path and wait until it shows `text`."""
        self.page.goto(f"{self.address}{path}")
        self.page.get_by_text(text).first.wait_for(timeout=MOST_SECONDS * 1000)

    def expect(self, text: str | re.Pattern[str]) -> None:
        """Wait until the page's text, white space as single spaces, holds `text`: a page fills piece by piece."""
        from playwright.sync_api import expect  # noqa: PLC0415 (`make test` does without)

        body = self.page.locator("body")
        expect(body).to_contain_text(text, use_inner_text=True, timeout=MOST_SECONDS * 1000)

    def open_partition(self, asset: str, partition: str, text: str) -> None:
        """The page of one partition of an asset."""
        self.open(f"/assets/{asset}?view=partitions&partition={quote(partition, safe='')}", text)

    def open_graph(self) -> None:
        """The graph of all assets, every group unfolded, and nothing beside it."""
        groups = ",".join(f"global@global:{party}" for party in PARTIES)
        self.open(f"/asset-groups?expanded={quote(groups, safe='')}", "aggregates")
        self.page.get_by_text("Hide navigation").click()
        self.page.get_by_placeholder("Jump to").locator("xpath=following::button[1]").click()
        size = self.page.viewport_size
        self.page.mouse.dblclick(size["width"] * 0.8, size["height"] * 0.95)  # on nothing: fits the graph

    def text(self) -> str:
        """All text of the page, white space as single spaces."""
        return " ".join(self.page.inner_text("body").split())

    def picture(self, path: Path) -> None:
        """The page as a PNG, once nothing moves."""
        self.page.wait_for_timeout(6000)
        self.page.screenshot(path=path, animations="disabled")


@contextmanager
def dagster_ui(address: str, width: int = 1500, height: int = 1000) -> Iterator[DagsterUI]:
    """A browser on the UI at `address`."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 (`make test` does without)

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield DagsterUI(address, browser.new_page(viewport={"width": width, "height": height}))
        finally:
            browser.close()
