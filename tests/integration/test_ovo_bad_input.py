"""OVO-Bench as a user runs it: files that are not there or broken, a foreign file, a run that is killed and goes on."""

import json
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from surroundings import ROOT, environment

from evaluation.oracle.server import OracleServer
from evaluation.ovo.annotations import load_annotations
from evaluation.ovo.journal import NAME
from evaluation.ovo.synthetic.files import make_set

LAST_S = 45
"""Questions up to this second are asked: so much of the film is shown."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film, one that is cut off, a text by a film's name; and questions about them and about one that is missing."""
    made = make_set(tmp_path_factory.mktemp("ovo") / "set", seed=13, pairs=1)
    film = made.folder / "films" / "0000.mp4"
    (made.folder / "films" / "cut.mp4").write_bytes(film.read_bytes()[: film.stat().st_size // 2])
    (made.folder / "films" / "text.mp4").write_text("no video")
    kept = [one for one in made.annotations.items if one["video"] == "films/0000.mp4"]
    kept = [one for one in kept if one.get("realtime", LAST_S + 1) <= LAST_S]
    for name in ("missing", "cut", "text"):
        kept.insert(1, {**kept[0], "video": f"films/{name}.mp4"})
    items = [{**one, "id": n} for n, one in enumerate(kept)]
    (made.folder / "annotations.json").write_text(json.dumps(items))
    return made.folder


def arguments(folder: Path, out: Path, url: str) -> list[str]:
    named = ["--annotations", str(folder / "annotations.json"), "--videos", str(folder), "--out", str(out)]
    return ["eval", "ovo", "run", *named, "--mode", "onepass", "--fps", "1", "--url", url, "--json"]


@pytest.mark.timeout(600)
def test_a_run_is_killed_and_goes_on_and_broken_videos_are_null_and_named(
    folder: Path, tmp_path: Path, launch: Any, omnilive: Any, until: Any
) -> None:
    out = tmp_path / "out"
    journal = out / NAME
    queries = load_annotations(folder / "annotations.json").queries
    with OracleServer() as oracle:
        server = launch("--model", oracle.url, data=tmp_path / "data")
        command = [sys.executable, "-m", "clients.cli.main", *arguments(folder, out, server.url)]
        with subprocess.Popen(command, cwd=ROOT, env=environment(), stderr=subprocess.DEVNULL) as killed:
            until(lambda: journal.exists() and journal.read_bytes().count(b"\n") > 7, 240)
            killed.send_signal(signal.SIGKILL)
        written = journal.read_bytes().count(b"\n") - 1
        assert written < len(queries)
        ended = omnilive(*arguments(folder, out, server.url))
        heard = Counter(one.question for one in oracle.heard())
    assert ended.returncode == 0, ended.stderr
    for line in ("null, video_missing: 1: films/missing.mp4", "null, video_invalid: 2: films/text.mp4, films/cut.mp4"):
        assert line in ended.stderr
    told = json.loads(ended.stdout)
    assert (told["nulls"], told["missing"], told["duplicates"]) == (3, 0, 0)
    assert told["tasks"]["EPM"]["n"] == sum(query.task == "EPM" for query in queries)
    # What was under way when the run was killed may have been heard twice: its first answer was not kept.
    broken = ("missing", "cut", "text")
    posed = Counter(query.prompt for query in queries if Path(query.video).stem not in broken)
    assert sum((heard - posed).values()) <= 1
    assert sum((posed - heard).values()) == 0


def test_foreign_files_are_refused_with_the_first_offending_field(folder: Path, tmp_path: Path, omnilive: Any) -> None:
    items = json.loads((folder / "annotations.json").read_text())
    del items[2]["realtime"]
    items[3]["task"] = "XYZ"
    foreign = tmp_path / "annotations.json"
    foreign.write_text(json.dumps(items))
    for asked in (
        ["run", "--annotations", str(foreign), "--videos", str(folder), "--out", str(tmp_path / "out")],
        ["speak", "--annotations", str(foreign), "--videos", str(folder), "--out", str(tmp_path / "out")],
        ["prompts", "--annotations", str(foreign)],
    ):
        refused = omnilive("eval", "ovo", *asked)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert "item 2: field realtime" in refused.stderr
        assert str(tmp_path) not in refused.stderr
    assert not (tmp_path / "out").exists()
    (tmp_path / "results").mkdir()
    row = {"id": 0, "task": "EPM", "response": "A", "ground_truth": "A"}
    (tmp_path / "results" / "r.json").write_text(json.dumps({"backward": [row, {**row, "response": 3}]}))
    refused = omnilive("eval", "ovo", "score", str(tmp_path / "results"))
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "r.json: backward: row 1: field response" in refused.stderr
