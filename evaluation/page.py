"""The page in a real browser: how soon a webcam's frame is visible to answers, and a received one on the screen."""

import tempfile
import threading
import time
from base64 import b64decode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from clients.api import Api
from clients.live import Live
from evaluation.browser import chromium
from evaluation.checks import Check
from evaluation.clips import moving_picture
from evaluation.marks import marked, read_mark
from evaluation.registry import Progress
from evaluation.server_process import ServerProcess
from evaluation.stats import quantile

FPS: Final = 2
_WIDTH, _HEIGHT = 640, 360
_SETTLE_S: Final = 4.0
_CAMERA_FRAMES: Final = 600
"""20 s at the 30 frames a second that Chromium plays."""

_PAINTS: Final = 5
_PAINTED: Final = "performance.getEntriesByName('first-contentful-paint')[0]"

_COLLECT: Final = """
window.marks = []
new PerformanceObserver((list) => {
  for (const { name, detail, startTime } of list.getEntries()) {
    if (name === 'omnilive-frame') marks.push([detail.time, performance.timeOrigin + startTime])
  }
}).observe({ type: 'mark', buffered: true })
"""

_KEEP_SENT: Final = """
window.sent = []
const send = WebSocket.prototype.send
WebSocket.prototype.send = function (data) {
  if (data instanceof Uint8Array && data[0] === 0) {
    const captured = Number(new DataView(data.buffer).getBigInt64(1)) / 1000
    sent.push([performance.timeOrigin + captured, data.slice(9)])
  }
  return send.call(this, data)
}
"""
"""Of what is sent, byte 0 is the track and 1 to 8 the capture in us by the page's own clock; then comes the JPEG."""
_TELL_SENT: Final = """
() => sent.map(([at, picture]) => [at, btoa(Array.from(picture, (one) => String.fromCharCode(one)).join(''))])
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
    picture = marked(moving_picture(_WIDTH, _HEIGHT, n / FPS, 1), n)
    Image.fromarray(picture).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def _write_camera(path: Path) -> Path:
    """What the browser's camera plays, over and over: numbered frames that differ as those of a second's half do."""
    with path.open("wb") as camera:
        for n in range(_CAMERA_FRAMES):
            camera.write(_jpeg(n))
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
    page.add_init_script(_KEEP_SENT)
    page.goto(url)
    page.get_by_role("button", name="Use my webcam").click()
    page.locator("figure canvas.shown").wait_for(timeout=60_000)
    with _heard(url, "webcam") as heard:
        page.wait_for_timeout(1000 * (_SETTLE_S + seconds))
        sent = [Marked(at, _mark(b64decode(picture))) for at, picture in page.evaluate(_TELL_SENT)]
    page.close()
    return delays([one for one in heard if one.at_ms > heard[0].at_ms + 1000 * _SETTLE_S], sent)


@dataclass(frozen=True)
class Marked:
    """A frame by the number in its picture (None: it cannot be read), and when it was seen, in ms since 1970."""

    at_ms: float
    number: int | None


@contextmanager
def _heard(url: str, stream: str) -> Iterator[list[Marked]]:
    """Each perceived frame, when the word of it came."""
    heard: list[Marked] = []
    ended = threading.Event()

    def listen(live: Live) -> None:
        while not ended.is_set():
            for message in live.told(0.5):
                if message["type"] == "frame":
                    at_ms = time.time() * 1000
                    heard.append(Marked(at_ms, _mark(message["jpeg"])))

    with Live(url, stream) as live:
        live.subscribe("frames")
        listener = threading.Thread(target=listen, args=(live,), daemon=True)
        listener.start()
        yield heard
        ended.set()
        listener.join(10)


def _mark(jpeg: bytes) -> int | None:
    return read_mark(np.asarray(Image.open(BytesIO(jpeg)).convert("RGB")))


def delays(heard: Sequence[Marked], sent: Sequence[Marked]) -> list[float]:
    """How long after its capture each frame was heard of: the numbers in the pictures say which is which.

    A number comes again when the camera's film does, which lasts longer than any delay. Raises RuntimeError where
    frames are heard of that nobody sent.
    """
    captures: dict[int | None, list[float]] = {}
    for one in sent:
        captures.setdefault(one.number, []).append(one.at_ms)
    found = [
        one.at_ms - max(before)
        for one in heard
        if one.number is not None and (before := [at for at in captures.get(one.number, []) if at <= one.at_ms])
    ]
    if len(found) < 0.9 * len(heard) or not found:
        raise RuntimeError(f"only {len(found)} of {len(heard)} perceived frames are among those that were captured")
    return found


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
    painted = [at - told for told, at in page.evaluate("() => marks")]
    page.close()
    settled = painted[round(FPS * _SETTLE_S) :]
    if len(settled) < FPS * seconds / 2:
        raise RuntimeError(f"only {len(settled)} frames were painted")
    return settled
