"""The command line as a user has it, against a running server."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

COMMANDS = ("serve", "demo", "add", "ask", "streams", "events", "forget", "bench", "config", "explain", "keys",
            "export", "import")  # fmt: skip


@pytest.fixture(scope="module")
def clip(make_clip: Any) -> Path:
    path: Path = make_clip(shots=3, seconds=3.0)
    return path


@pytest.fixture(scope="module")
def watched(server: Any, omnilive: Any, clip: Path, until: Any) -> Any:
    """A server that has watched `cli` to its end, added by the command line."""
    added = omnilive("add", "cli", str(clip), "--pace", "fast", "--json", url=server.url)
    assert json.loads(added.stdout)["id"] == "cli"

    def ended() -> bool:
        streams = json.loads(omnilive("streams", "--json", url=server.url).stdout)["streams"]
        return any(one["id"] == "cli" and one["state"] == "ended" and one["memory"]["events"] >= 3 for one in streams)

    until(ended, 60)
    return server


def test_without_a_command_it_tells_what_there_is(omnilive: Any) -> None:
    for arguments in ((), ("--help",)):
        told = omnilive(*arguments)
        assert told.returncode == 0
        assert all(re.search(rf"^\s+{name}\b", told.stdout, re.MULTILINE) for name in COMMANDS)


def test_bad_usage_is_one_line_and_exit_2(omnilive: Any) -> None:
    for arguments in (("fly",), ("ask",), ("forget", "cam"), ("bench", "nothing")):
        refused = omnilive(*arguments)
        assert refused.returncode == 2
        assert "error[" in refused.stderr.splitlines()[-1]
        assert "Traceback" not in refused.stderr


def test_push_sends_a_file_of_this_machine(server: Any, omnilive: Any, clip: Path, until: Any) -> None:
    pushed = omnilive("push", "pushed", str(clip), "--pace", "fast", "--json", url=server.url)
    assert json.loads(pushed.stdout) == {"stream": "pushed", "messages": 90}, pushed.stderr
    until(lambda: json.loads(omnilive("events", "pushed", "--json", url=server.url).stdout)["events"], 60)
    for arguments in (("pushed", "absent.mp4"), ("pushed", "webcam", "--device", "/dev/none")):
        refused = omnilive("push", *arguments, url=server.url)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert refused.stderr.startswith("error[source_")


def test_streams_for_people(watched: Any, omnilive: Any) -> None:
    told = omnilive("streams", url=watched.url).stdout
    assert re.search(r"cli +ended +320x180", told)


def test_events_and_their_search(watched: Any, omnilive: Any) -> None:
    events = json.loads(omnilive("events", "cli", "--json", url=watched.url).stdout)["events"]
    assert len(events) >= 3
    found = json.loads(omnilive("events", "cli", "--q", "a picture", "--json", url=watched.url).stdout)["events"]
    assert all(one["score"] is not None for one in found)
    assert events[0]["id"] in omnilive("events", "cli", url=watched.url).stdout


def test_an_answer_comes_with_its_proof(watched: Any, omnilive: Any) -> None:
    answer = json.loads(
        omnilive("ask", "cli", "What was there?", "--max-tokens", "4", "--json", url=watched.url).stdout
    )
    assert answer["usage"]["output_tokens"] <= 4
    shown = omnilive("ask", "cli", "What happened 5 seconds ago?", "--max-tokens", "4", url=watched.url)
    assert shown.returncode == 0
    question = re.search(r"(q_\S+) +first word after", shown.stdout)
    assert question is not None
    explained = json.loads(omnilive("explain", question[1], "--json", url=watched.url).stdout)
    assert {"range", "gate", "candidates"} <= set(explained)
    told = omnilive("explain", question[1], url=watched.url).stdout
    assert told.startswith("asked about ")
    assert "looked into the past (time words: 5 seconds ago" in told
    for event in {one["event"] for one in explained["candidates"]}:
        assert event in told


def test_what_the_server_refuses_is_told_with_its_code(watched: Any, omnilive: Any) -> None:
    for arguments, code in (
        (("ask", "nobody", "What?"), "stream_not_found"),
        (("ask", "../cli", "What?"), "not_found"),
        (("events", "cli", "--since", "noon"), "invalid_time"),
        (("add", "cli", "push", "--pace", "real"), "stream_exists"),
    ):
        refused = omnilive(*arguments, url=watched.url)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert refused.stderr.startswith(f"error[{code}]: ")
    nobody = omnilive("streams", url="http://127.0.0.1:9")
    assert nobody.returncode == 1
    assert nobody.stderr.startswith("error[unreachable]: ")


def test_a_memory_goes_out_as_a_file_and_comes_in_again(watched: Any, omnilive: Any, tmp_path: Path) -> None:
    file = tmp_path / "cli.memory"
    assert omnilive("export", "cli", str(file), url=watched.url).returncode == 0
    assert file.stat().st_mode & 0o077 == 0
    assert omnilive("export", "cli", str(file), url=watched.url).returncode == 2
    made = json.loads(omnilive("import", str(file), "--id", "again", "--json", url=watched.url).stdout)
    assert (made["id"], made["state"]) == ("again", "offline")
    one, two = (
        json.loads(omnilive("events", name, "--json", url=watched.url).stdout)["events"] for name in ("cli", "again")
    )
    assert [(event["id"], event["start"], event["end"]) for event in one] == [
        (event["id"], event["start"], event["end"]) for event in two
    ]
    answer = json.loads(
        omnilive("ask", "again", "What was there?", "--max-tokens", "4", "--json", url=watched.url).stdout
    )
    assert {moment["stream"] for moment in answer["evidence"]} == {"again"}
    refused = omnilive("import", str(file), "--id", "again", url=watched.url)
    assert refused.stderr.startswith("error[stream_exists]: ")
    file.write_bytes(file.read_bytes()[:-5000])
    refused = omnilive("import", str(file), "--id", "broken", url=watched.url)
    assert refused.stderr.startswith("error[archive_invalid]: ")


def test_forgetting_asks_first(watched: Any, omnilive: Any) -> None:
    event = json.loads(omnilive("events", "cli", "--json", url=watched.url).stdout)["events"][0]["id"]
    assert omnilive("forget", "cli", "--event", event, url=watched.url).returncode == 1
    assert omnilive("forget", "cli", "--event", event, "--yes", url=watched.url).returncode == 0
    left = json.loads(omnilive("events", "cli", "--json", url=watched.url).stdout)["events"]
    assert event not in [one["id"] for one in left]
    gone = json.loads(omnilive("forget", "cli", "--all", "--yes", "--json", url=watched.url).stdout)
    assert gone["deleted"]["events"] == len(left)
    assert json.loads(omnilive("events", "cli", "--json", url=watched.url).stdout)["events"] == []


def test_config_is_printed_and_checked(omnilive: Any, tmp_path: Path) -> None:
    shown = json.loads(omnilive("config", "show", "--json", OMNILIVE_SAMPLE__FPS="3").stdout)
    assert shown["sample"]["fps"] == 3
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    good.write_text("[sample]\nfps = 1\n")
    bad.write_text("[sample]\nfsp = 1\n")
    assert omnilive("config", "check", str(good)).returncode == 0
    refused = omnilive("config", "check", str(bad))
    assert refused.returncode == 2
    assert "error[config_unknown_key]" in refused.stderr
    assert "fps" in refused.stderr
