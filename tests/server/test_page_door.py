"""The page's files through the door: strict headers, no key wanted, nothing else of the disk, light."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from server.doors.page import FOLDER, POLICY, read_page

MOST_BYTES = 300_000


async def test_the_page_is_there_without_a_key_and_under_a_strict_policy(make_rig: Callable[..., Any]) -> None:
    rig = make_rig(key="ol_secret")
    async with rig.client() as client:
        page = await client.get("/")
        assert page.status_code == 200
        assert page.headers["content-type"].startswith("text/html")
        assert page.headers["content-security-policy"] == POLICY
        assert page.headers["referrer-policy"] == "no-referrer"
        assert (await client.get("/v1/streams")).status_code == 401
        head = await client.head("/")
        assert (head.status_code, head.content) == (200, b"")


def test_the_policy_lets_nothing_in_from_elsewhere() -> None:
    for loose in ("unsafe", "http:", "https:", "*", "data:"):
        assert loose not in POLICY
    assert POLICY.startswith("default-src 'none'")


async def test_every_file_that_is_named_is_served_with_its_kind(rig: Any) -> None:
    named = set(re.findall(r"/assets/([\w.]+)", "".join(path.read_text() for path in FOLDER.glob("*.[hcj]*"))))
    imported = {one for path in FOLDER.glob("*.js") for one in re.findall(r"from '\./([\w.]+)'", path.read_text())}
    assert {"app.js", "base.css", "icon.svg", "inter.woff2", "metronome.js"} <= named
    async with rig.client() as client:
        for name in named | imported:
            found = await client.get(f"/assets/{name}")
            assert (found.status_code, found.content) == (200, (FOLDER / name).read_bytes()), name
            kind = found.headers["content-type"].split(";")[0]
            assert kind == {
                "js": "text/javascript", "css": "text/css", "svg": "image/svg+xml", "woff2": "font/woff2",
            }[name.split(".")[-1]]  # fmt: skip


@pytest.mark.parametrize("name", ["none.js", "..%2fapi.py", "%2e%2e/%2e%2e/etc/passwd", "inter-license.txt", "", "a/b"])
async def test_nothing_else_is_served(rig: Any, name: str) -> None:
    async with rig.client() as client:
        answer = await client.get(f"/assets/{name}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


async def test_the_page_takes_nothing(rig: Any) -> None:
    async with rig.client() as client:
        assert (await client.post("/", json={})).json()["error"]["code"] == "method_not_allowed"


def test_all_that_a_browser_loads_first_is_light() -> None:
    assert sum(len(asset.content) for asset in read_page().values()) <= MOST_BYTES


def test_the_document_loads_no_code_of_its_own_and_nothing_from_elsewhere() -> None:
    document = (FOLDER / "index.html").read_text()
    assert re.findall(r"<script(?![^>]*\bsrc=)", document) == []
    assert re.findall(r"<style|\bstyle=|\son\w+=", document) == []
    for path in FOLDER.glob("*.[hcj]*"):
        addresses = set(re.findall(r"https?://[^'\"\s)]+", path.read_text())) - {"http://www.w3.org/2000/svg"}
        assert addresses == set(), path.name


def test_every_module_is_asked_for_with_the_document() -> None:
    """Else a browser learns of the last of them only after it has read all before it."""
    document = (FOLDER / "index.html").read_text()
    preloaded = set(re.findall(r'modulepreload" href="/assets/([\w.]+)"', document))
    imported = {one for path in FOLDER.glob("*.js") for one in re.findall(r"from '\./([\w.]+)'", path.read_text())}
    assert preloaded == imported
