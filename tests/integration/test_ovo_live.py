"""OVO-Bench in real time: the film plays at its own pace, and questions see what the server has got to."""

import json
from pathlib import Path
from typing import Any

import pytest

from evaluation.oracle.server import OracleServer
from evaluation.ovo.annotations import load_annotations
from evaluation.ovo.asking import Settings
from evaluation.ovo.journal import read_entries
from evaluation.ovo.run import Job, run
from evaluation.ovo.speaking import spoken
from evaluation.ovo.synthetic.files import make_set

pytestmark = pytest.mark.alone

ASKED_S = 7


@pytest.mark.timeout(600)
def test_questions_come_while_it_plays(tmp_path: Path, launch: Any) -> None:
    made = make_set(tmp_path / "set", seed=14, pairs=1)
    counting = next(item for item in made.annotations.items if item["task"] == "REC")
    short = {**counting, "id": 0, "test_info": [one for one in counting["test_info"] if one["realtime"] == ASKED_S]}
    (made.folder / "short.json").write_text(json.dumps([short]))
    annotations = load_annotations(made.folder / "short.json")
    [query] = annotations.queries
    with OracleServer() as oracle:
        server = launch("--model", oracle.url, data=tmp_path / "data")
        settings = Settings("live", "exact", 16, 2.0)
        ended = run(Job(annotations, made.folder, tmp_path / "polled", settings, server.url), lambda _: None)
        job = Job(annotations, made.folder, tmp_path / "spoken", settings, server.url)
        asked, seen = spoken(job, 2.0, lambda _: None)
        heard = oracle.heard()
    assert (ended.asked, ended.nulls) == (1, {})
    [entry] = read_entries(tmp_path / "polled")[1]
    assert entry["round_trip_ms"] > 0
    assert int(entry["response"]) <= int(query.gold)
    assert asked.asked == len(asked.entries) == ASKED_S // 2
    assert all("round_trip_ms" in one for one in asked.entries.values())
    assert seen["REC"].moments == sum(end_s <= ASKED_S for end_s in short["end_times"])
    # A frame that was shown had been sent when it was asked for: none is of the future.
    assert all(state.at_us <= ASKED_S * 1_000_000 for one in heard for state in one.seen)
