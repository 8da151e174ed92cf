"""nginx with the file of `docker/` before a real server: the page, answers in pieces, the live websocket."""

import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from clients.api import Api
from clients.live import Live
from clients.media import media_units

CONFIG = Path(__file__).resolve().parents[2] / "docker" / "nginx.conf"

pytestmark = pytest.mark.debian("nginx-light")


@pytest.fixture(scope="module")
def pair(make_pair: Any) -> Any:
    return make_pair()


@pytest.fixture(scope="module")
def proxied(_launcher: Any, pair: Any, until: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of nginx; the server behind it, with a key, knows the name that it is called by."""
    folder = tmp_path_factory.mktemp("nginx")
    server = _launcher(OMNILIVE_API_KEY="proxy-key", OMNILIVE_SECURITY__HOSTS="cameras.example.org")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    site = CONFIG.read_text()
    for shown, ours in {
        "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
        "127.0.0.1:8000": urlsplit(server.url).netloc,
        "/etc/ssl/cameras.example.org/fullchain.pem": str(pair.cert),
        "/etc/ssl/cameras.example.org/privkey.pem": str(pair.key),
    }.items():
        assert site.count(shown) == 1, shown
        site = site.replace(shown, ours)
    places = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    whole = f"daemon off; pid {folder}/pid; events {{}} http {{ access_log off; {places} {site} }}"
    (folder / "nginx.conf").write_text(whole)
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin") or "nginx"
    command = [program, "-e", str(folder / "log"), "-c", str(folder / "nginx.conf")]
    checked = subprocess.run([*command, "-t"], capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0, checked.stderr
    with subprocess.Popen(command) as process:
        until(lambda: _listens(port), 60)
        yield f"https://127.0.0.1:{port}"
        process.terminate()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except ConnectionRefusedError:
        return False
    return True


@pytest.fixture
def trusted(pair: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(pair.cert))
    monkeypatch.setenv("OMNILIVE_API_KEY", "proxy-key")


def test_the_page_under_its_own_name(proxied: str, pair: Any, until: Any) -> None:
    named = {"Host": "cameras.example.org"}
    trust = ssl.create_default_context(cafile=str(pair.cert))
    with httpx.Client(base_url=proxied, headers=named, verify=trust, timeout=30) as client:
        until(lambda: client.get("/readyz").status_code == 200, 60)
        assert "<title>OmniLive</title>" in client.get("/").text
        assert client.get("/v1/streams").status_code == 401
        given = {"Authorization": "Bearer proxy-key", "Origin": "https://cameras.example.org"}
        assert client.get("/v1/streams", headers=given).status_code == 200
        foreign = {**given, "Origin": "https://elsewhere.example.org"}
        assert client.get("/v1/streams", headers=foreign).status_code == 403
        assert client.get("/v1/streams", headers={**given, "Host": "elsewhere.example.org"}).status_code == 403


@pytest.mark.usefixtures("trusted")
def test_media_and_answers_go_through(proxied: str, make_clip: Any) -> None:
    with Api(proxied) as api:
        api.add("pushed", {"push": True, "pace": "fast"})
        with Live(proxied, "pushed") as live:
            live.announce(0, "h264")
            for unit in media_units(make_clip()):
                live.send(unit.track, unit.data, unit.pts_us)
            live.ask("a1", "What is there?", max_tokens=8)
            reply = live.wait("a1")
        assert reply.text == reply.answer["answer"]
        streamed = list(api.ask_streamed("pushed", "What is there?", max_tokens=8))
        assert streamed[-1]["answer"] == "".join(streamed[:-1])
