"""Keys beside a running server: tenants that do not see one another, scopes, and what a revoked key still opens."""

import json
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

PUSHED = {"push": True, "pace": "real"}


def code(response: Any) -> str:
    found: str = response.json()["error"]["code"]
    return found


def listen(live: ClientConnection) -> None:
    """Until the connection ends."""
    while True:
        live.recv(timeout=5)


def test_keys_made_and_revoked_beside_a_running_server(launch: Any, omnilive: Any, tmp_path: Path, until: Any) -> None:
    data = tmp_path / "data"
    server = launch("--data", str(data))
    with server.client() as anyone:
        assert anyone.get("/v1/streams").status_code == 200

    def key(name: str, *more: str) -> str:
        made = omnilive("keys", "create", name, *more, "--data", str(data))
        assert made.returncode == 0, made.stderr
        return str(made.stdout.strip())

    admin, viewer, other = key("admin"), key("viewer", "--scopes", "view"), key("other", "--tenant", "neighbour")
    with server.client() as anyone:
        assert code(anyone.get("/v1/streams")) == "invalid_api_key"
        assert anyone.get("/livez").status_code == 200
    mine, seen, theirs = (server.client(authorization=f"Bearer {one}") for one in (admin, viewer, other))
    assert mine.post("/v1/streams", json={"id": "cam", "source": PUSHED}).status_code == 201
    assert [one["id"] for one in seen.get("/v1/streams").json()["streams"]] == ["cam"]
    for refused in (
        seen.post("/v1/streams", json={"id": "x", "source": PUSHED}),
        seen.post("/v1/streams/cam/questions", json={"question": "What?"}),
        seen.delete("/v1/streams/cam"),
        seen.delete("/v1/streams/cam/memory"),
        theirs.get("/v1/server"),
        theirs.get("/metrics"),
    ):
        assert (refused.status_code, code(refused)) == (403, "forbidden")
    assert theirs.get("/v1/streams").json()["streams"] == []
    assert (theirs.get("/v1/streams/cam").status_code, code(theirs.get("/v1/streams/cam"))) == (404, "stream_not_found")
    assert theirs.post("/v1/streams", json={"id": "cam", "source": PUSHED}).status_code == 201
    told = omnilive("keys", "list", "--json", "--data", str(data))
    assert [(one["name"], one["tenant"]) for one in json.loads(told.stdout)["keys"]] == [
        ("admin", "default"),
        ("viewer", "default"),
        ("other", "neighbour"),
    ]
    assert not any(secret in told.stdout + server.errors() for secret in (admin, viewer, other))
    with connect(f"{server.ws}/v1/streams/cam/live", additional_headers={"Authorization": f"Bearer {viewer}"}) as live:
        assert json.loads(live.recv())["type"] == "state"
        assert omnilive("keys", "revoke", "viewer", "--data", str(data)).returncode == 0
        until(lambda: code(seen.get("/v1/streams")) == "invalid_api_key", 5)
        with pytest.raises(ConnectionClosed) as closed:
            listen(live)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008
    for client in (mine, seen, theirs):
        client.close()


def test_a_server_for_others_makes_its_first_key(launch: Any, tmp_path: Path) -> None:
    data = tmp_path / "data"
    server = launch("--host", "0.0.0.0", "--create-key", "--data", str(data))
    first = data / "first-key"
    assert str(first) in server.errors()
    assert first.read_text().strip() not in server.errors()
    with server.client() as anyone, server.client(authorization=f"Bearer {first.read_text().strip()}") as owner:
        assert code(anyone.get("/v1/streams")) == "invalid_api_key"
        assert owner.get("/v1/streams").status_code == 200


def test_bad_names_and_scopes_are_refused_in_one_line(omnilive: Any, tmp_path: Path) -> None:
    for arguments in (("create", "a b"), ("create", "a", "--scopes", "see"), ("revoke", "nobody")):
        refused = omnilive("keys", *arguments, "--data", str(tmp_path))
        assert refused.returncode in {1, 2}
        assert refused.stdout == ""
        assert "error[invalid_field]" in refused.stderr.splitlines()[-1]


def test_keys_are_made_where_the_environment_says_that_the_data_are(omnilive: Any, tmp_path: Path) -> None:
    made = omnilive("keys", "create", "viewer", OMNILIVE_DATA=str(tmp_path / "data"))
    assert made.stdout.startswith("ol_")
    assert (tmp_path / "data" / "keys").is_file()
