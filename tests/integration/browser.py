"""A real browser in front of a real server: Debian's Chromium with a camera that plays a film of our own."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import pytest

SHOTS = Path(__file__).resolve().parents[2] / "artefacts" / "page"
PATIENCE_MS = 60_000
REFUSED = "Failed to load resource"
"""What Chromium itself logs for a request that is refused or finds nobody: it is not the page's."""

SIZES: dict[str, dict[str, Any]] = {
    "light": {"viewport": {"width": 1440, "height": 900}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 1440, "height": 900}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}, "color_scheme": "light", "is_mobile": True, "has_touch": True},
}


def write_camera(film: Path, path: Path, frames: int = 200) -> Path:
    """What Chromium's camera plays over and over: the film's frames as JPEGs, one behind the other."""
    with av.open(str(film)) as source, path.open("wb") as camera:
        for n, frame in enumerate(source.decode(video=0)):
            if n >= frames:
                break
            picture = io.BytesIO()
            frame.to_image().save(picture, "JPEG", quality=85)
            camera.write(picture.getvalue())
    return path


@dataclass
class Tab:
    """A page in a context of its own, and all that its console said."""

    page: Any
    said: list[str] = field(default_factory=list)

    def errors(self) -> list[str]:
        """Errors of the page itself."""
        return [one for one in self.said if REFUSED not in one and "WebSocket connection" not in one]


@contextmanager
def tab(browser: Any, url: str, key: str | None = None, size: str = "light", **options: Any) -> Iterator[Tab]:
    """Opens the page; with a key, gives it as a person would. The page's own errors fail the test in the end."""
    context = browser.new_context(**{**SIZES[size], "reduced_motion": "reduce", **options})
    context.set_default_timeout(PATIENCE_MS)
    opened = Tab(context.new_page())
    opened.page.on("console", lambda one: opened.said.append(one.text) if one.type in ("error", "warning") else None)
    opened.page.on("pageerror", lambda error: opened.said.append(f"uncaught: {error}"))
    try:
        opened.page.goto(url)
        if key is not None:
            give_key(opened.page, key)
        yield opened
        assert opened.errors() == []
    finally:
        context.close()


def give_key(page: Any, key: str) -> None:
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Use this key").click()


def ask(page: Any, question: str) -> str:
    """Ask and wait for the end; the answer's text."""
    log = page.get_by_role("log")
    answers = log.locator("article.answer")
    before = answers.count()
    page.get_by_role("textbox", name="Ask").fill(question)
    page.keyboard.press("Enter")
    answers.nth(before).locator("details").wait_for()
    assert log.get_attribute("aria-busy") == "false"
    return str(answers.nth(before).locator(".text").inner_text())


def look(page: Any, name: str) -> None:
    """Leave a screenshot; nothing needs scrolling sideways, and axe-core finds nothing serious."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}.png")
    assert page.evaluate("() => document.documentElement.scrollWidth - innerWidth") <= 0, name
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
    found = axe.Axe().run(page).response["violations"]
    grave = [
        (one["id"], [node["html"][:200] for node in one["nodes"]])
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
    assert grave == [], name


def look_in_all_sizes(page: Any, name: str) -> None:
    """The same page, light, dark and on a phone; afterwards as it was."""
    was = page.viewport_size
    for size, options in SIZES.items():
        page.emulate_media(color_scheme=options["color_scheme"])
        page.set_viewport_size(options["viewport"])
        look(page, f"{name}-{size}")
    page.set_viewport_size(was)
