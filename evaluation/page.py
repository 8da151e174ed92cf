"""The page in a real browser: how soon a webcam's frame is visible to answers, and a received one on the screen."""

import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from PIL import Image

from clients.api import Api
from clients.live import Live
from evaluation.browser import chromium
from evaluation.checks import Check
from evaluation.clips import moving_picture
from evaluation.registry import Progress
from evaluation.server_process import ServerProcess
from evaluation.stats import quantile

FPS: Final = 2
_WIDTH, _HEIGHT = 640, 360
_SETTLE_S: Final = 4.0
_SAME_MS: Final = 25.0
"""Two times of one frame: the sender's, and the stream's own, which counts from another zero."""
_LONGEST_MS: Final = 30_000.0

_PAINTS: Final = 5
_PAINTED: Final = "performance.getEntriesByName('first-contentful-paint')[0]"

_COLLECT: Final = """
window.marks = []
new PerformanceObserver((list) => {
  for (const { name, detail, startTime } of list.getEntries()) {
    if (name === 'omnilive-frame') marks.push(['painted', detail.time, performance.timeOrigin + startTime])
    if (name === 'omnilive-sent') marks.push(['captured', detail.captured, 0])
  }
}).observe({ type: 'mark', buffered: true })
"""


def run(full: bool, progress: Progress) -> list[Check]:
    """30 s of frames each in the quick profile, two minutes in the full one."""
    seconds = 120.0 if full else 30.0
    with tempfile.TemporaryDirectory() as scratch, ServerProcess() as server:
        progress("a camera's film is made")
        with chromium(_write_camera(Path(scratch) / "camera.mjpeg")) as browser:
            painted_first = _first_paint_ms(browser, server.url)
            progress(f"a webcam is sent for {seconds:.0f} s")
            visible = _visible_ms(browser, server.url, seconds)
            progress(f"a stream is looked at for {seconds:.0f} s")
            painted = _painted_ms(browser, server.url, seconds)
    first_note = f"{len(painted_first)} fresh browsers' first contentful paint, best {min(painted_first):.0f} ms"
    return [
        Check("page.first_paint_ms", quantile(painted_first, 0.5), "ms", "<= 1000", note=first_note),
        Check("page.visible_p95_s", quantile(visible, 0.95) / 1000, "s", "<= 1", note=_note(visible)),
        Check("page.live_p95_ms", quantile(painted, 0.95), "ms", "<= 500", note=_note(painted)),
    ]


def _note(ms: Sequence[float]) -> str:
    return f"{len(ms)} frames at {FPS} a second, median {quantile(ms, 0.5):.0f} ms, worst {max(ms):.0f} ms"


def _jpeg(n: int) -> bytes:
    buffer = BytesIO()
    Image.fromarray(moving_picture(_WIDTH, _HEIGHT, n / FPS, 1)).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def _write_camera(path: Path) -> Path:
    """What the browser's camera plays, over and over; its frames differ as those of a second's half do."""
    path.write_bytes(b"".join(_jpeg(n) for n in range(16)))
    return path


def _first_paint_ms(browser: Any, url: str) -> list[float]:
    """From the navigation to the first thing that can be read, each time with nothing cached."""
    found: list[float] = []
    for _ in range(_PAINTS):
        context = browser.new_context()
        page = context.new_page()
        page.goto(url)
        page.wait_for_function(f"() => {_PAINTED}")
        found.append(float(page.evaluate(f"() => {_PAINTED}.startTime")))
        context.close()
    return found


# ---------------------------------------------------------------- webcam to "visible to answers"


def _visible_ms(browser: Any, url: str, seconds: float) -> list[float]:
    """From a frame's capture in the page to the word that it is perceived, and so in every prompt from then on."""
    page = browser.new_page()
    page.add_init_script(_COLLECT)
    page.goto(url)
    page.get_by_role("button", name="Use my webcam").click()
    page.locator("figure canvas.shown").wait_for(timeout=60_000)
    with _heard(url, "webcam") as heard:
        page.wait_for_timeout(1000 * (_SETTLE_S + seconds))
        captured = [mark[1] for mark in page.evaluate("() => marks") if mark[0] == "captured"]
    page.close()
    return _delays([one for one in heard if one[1] > heard[0][1] + 1000 * _SETTLE_S], captured)


@contextmanager
def _heard(url: str, stream: str) -> Iterator[list[tuple[float, float]]]:
    """Of each perceived frame: its time, and when the word of it came; both in milliseconds since 1970."""
    heard: list[tuple[float, float]] = []
    ended = threading.Event()

    def listen(live: Live) -> None:
        while not ended.is_set():
            for message in live.told(0.5):
                if message["type"] == "frame":
                    heard.append((_ms(message["time"]), time.time() * 1000))

    with Live(url, stream) as live:
        live.subscribe("frames")
        listener = threading.Thread(target=listen, args=(live,), daemon=True)
        listener.start()
        yield heard
        ended.set()
        listener.join(10)


def _ms(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1000


def _delays(heard: Sequence[tuple[float, float]], captured: Sequence[float]) -> list[float]:
    """How long after its capture each frame was heard of.

    The stream's times are the page's, shifted by what the first frame took. The shift is the one under which most
    frames meet their own; of several such the one of the longest delays. Raises RuntimeError where there is none.
    """
    if not heard:
        raise RuntimeError("no frame was perceived")
    first = heard[0][0]
    shifts = sorted({first - one for one in captured if 0 <= first - one <= _LONGEST_MS})
    best: list[float] = []
    for shift in shifts:
        found = [at - mine for told, at in heard for mine in captured if abs(told - shift - mine) <= _SAME_MS]
        if len(found) >= len(best):
            best = found
    if len(best) < len(heard) / 2:
        raise RuntimeError(f"only {len(best)} of {len(heard)} perceived frames are among those that were captured")
    return best


# ---------------------------------------------------------------- the server's receipt to paint


def _painted_ms(browser: Any, url: str, seconds: float) -> list[float]:
    """From the server's receipt of a frame to its paint in a page that looks at the stream."""
    with Api(url) as api:
        api.add("shown", {"push": True})
    page = browser.new_page()
    page.add_init_script(_COLLECT)
    page.goto(f"{url}/#/s/shown")
    pictures = [_jpeg(n) for n in range(16)]
    with Live(url, "shown") as live:
        live.announce(0, "jpeg")
        began = time.monotonic()
        for n in range(round(FPS * (seconds + _SETTLE_S))):
            live.send(0, pictures[n % len(pictures)])
            page.wait_for_timeout(max(1.0, 1000 * (began + (n + 1) / FPS - time.monotonic())))
    painted = [at - told for kind, told, at in page.evaluate("() => marks") if kind == "painted"]
    page.close()
    settled = painted[round(FPS * _SETTLE_S) :]
    if len(settled) < FPS * seconds / 2:
        raise RuntimeError(f"only {len(settled)} frames were painted")
    return settled
