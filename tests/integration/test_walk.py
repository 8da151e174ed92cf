"""The README's five minutes, walked by a stranger: open the page, webcam, ask, add a camera, find what was, forget it.

The server is started with nothing but a port and a folder. Screenshots of each step are left in artefacts/page.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from browser import Tab, ask, look_in_all_sizes, tab, write_camera
from fakecam.films import world_film
from waiting import wait_for

from clients.api import Api
from evaluation.browser import chromium
from evaluation.rtsp_camera import RtspCamera
from training.world import World, write_video

pytestmark = [pytest.mark.alone, pytest.mark.debian("chromium")]

USER, PASSWORD = "operator", "walk-s3cret"
LIVE = "figure canvas.shown"


@pytest.fixture(scope="module")
def api(_launcher: Any) -> Iterator[Api]:
    with Api(_launcher(OMNILIVE_REASONING__CAPTIONS="true").url) as one:
        yield one


@pytest.fixture(scope="module")
def camera() -> Iterator[RtspCamera]:
    film = world_film(60.0, size=(640, 360), fps=10, seed=5)
    with RtspCamera(film, user=USER, password=PASSWORD) as running:
        yield running


@pytest.fixture(scope="module")
def opened(api: Api, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    folder = tmp_path_factory.mktemp("camera")
    film = write_video(World(3).script(60.0), folder / "film.mp4", 640, 360, 10)
    with (
        chromium(write_camera(film, folder / "camera.mjpeg", 600)) as browser,
        tab(browser, api.url) as one,
    ):
        yield one


def events(api: Api, stream: str) -> list[Any]:
    found: list[Any] = api.events(stream)
    return found


# ---------------------------------------------------------------- in the order of the README


def test_the_page_opens_and_says_what_to_do(opened: Tab) -> None:
    page = opened.page
    page.get_by_role("heading", name="Nothing is being watched yet").wait_for()
    look_in_all_sizes(page, "walk-1-opened")


def test_the_webcam_is_seen(opened: Tab) -> None:
    page = opened.page
    page.get_by_role("button", name="Use my webcam").click()
    page.locator(LIVE).wait_for()
    page.locator(".sending[data-state='sending']").wait_for()
    look_in_all_sizes(page, "walk-2-webcam")


def test_a_question_is_answered(opened: Tab) -> None:
    assert ask(opened.page, "Describe what you see.") not in ("", "(no answer)")
    look_in_all_sizes(opened.page, "walk-3-asked")


def test_a_camera_is_added(opened: Tab, api: Api, camera: RtspCamera) -> None:
    page = opened.page
    page.get_by_role("button", name="Add camera").click()
    page.get_by_role("textbox", name="Camera URL").fill(camera.url)
    page.get_by_role("textbox", name="Name").fill("door")
    look_in_all_sizes(page, "walk-4-adding")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="door", level=1).wait_for()
    page.locator(LIVE).wait_for()
    look_in_all_sizes(page, "walk-5-added")
    assert PASSWORD not in page.content() + page.url
    page.get_by_role("link", name="All streams", exact=True).click()
    for stream in ("webcam", "door"):
        page.locator(f".tile[data-stream='{stream}'] canvas.shown").wait_for()
    look_in_all_sizes(page, "walk-6-streams")
    page.get_by_role("link", name="door", exact=True).click()
    page.locator(LIVE).wait_for()


def test_what_happened_is_found(opened: Tab, api: Api) -> None:
    """By words, along the timeline with the keyboard, and by a question."""
    page = opened.page
    wait_for(lambda: len(events(api, "door")) >= 2, 60)
    page.keyboard.press("/")
    page.keyboard.type("a red circle")
    page.get_by_role("region", name="Found in memory").get_by_role("listitem").first.wait_for()
    look_in_all_sizes(page, "walk-7-search")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.locator("figure.remembering img.shown").wait_for()
    page.get_by_role("button", name="Back to live").click()
    page.locator(".cards button[tabindex='0']").focus()
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    page.locator("figure.remembering img.shown").wait_for()
    assert ask(page, "What was there 20 seconds ago?") not in ("", "(no answer)")
    look_in_all_sizes(page, "walk-8-found")


def test_it_is_forgotten_for_ever(opened: Tab, api: Api) -> None:
    page = opened.page
    before = {one["id"] for one in events(api, "door")}
    page.get_by_role("button", name="Forget").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("lost for ever").wait_for()
    look_in_all_sizes(page, "walk-9-forgetting")
    dialog.get_by_role("button", name="Forget").click()
    page.get_by_text("is forgotten.").wait_for()
    assert page.get_by_role("list", name="Evidence").count() == 0, "what was said of it is not shown any more"
    look_in_all_sizes(page, "walk-10-forgotten")
    assert len(before - {one["id"] for one in events(api, "door")}) >= 1
    assert events(api, "webcam")
