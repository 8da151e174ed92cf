"""A model whose words would act on a terminal or in a page: they are only shown."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import ask, tab, write_camera
from waiting import wait_for

from clients.api import Api
from clients.plain import plain
from evaluation.browser import chromium
from evaluation.instant_model import NAME, InstantModel

ACTS = "document.title='acted'"
WORDS = ("\x1b[31mred\x1b]0;title\x07 \x9b2J \u202eback ", f'<img src=x onerror="{ACTS}"><script>{ACTS}</script>')
STREAM = "words"


@pytest.fixture(scope="module")
def talking(_launcher: Any, make_clip: Any) -> Iterator[Any]:
    """A server whose model says WORDS to everything, and a stream that has been seen."""
    clip = make_clip(shots=3, seconds=2.0)
    with InstantModel(WORDS) as model:
        server = _launcher("--model", model.url, "--model-name", NAME, "--allow-files", str(clip.parent))
        with Api(server.url) as api:
            api.add(STREAM, {"url": clip.as_uri(), "pace": "fast"})
            wait_for(lambda: api.stream(STREAM)["state"] == "ended" and api.events(STREAM), 60)
        yield server


def test_an_answer_does_not_act_on_a_terminal(talking: Any, omnilive: Any) -> None:
    with Api(talking.url) as api:
        assert api.ask(STREAM, "What do you see?")["answer"].startswith("\x1b[31mred"), "the model's own words arrive"
    done = omnilive("ask", STREAM, "What do you see?", url=talking.url)
    assert "red" in done.stdout
    assert plain(done.stdout + done.stderr) == done.stdout + done.stderr


@pytest.mark.debian("chromium")
def test_words_do_not_become_part_of_the_page(talking: Any, make_clip: Any, tmp_path: Path) -> None:
    """The answer is the model's own; its caption is put into what the server says."""

    def describe(route: Any) -> None:
        body = route.fetch().json()
        for event in body["events"]:
            event["caption"] = "".join(WORDS)
        route.fulfill(content_type="application/json", body=json.dumps(body))

    camera = write_camera(make_clip(shots=3, seconds=2.0), tmp_path / "camera.mjpeg")
    with chromium(camera) as browser, tab(browser, talking.url) as opened:
        page = opened.page
        page.route("**/events?*", describe)
        page.get_by_role("link", name=STREAM).click()
        assert "<img src=x" in ask(page, "What do you see?")
        page.locator(".cards button").first.focus()
        page.keyboard.press("Enter")
        page.locator("figure .caption").get_by_text(f"<script>{ACTS}</script>").wait_for()
        assert page.locator("main [onerror], main script").count() == 0
        assert page.title() == f"{STREAM} · OmniLive"
