"""The README's pictures of the page, made anew: a server, cameras and a webcam of the procedural world, a browser.

`python -m evaluation.screenshots [--minutes 12] [--to docs]` writes page-streams, page-stream and page-phone as WebP.
"""

import argparse
import io
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import av
from PIL import Image

from clients.api import Api
from evaluation.browser import chromium
from evaluation.rtsp_camera import RtspCamera
from evaluation.server_process import ServerProcess
from training.world import World, write_video

CAMERAS: Final = {"door": 11, "workshop": 12, "yard": 13}
"""Streams by the seeds of their films."""
_WEBCAM_SEED: Final = 14
_WIDTH, _HEIGHT, _FPS = 640, 360, 10
_QUESTIONS: Final = ("Describe what you see.", "Was there ever a black cross?")
_DESK: Final = {"viewport": {"width": 1440, "height": 900}}
_PHONE: Final = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "device_scale_factor": 2}
_PATIENCE_MS: Final = 120_000
_SHOWN: Final = "canvas.shown"
_LARGE: Final = f"figure {_SHOWN}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Watch for a while, then take the three pictures."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.screenshots", description=__doc__)
    parser.add_argument("--minutes", type=float, default=12, help="how long a memory the pictures show")
    parser.add_argument("--to", type=Path, default=Path("docs"), help="the folder (%(default)s)")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="omnilive-screenshots-") as folder, ExitStack() as leaving:
        server = leaving.enter_context(ServerProcess())
        with Api(server.url) as api:
            for name, seed in CAMERAS.items():
                camera = leaving.enter_context(RtspCamera(str(_film(seed, Path(folder)))))
                api.add(name, {"url": camera.url})
        browser = leaving.enter_context(chromium(_webcam(Path(folder))))
        with _page(browser, server.url, **_DESK) as page:
            page.get_by_role("button", name="Use my webcam").click()
            page.locator(_LARGE).wait_for()
            page.wait_for_timeout(60_000 * given.minutes)
            _take_streams(browser, server.url, given.to)
            _take_stream(browser, server.url, given.to)
            _take_phone(browser, server.url, given.to)


def _film(seed: int, folder: Path) -> Path:
    return write_video(World(seed).script(60.0), folder / f"{seed}.mp4", _WIDTH, _HEIGHT, _FPS)


def _webcam(folder: Path) -> Path:
    """What Chromium's camera plays: JPEG pictures, one behind the other."""
    path = folder / "webcam.mjpeg"
    with av.open(str(_film(_WEBCAM_SEED, folder))) as film, path.open("wb") as camera:
        for frame in film.decode(video=0):
            Image.fromarray(frame.to_ndarray(format="rgb24")).save(camera, "JPEG", quality=85)
    return path


@contextmanager
def _page(browser: Any, url: str, **options: Any) -> Iterator[Any]:
    context = browser.new_context(reduced_motion="reduce", **options)
    context.set_default_timeout(_PATIENCE_MS)
    try:
        page = context.new_page()
        page.goto(url)
        yield page
    finally:
        context.close()


def _take_streams(browser: Any, url: str, folder: Path) -> None:
    """All streams, in the dark."""
    with _page(browser, url, color_scheme="dark", **_DESK) as page:
        for name in (*CAMERAS, "webcam"):
            page.locator(f".tile[data-stream='{name}'] {_SHOWN}").wait_for()
        _keep(page, folder / "page-streams.webp", 1200)


def _take_stream(browser: Any, url: str, folder: Path) -> None:
    """One stream that was asked: a moment that proves the answer is shown, another one is looked into."""
    with _page(browser, f"{url}/#/s/door", color_scheme="light", **_DESK) as page:
        _ask(page)
        page.get_by_role("list", name="Evidence").last.get_by_role("button").first.click()
        page.locator("figure.remembering img.shown").wait_for()
        page.locator(".cards li").nth(-3).hover()
        page.locator(".peek img.shown").wait_for()
        _keep(page, folder / "page-stream.webp", 1200)


def _take_phone(browser: Any, url: str, folder: Path) -> None:
    """The same on a phone, live."""
    with _page(browser, f"{url}/#/s/workshop", color_scheme="light", **_PHONE) as page:
        _ask(page)
        page.locator(".cards img.shown").last.wait_for()
        page.evaluate("() => scrollTo(0, 0)")
        _keep(page, folder / "page-phone.webp", 420)


def _ask(page: Any) -> None:
    page.locator(_LARGE).wait_for()
    for n, question in enumerate(_QUESTIONS):
        page.get_by_role("textbox", name="Ask").fill(question)
        page.keyboard.press("Enter")
        page.get_by_role("log").locator("article.answer").nth(n).locator("details").wait_for()


def _keep(page: Any, path: Path, width: int) -> None:
    """The page as it is seen, at this many pixels across."""
    with Image.open(io.BytesIO(page.screenshot())) as picture:
        height = round(picture.height * width / picture.width)
        picture.convert("RGB").resize((width, height), Image.Resampling.LANCZOS).save(
            path, "WEBP", quality=82, method=6
        )


if __name__ == "__main__":
    main()
