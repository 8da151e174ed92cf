"""What a browser sends, in a real one: less where the link is slow, its microphone, its screen; and the key's settings.

Screenshots are left in artefacts/page.
"""

import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from browser import PATIENCE_MS, SHOTS, Tab, give_key, tab, write_camera
from slow_link import SlowLink
from waiting import wait_for

from evaluation.browser import chromium
from training.world import World, write_video

pytestmark = [pytest.mark.alone, pytest.mark.debian("chromium")]

KEY = "page-test-key-0123456789"
Get = Callable[[str], httpx.Response]


@pytest.fixture(scope="module")
def server(_launcher: Callable[..., Any]) -> Any:
    SHOTS.mkdir(parents=True, exist_ok=True)
    threads = {f"OMNILIVE_{stage}__THREADS": "1" for stage in ("PERCEPTION", "MEMORY", "REASONING")}
    return _launcher(OMNILIVE_API_KEY=KEY, **threads)


@pytest.fixture(scope="module")
def get(server: Any) -> Iterator[Get]:
    with server.client(Authorization=f"Bearer {KEY}") as client:
        yield client.get


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("camera")
    film = write_video(World(3).script(20.0), folder / "film.mp4", 640, 360, 10)
    with chromium(write_camera(film, folder / "camera.mjpeg")) as running:
        yield running


@pytest.fixture(scope="module")
def link(server: Any) -> Iterator[SlowLink]:
    with SlowLink(httpx.URL(server.url).port or 0) as made:
        yield made


@pytest.fixture(scope="module")
def sending(browser: Any, link: SlowLink) -> Iterator[Tab]:
    """A page behind the link that sends its webcam."""
    with tab(browser, f"http://127.0.0.1:{link.port}", KEY) as opened:
        opened.page.get_by_role("button", name="Use my webcam").click()
        opened.page.locator(".sending[data-state='sending']").wait_for()
        yield opened


def choose(page: Any, setting: str, option: str) -> None:
    page.locator(".sending").get_by_role("combobox", name=setting, exact=True).select_option(option)


def test_less_is_sent_where_the_link_is_slow(sending: Tab, link: SlowLink, get: Get) -> None:
    page = sending.page
    status = page.locator(".sending .status")
    choose(page, "Pictures a second", "10")
    wait_for(lambda: re.match(r"640 × 360, ", status.inner_text()), 30)
    link.rate = 15_000
    page.get_by_text("less because the link is slow").wait_for()
    before = get("/v1/streams/webcam").json()["frames"]["received"]
    wait_for(lambda: not status.inner_text().startswith("640"), 60)
    page.screenshot(path=SHOTS / "sending-slow-link.png")
    wait_for(lambda: get("/v1/streams/webcam").json()["frames"]["received"] > before + 2, 60)
    link.rate = None
    choose(page, "Pictures a second", "2")


def test_steps_down_are_taken_back_after_some_calm(sending: Tab) -> None:
    """The same rule on a clock of the test's own."""
    walk = """async () => {
      const { Ladder } = await import('/assets/sender.js')
      const ladder = new Ladder()
      const scales = []
      for (const [leftOut, now] of [[false, 0], [true, 500], [true, 1000], [true, 1500], [true, 2000],
                                    [false, 20000], [false, 22500], [false, 30000], [false, 43000]]) {
        ladder.took(leftOut, now)
        scales.push(ladder.step.scale)
      }
      return scales
    }"""
    assert sending.page.evaluate(walk) == [1, 1, 0.75, 0.75, 0.5, 0.5, 0.75, 0.75, 1]


def test_a_microphone_is_sent_beside_the_pictures(sending: Tab, get: Get) -> None:
    page = sending.page
    microphone = page.locator(".sending").get_by_role("combobox", name="Microphone", exact=True)
    options = microphone.locator("option")
    assert options.first.inner_text() == "Off"
    microphone.select_option(index=1)
    page.locator(".sending[data-state='sending']").wait_for()

    def sound() -> float:
        """Messages that are no pictures: a tenth of a second of sound each."""
        text = get("/metrics").text
        pushed = re.search(r'omnilive_pushed_total\{outcome="accepted",stream="webcam"\} (\S+)', text)
        frames = re.search(r'omnilive_frames_total\{outcome="received",stream="webcam"\} (\S+)', text)
        return float(pushed[1]) - float(frames[1]) if pushed and frames else 0.0

    before = sound()
    wait_for(lambda: sound() > before + 20, 60)
    microphone.select_option("off")


