"""Logs: ids in every line, secrets in none."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.errors import START_CODES, RequestError, status_of, type_of
from server.logs import Redactor, keep_secret, redactor, request_id, set_up
from server.sources import secrets_of, shown_url

WORDS = st.text("abcdefgh123-._~", min_size=4, max_size=12)


@pytest.fixture
def out() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)


def test_text_carries_the_ids(out: io.StringIO) -> None:
    set_up("text", "info", out)
    token = request_id.set("r-1")
    logging.getLogger("x").info("hello %s", "there", extra={"stream": "cam"})
    request_id.reset(token)
    logging.getLogger("x").debug("not this")
    line = out.getvalue()
    assert "hello there request=r-1 stream=cam" in line
    assert "not this" not in line


def test_json_is_one_object_a_line(out: io.StringIO) -> None:
    set_up("json", "debug", out)
    keep_secret("hunter22")
    try:
        raise ValueError("rtsp://user:hunter22@camera/ is gone")
    except ValueError:
        logging.getLogger("x").exception("trouble with hunter22", extra={"stream": "cam"})
    entry = json.loads(out.getvalue())
    assert (entry["level"], entry["logger"], entry["stream"]) == ("error", "x", "cam")
    assert "ValueError" in entry["exception"]
    assert "hunter22" not in out.getvalue()
    assert "user" not in out.getvalue().split("ValueError: ")[1]


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("rtsp://u:p@cam/1", "rtsp://***@cam/1"),
        ("rtsps://only-user@cam", "rtsps://***@cam"),
        ("rtsp://u:a@b@cam/1", "rtsp://***@cam/1"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
        ("omnilive.v1, omnilive.key.abc, x", "omnilive.v1, ***, x"),
        ("key ol_abcdefgh12345", "key ***"),
        ("mail to a@b.example", "mail to a@b.example"),
    ],
)
def test_what_looks_like_a_secret_is_hidden(text: str, clean: str) -> None:
    assert Redactor().clean(text) == clean


@given(WORDS, WORDS)
def test_no_camera_password_passes(user: str, password: str) -> None:
    one = Redactor()
    one.add(secrets_of(f"rtsp://{user}:{password}@camera/1?token=abcdef"))
    for said in (f"401 for {password}", f"{user}:{password} refused", f"rtsp://{user}:{password}@camera/1"):
        assert password not in one.clean(said)
    assert shown_url(f"rtsp://{user}:{password}@camera/1?token=abcdef") == "rtsp://camera/1"


def test_an_encoded_password_is_known_decoded_too() -> None:
    secrets = secrets_of("rtsp://admin:pw-7f3aZ%40q@camera/1")
    assert "pw-7f3aZ%40q" in secrets
    assert "pw-7f3aZ@q" in secrets


def test_short_words_are_no_secrets() -> None:
    one = Redactor()
    one.add(["a", ""])
    assert one.clean("a camera") == "a camera"
    assert redactor.clean("plain") == "plain"


def test_every_code_has_its_status_and_type() -> None:
    assert status_of("time_in_future") == 400
    assert status_of("storage_full") == 507
    assert (status_of("never heard of"), type_of("never heard of")) == (500, "server_error")
    assert type_of("too_many_streams") == "rate_limit_error"
    assert type_of("no_frames_yet") == "invalid_request_error"
    for code in ("too_many_questions", "draining", "storage_full"):
        assert RequestError(code, "x").retry_after_s
    assert RequestError("not_found", "x").retry_after_s is None
    assert len(START_CODES) == 10
