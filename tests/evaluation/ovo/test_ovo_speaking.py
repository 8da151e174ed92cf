"""`eval ovo speak` as a command: what it asks and prints, without a server."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from clients.cli.commands import run as command
from evaluation.ovo import run as running
from evaluation.ovo.annotations import Query
from evaluation.ovo.asking import SKIPPED, Settings, Tell, Wanted
from evaluation.ovo.speaking import judged
from evaluation.ovo.spoken import Spoken
from evaluation.ovo.video import VideoInvalid

CLUES: dict[str, Any] = {
    "id": 0, "task": "CRR", "video": "a.mp4", "question": "Where?", "answer": "top", "ask_time": 0, "clue_time": 3,
    "test_info": [{"realtime": 1, "type": 0}, {"realtime": 6, "type": 1}],
}  # fmt: skip
CHOICE: dict[str, Any] = {
    "id": 1, "task": "EPM", "video": "a.mp4", "question": "Where?", "options": ["here", "there"], "gt": 0,
    "realtime": 3,
}  # fmt: skip


class FakeVideo:
    def __init__(self, path: Path, fps: float) -> None:
        if path.name.startswith("missing"):
            raise VideoInvalid("video_missing")


class Watcher:
    """Sees the clue a second after it came."""

    asked: ClassVar[list[float]] = []

    def __init__(self, url: str | None, settings: Settings, prefix: str) -> None:
        assert (settings.horizon, settings.mode) == ("exact", "onepass")

    def show(self, name: str, video: Any, queries: Sequence[Query], tell: Tell, wanted: Wanted) -> None:
        for query in sorted(queries, key=lambda query: (query.at_s, query.key)):
            if not wanted(query):
                tell(query, SKIPPED)
                continue
            self.asked.append(query.at_s)
            said = "at the top" if query.prompt == "Where?" else "Yes" if query.at_s >= 4 else "No"
            tell(query, {"response": said})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(running, "Shower", Watcher)
    monkeypatch.setattr(running, "Video", FakeVideo)
    monkeypatch.setattr(Watcher, "asked", [])
    items = [CLUES, CHOICE, {**CLUES, "id": 2, "video": "missing.mp4"}]
    (tmp_path / "a.json").write_text(json.dumps(items))
    return tmp_path


def arguments(folder: Path, *more: str) -> list[str]:
    places = ["--annotations", str(folder / "a.json"), "--videos", str(folder), "--out", str(folder / "out")]
    return ["eval", "ovo", "speak", *places, "--url", "http://nowhere", "--name", "watcher", *more]


def test_a_question_is_put_until_it_is_answered_and_never_again(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(arguments(folder)) == 0
    out, err = capsys.readouterr()
    told = json.loads(out.splitlines()[-1])
    assert Watcher.asked == [1, 2, 3, 4, 4]
    assert (told["bench"], [check["id"] for check in told["checks"]]) == ("ovo", ["ovo.self_crr"])
    clue = told["forward"]["CRR"]
    assert (clue["moments"], clue["said"], clue["content"], clue["delay_s"]) == (2, 1, 100.0, 1.0)
    assert clue["decayed"] == pytest.approx(100 * 2**-0.5 / 2)
    assert told["baselines"]["never"]["CRR"]["decayed"] == 0.0
    assert "null, video_missing: 1: missing.mp4" in err
    assert "watcher" in out
    assert command(arguments(folder, "--json")) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1
    assert Watcher.asked == [1, 2, 3, 4, 4]


def test_another_tick_is_another_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(arguments(folder)) == 0
    with pytest.raises(SystemExit) as ended:
        command(arguments(folder, "--every", "2"))
    assert ended.value.code == 2
    assert "queries_sha256" in capsys.readouterr().err


def test_the_worst_task_is_held_to_the_bar() -> None:
    good = Spoken(3, 3, 70.0, 100.0, 1.0, 0.0, 0.0, 90.0)
    seen = {"REC": good, "SSR": good, "CRR": Spoken(3, 1, 20.0, 50.0, 1.0, 0.0, 0.0, 90.0)}
    checks = {check.id: check for check in judged(seen, {})}
    assert (checks["ovo.self_f1"].value, checks["ovo.self_f1"].ok) == (50.0, False)
    assert "worst task CRR" in checks["ovo.self_f1"].note
    assert checks["ovo.self_rec"].value == 70.0
    assert all(check.ok for check in judged({**seen, "CRR": good}, {}))
