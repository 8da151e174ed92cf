"""The official prompts and scores, where OMNILIVE_OVO names a folder with the official file and results."""

import os
from pathlib import Path

import pytest

from evaluation.ovo import golden

OFFICIAL = os.environ.get(golden.FOLDER, "")


@pytest.mark.skipif(not OFFICIAL, reason="OMNILIVE_OVO names no folder with the official file and results")
def test_prompts_and_scores_are_the_official_ones() -> None:
    assert list(golden.golden_failures(Path(OFFICIAL))) == []


def test_without_the_folder_the_figure_fails_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(golden.FOLDER, raising=False)
    [check] = golden.run(False, lambda _: None)
    assert not check.ok
    assert golden.FOLDER in check.note
