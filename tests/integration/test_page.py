"""The page in a real browser: webcam to answer, reload, camera gone, server gone, wrong key; nobody is kept out.

Screenshots (light, dark, phone) are left in artefacts/page.
"""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from browser import SIZES, Tab, ask, give_key, look, tab, write_camera
from waiting import wait_for

from evaluation.browser import chromium
from training.world import World, write_video

pytestmark = [pytest.mark.alone, pytest.mark.debian("chromium")]

KEY = "page-test-key-0123456789"
LIVE = "figure canvas.shown"


class Site:
    """A server with a key, on a port that it keeps. One thread a stage: a browser is at work beside it."""

    def __init__(self, launch: Callable[..., Any], data: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._launch = launch
        self._data = data
        self.server = self._start()
        self.url = f"http://127.0.0.1:{self.port}"

    def _start(self) -> Any:
        threads = {f"OMNILIVE_{stage}__THREADS": "1" for stage in ("PERCEPTION", "MEMORY", "REASONING")}
        return self._launch("--port", str(self.port), data=self._data, OMNILIVE_API_KEY=KEY, **threads)

    def stop(self) -> None:
        self.server.end()

    def start(self) -> None:
        self.server = self._start()

    def get(self, path: str) -> Any:
        return httpx.get(f"{self.url}{path}", headers={"Authorization": f"Bearer {KEY}"}, timeout=30).json()

    def stream(self, name: str) -> Any:
        return self.get(f"/v1/streams/{name}")


@pytest.fixture(scope="module")
def site(_launcher: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(_launcher, tmp_path_factory.mktemp("page") / "data")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("camera")
    film = write_video(World(3).script(20.0), folder / "film.mp4", 640, 360, 10)
    with chromium(write_camera(film, folder / "camera.mjpeg")) as running:
        yield running


@pytest.fixture(scope="module")
def watched(browser: Any, site: Site) -> Iterator[Tab]:
    """A page that sends its webcam; the tests that only look share it."""
    with tab(browser, site.url, KEY) as opened:
        opened.page.get_by_role("button", name="Use my webcam").click()
        opened.page.locator(LIVE).wait_for()
        yield opened


# ---------------------------------------------------------------- in the order of the page's life


def test_a_wrong_key_is_told_and_the_right_one_opens(browser: Any, site: Site) -> None:
    with tab(browser, site.url, "wrong-key") as opened:
        page = opened.page
        page.get_by_text("The server does not know this key").wait_for()
        give_key(page, KEY)
        page.get_by_role("heading", name="Nothing is being watched yet").wait_for()
        page.reload()
        page.get_by_role("heading", name="Nothing is being watched yet").wait_for()
        assert KEY not in page.url
        assert page.evaluate("() => [localStorage.length, document.cookie]") == [0, ""]


def test_webcam_to_answer(watched: Tab, site: Site) -> None:
    page = watched.page
    answer = ask(page, "What do you see now?")
    assert answer
    assert page.locator("details summary").last.inner_text().count(" s") >= 1
    wait_for(lambda: site.stream("webcam")["memory"]["events"] > 0, 30)
    page.locator(".cards img.shown").first.wait_for()
    assert page.get_by_role("link", name="webcam").count() == 1
    assert KEY not in page.content()


def test_evidence_leads_to_its_moment_and_back_to_live(watched: Tab) -> None:
    page = watched.page
    ask(page, "What was there before?")
    page.get_by_role("list", name="Evidence").get_by_role("button").first.click()
    page.locator("figure.remembering img.shown").wait_for()
    assert page.locator(".cards .here, .cards .proof").count() >= 1
    page.get_by_role("button", name="Back to live").click()
    page.locator("figure:not(.remembering)").wait_for()


def test_the_timeline_is_walked_with_the_keyboard(watched: Tab) -> None:
    page = watched.page
    wait_for(lambda: page.locator(".cards li").count() >= 1, 30)
    page.locator(".cards button[tabindex='0']").focus()
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    page.locator("figure.remembering").wait_for()
    page.get_by_role("button", name="Zoom in").click()
    page.get_by_role("button", name="Back to live").click()


def test_memory_is_searched_by_words(watched: Tab) -> None:
    page = watched.page
    page.get_by_role("textbox", name="Search memory").fill("a red circle")
    page.get_by_role("region", name="Found in memory").get_by_role("listitem").first.wait_for()
    page.get_by_role("region", name="Found in memory").get_by_role("button").nth(1).click()
    page.locator("figure.remembering img.shown").wait_for()
    page.get_by_role("button", name="Back to live").click()


@pytest.mark.parametrize("size", SIZES)
def test_nobody_is_kept_out_and_how_it_looks(browser: Any, site: Site, watched: Tab, size: str) -> None:
    """axe-core finds nothing serious, and nothing needs scrolling sideways. Leaves screenshots."""
    with tab(browser, site.url, KEY, size=size) as opened:
        page = opened.page
        page.locator(".tile canvas.shown").first.wait_for()
        look(page, f"streams-{size}")
        page.get_by_role("link", name="webcam").click()
        page.locator(LIVE).wait_for()
        ask(page, "What was there before?")
        look(page, f"stream-{size}")
        page.get_by_role("button", name="Add camera").click()
        page.get_by_label("Camera URL").wait_for()
        look(page, f"add-{size}")


def test_a_camera_is_added_and_a_bad_address_is_told(watched: Tab, site: Site) -> None:
    page = watched.page
    page.get_by_role("button", name="Add camera").click()
    page.get_by_role("textbox", name="Camera URL").fill("http://127.0.0.1/")
    page.get_by_role("textbox", name="Name").fill("gate")
    page.get_by_role("button", name="Add", exact=True).click()
    wait_for(lambda: page.get_by_role("alert").inner_text(), 30)
    page.get_by_role("textbox", name="Camera URL").fill("rtsp://user:s3cret@127.0.0.1:9/live")
    page.get_by_role("button", name="Add", exact=True).click()
    page.get_by_role("heading", name="gate", level=1).wait_for()
    assert site.stream("gate")["source"]["url"] == "rtsp://127.0.0.1:9/live"
    assert "s3cret" not in page.content()
    page.get_by_role("link", name="webcam", exact=True).click()
    page.locator(LIVE).wait_for()


def test_an_unplugged_camera_is_told_and_taken_up_again(watched: Tab) -> None:
    page = watched.page
    page.get_by_text("You are sending").wait_for()
    unplug = "() => { const [track] = document.querySelector('.sending video').srcObject.getVideoTracks();"
    page.evaluate(unplug + " track.stop(); track.dispatchEvent(new Event('ended')) }")
    page.get_by_text("The camera was unplugged").wait_for()
    page.evaluate("() => navigator.mediaDevices.dispatchEvent(new Event('devicechange'))")
    page.locator(".sending[data-state='sending']").wait_for()


def test_reload_keeps_the_stream(watched: Tab, site: Site) -> None:
    page = watched.page
    before = site.stream("webcam")["memory"]["events"]
    page.reload()
    page.locator(".sending[data-state='sending']").wait_for()
    page.locator(LIVE).wait_for()
    assert site.stream("webcam")["memory"]["events"] >= before > 0
    assert [one["id"] for one in site.get("/v1/streams")["streams"]] == ["gate", "webcam"]


def test_a_page_that_is_opened_from_this_one_leaves_it_the_camera(watched: Tab, site: Site) -> None:
    page = watched.page
    with page.context.expect_page() as opened:
        page.evaluate("() => { window.open(location.href) }")
    other = opened.value
    kept = "() => sessionStorage.getItem('omnilive.sender')"
    for _ in range(2):
        other.locator(LIVE).wait_for()
        wait_for(lambda: other.evaluate(kept) is None, 30)
        assert other.locator(".sending").count() == 0
        other.reload()
    other.close()
    page.bring_to_front()
    assert page.locator(".sending[data-state='sending']").count() == 1
    frames = site.stream("webcam")["frames"]["received"]
    wait_for(lambda: site.stream("webcam")["frames"]["received"] > frames, 30)


def test_a_range_is_forgotten_after_it_was_asked_once_more(watched: Tab, site: Site) -> None:
    page = watched.page
    page.get_by_role("button", name="Forget").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("lost for ever").wait_for()
    dialog.get_by_role("button", name="Cancel").click()
    assert site.stream("webcam")["memory"]["events"] > 0
    with page.context.expect_page() as opened:
        page.evaluate("() => { window.open(location.href) }")
    other = opened.value
    assert ask(other, "What do you see now?")
    page.bring_to_front()
    page.get_by_role("button", name="Forget").click()
    dialog.get_by_role("combobox").select_option("The last hour")
    mark = "all => { for (const one of all) one.dataset.known = ''; return all.length }"
    assert page.locator(".cards li").evaluate_all(mark) > 0
    dialog.get_by_role("button", name="Forget").click()
    page.get_by_text("forgotten.").wait_for()
    page.locator(".cards li[data-known]").first.wait_for(state="detached")
    # An answer in another tab may tell of it as well.
    other.locator(".answer").first.wait_for(state="detached")
    other.close()


def test_a_server_that_restarts_under_the_page(watched: Tab, site: Site) -> None:
    page = watched.page
    frames = site.stream("webcam")["frames"]["received"]
    assert frames > 0
    site.stop()
    page.get_by_text("The server is away").wait_for()
    page.locator(".sending[data-state='waiting']").wait_for()
    site.start()
    page.locator(".sending[data-state='sending']").wait_for(timeout=60_000)
    wait_for(lambda: site.stream("webcam")["state"] == "live", 30)
    assert ask(page, "What do you see now?")
