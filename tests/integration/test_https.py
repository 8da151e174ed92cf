"""A real server with TLS: every door over https and wss, and starts that are refused for their files."""

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from clients.api import Api, ApiError
from clients.live import Live

Refusal = Callable[..., tuple[str, str, float]]
MakePair = Callable[..., Any]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def pair(make_pair: MakePair) -> Any:
    return make_pair()


@pytest.fixture(scope="module")
def secure(_launcher: Any, pair: Any) -> Any:
    return _launcher("--tls-cert", str(pair.cert), "--tls-key", str(pair.key))


@pytest.fixture
def trusted(pair: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our clients trust the certificate, as a user would have them do it."""
    monkeypatch.setenv("SSL_CERT_FILE", str(pair.cert))


def test_the_ready_line_says_https(secure: Any) -> None:
    assert secure.stdout[0].startswith("ready https://127.0.0.1:")
    assert "plain text" not in secure.errors()


@pytest.mark.usefixtures("trusted")
def test_media_and_questions_over_https_and_wss(secure: Any, make_clip: Any) -> None:
    from clients.media import media_units

    with Api(secure.url) as api:
        api.add("pushed", {"push": True, "pace": "fast"})
        with Live(secure.url, "pushed") as live:
            live.announce(0, "h264")
            for unit in media_units(make_clip()):
                live.send(unit.track, unit.data, unit.pts_us)
            live.ask("a1", "What is there?", max_tokens=8)
            reply = live.wait("a1")
        assert reply.text == reply.answer["answer"]
        assert api.ask("pushed", "What is there?", max_tokens=8)["answer"]
        streamed = list(api.ask_streamed("pushed", "What is there?", max_tokens=8))
        assert streamed[-1]["answer"] == "".join(streamed[:-1])
        api.remove("pushed")


def test_who_does_not_trust_the_certificate_is_told_what_to_do(secure: Any) -> None:
    with Api(secure.url) as api, pytest.raises(ApiError, match="SSL_CERT_FILE"):
        api.get("/v1/streams")
    with pytest.raises(ApiError, match="SSL_CERT_FILE"):
        Live(secure.url, "any")


def test_the_command_line(secure: Any, omnilive: Any, pair: Any) -> None:
    done = omnilive("streams", "--json", url=secure.url, SSL_CERT_FILE=str(pair.cert))
    assert (done.returncode, json.loads(done.stdout)["streams"]) == (0, [])
    assert "error[unreachable]" in omnilive("streams", url=secure.url).stderr


def test_the_health_check_takes_the_server_at_its_word(secure: Any, pair: Any, until: Any) -> None:
    env = {**os.environ, "OMNILIVE_PORT": str(urlsplit(secure.url).port), "OMNILIVE_TLS__CERT": str(pair.cert)}

    def healthy() -> bool:
        asking = [sys.executable, "-m", "clients.health"]
        return subprocess.run(asking, cwd=ROOT, env=env, stdout=subprocess.DEVNULL, timeout=60).returncode == 0

    until(healthy, 60)


def test_plain_http_at_the_same_port_is_cut_off(secure: Any) -> None:
    asking = http.client.HTTPConnection("127.0.0.1", urlsplit(secure.url).port or 0, timeout=20)
    asking.request("GET", "/livez")
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        asking.getresponse()
    assert "Traceback" not in secure.errors()


def test_starts_that_are_refused(refusal: Refusal, pair: Any, make_pair: MakePair, tmp_path: Path) -> None:
    for flags, word in (
        (("--tls-cert", str(tmp_path / "absent"), "--tls-key", str(pair.key)), "tls.cert"),
        (("--tls-cert", str(pair.cert), "--tls-key", str(make_pair().key)), "does not belong"),
        (("--tls-cert", str(pair.cert)), "tls.key"),
    ):
        code, message, _ = refusal(*flags)
        assert (code, word in message) == ("config_invalid", True), message
    assert not (tmp_path / "data").exists()


def test_plain_text_beyond_this_machine_is_warned_about(launch: Any) -> None:
    server = launch("--host", "0.0.0.0", "--create-key", ready=False)
    server.wait_ready()
    assert server.errors().count("plain text") == 1
