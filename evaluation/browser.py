"""Debian's Chromium, driven by Playwright, with a camera that plays a file."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

CHROMIUM: Final = Path("/usr/bin/chromium")


def has_browser() -> bool:
    """Whether there is one, and what drives it."""
    return CHROMIUM.exists() and find_spec("playwright") is not None


@contextmanager
def chromium(camera: Path) -> Iterator[Any]:
    """A browser without a window, which says yes to every page that asks for the camera.

    camera: what it plays over and over: JPEG pictures, one behind the other (`.mjpeg`).
    """
    from playwright.sync_api import sync_playwright

    devices = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
    # Debian's sandbox wants rights that a container does not have; the only pages here are the server's own.
    arguments = ["--no-sandbox", *devices, f"--use-file-for-fake-video-capture={camera}"]
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=arguments)
        try:
            yield browser
        finally:
            browser.close()