def test_a_screen_is_shared(sending: Tab, get: Get) -> None:
    page = sending.page
    choose(page, "Source", "screen")
    page.locator(".sending[data-kind='screen'][data-state='sending']").wait_for()
    assert page.locator(".sending").get_by_role("combobox", name="Camera", exact=True).is_hidden()
    choose(page, "Size", "720")
    wait_for(lambda: get("/v1/streams/webcam").json()["size"] == [1280, 720], 60)
    choose(page, "Source", "camera")
    wait_for(lambda: get("/v1/streams/webcam").json()["size"] == [640, 360], 60)
    page.get_by_role("button", name="Stop sending").click()
    page.locator(".sending").wait_for(state="detached")
    wait_for(lambda: get("/v1/streams/webcam").json()["state"] == "offline", 30)


def test_the_timeline_previews_moments_and_says_why_there_are_none(sending: Tab, get: Get) -> None:
    """Nobody sent for a while: a gap. Under the pointer stands what was seen, and why nothing was."""
    page = sending.page
    silent_since = time.monotonic()
    wait_for(lambda: time.monotonic() - silent_since >= 8, 20)
    page.get_by_role("button", name="Use my webcam").click()
    page.locator(".sending[data-state='sending']").wait_for()
    page.get_by_role("button", name="Zoom in").click()
    page.get_by_role("button", name="Zoom in").click()

    def under_the_pointer() -> tuple[set[str], int]:
        box = page.locator(".strip").bounding_box()
        said, previews = set(), 0
        for x in range(4, int(box["width"]), 6):
            page.mouse.move(box["x"] + x, box["y"] + box["height"] - 30)
            said.add(page.locator(".peek span").inner_text())
            previews += page.locator(".peek:not(.bare)").count()
        return said, previews

    wait_for(lambda: "nothing: offline" in (found := under_the_pointer())[0] and found[1] > 0, 90)
    page.screenshot(path=SHOTS / "gap-light.png")


def test_the_key_can_be_changed_and_forgotten(browser: Any, server: Any) -> None:
    with tab(browser, server.url, KEY) as opened:
        page = opened.page
        page.get_by_role("heading", name="Streams").wait_for()
        page.get_by_role("button", name="Key", exact=True).click()
        dialog = page.get_by_role("dialog", name="The key of this tab")
        dialog.wait_for()
        page.screenshot(path=SHOTS / "key-light.png")
        page.keyboard.press("Escape")
        dialog.wait_for(state="detached")
        page.get_by_role("button", name="Key", exact=True).click()
        dialog.get_by_role("button", name="Forget the key").click()
        page.get_by_role("dialog", name="This server wants a key").wait_for(timeout=PATIENCE_MS)
        assert page.evaluate("() => [sessionStorage.length, localStorage.length]") == [0, 0]
        give_key(page, KEY)
        page.get_by_role("heading", name="Streams").wait_for()


def test_what_has_not_arrived_is_known(sending: Tab) -> None:
    """The rule by which pictures are left out, on clocks of the test's own: ours 1000 ms ahead of the server's."""
    walk = """async () => {
      const { Transit } = await import('/assets/transit.js')
      const told = []
      const transit = new Transit()
      // Quick: each picture is looked at 40 ms after its capture, and told of within a second.
      for (let at = 2000; at < 6000; at += 500) {
        transit.sent(at)
        if (at % 1000 === 0) transit.looked(at - 1000 + 40, at + 80)
        told.push(transit.late(at + 100))
      }
      // Nothing arrives any more, then all of it.
      for (let at = 6000; at < 10000; at += 500) transit.sent(at)
      told.push(transit.late(8000), transit.late(10100))
      transit.looked(8500, 10100)
      told.push(transit.late(10100))
      return told
    }"""
    assert sending.page.evaluate(walk) == [*[0] * 8, 0, 4600, 0]
