"""What needles become as figures; all of them fail where recall is broken."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evaluation.checks import Check
from evaluation.needle import baselines
from evaluation.needle.figures import Found, Outcome, figures, table
from evaluation.needle.heat_map import draw, grid

SHOWN = {"last4": False, "uniform64": True, "first_clip": False, "first_clip_best": False}


def outcome(length: int, depth: float, rank: int | None = 0) -> Outcome:
    return Outcome(length, depth, 1, 1, rank, rank is not None, True, dict(SHOWN))


def found(lost: int = 0) -> Found:
    """275 needles at each of two lengths; of the longer one's so many are lost, all at one depth."""
    cells = [(length, depth / 10) for length in (64, 512) for depth in range(11) for _ in range(25)]
    needles = [outcome(length, depth) for length, depth in cells]
    for n in range(lost):
        needles[-1 - n] = outcome(512, 1.0, rank=None)
    return Found(needles, list(needles), [""] * 300)


def checks(what: Found, *, full: bool = True) -> dict[str, Check]:
    return {check.id: check for check in figures(what, "nowhere", full=full)}


def test_all_hold_where_all_is_found() -> None:
    assert all(check.ok for check in checks(found()).values())
    assert checks(found())["needle.recall5_low"].value == pytest.approx(0.986, abs=0.001)


@pytest.mark.parametrize("full", [True, False])
def test_none_holds_where_recall_is_broken(full: bool) -> None:
    broken = found()
    broken.needles = [replace(one, rank=None, right=False) for one in broken.needles]
    broken.codes = list(broken.needles)
    broken.false_recalls = ["red ring: top left"] * 300
    held = checks(broken, full=full)
    barred = [name for name, check in held.items() if check.bar is not None]
    assert len(barred) == 5
    assert not any(held[name].ok for name in barred)


def test_one_bad_cell_is_seen() -> None:
    held = checks(found(lost=6))
    assert held["needle.recall5_low"].ok
    assert held["needle.cell"].value == pytest.approx(19 / 25)
    assert not held["needle.cell"].ok
    assert "depth 1.0: 19 of 25" in held["needle.cell"].note


def test_it_is_the_worst_length_that_counts() -> None:
    held = checks(found(lost=15))
    assert not held["needle.recall5_low"].ok
    assert "512: 260 of 275" in held["needle.recall5_low"].note


def test_what_is_recalled_but_not_first_counts_for_five_alone() -> None:
    late = found()
    late.needles = [replace(one, rank=4) for one in late.needles]
    held = checks(late)
    assert held["needle.recall5_low"].ok
    assert held["needle.recall1"].value == 0
    late.needles = [replace(one, rank=5) for one in late.needles]
    assert not checks(late)["needle.recall5_low"].ok


@pytest.mark.parametrize("worse", ["needles", "codes"])
def test_the_gap_is_the_larger_one_of_places_and_codes(worse: str) -> None:
    lacking = found()
    setattr(lacking, worse, [replace(one, right=n % 10 != 0) for n, one in enumerate(lacking.needles)])
    held = checks(lacking)["needle.answer_gap"]
    assert held.value == pytest.approx(10)
    assert not held.ok
    assert "495 of 550" in held.note


def test_what_is_right_in_view_no_more_often_is_no_gap() -> None:
    blind = found()
    blind.codes = [replace(one, right=False, in_view=False) for one in blind.codes]
    assert checks(blind)["needle.answer_gap"].value == 0
    assert checks(blind)["needle.code_right"].value == 0


def test_what_was_said_of_things_that_were_nowhere_is_told() -> None:
    false = found()
    false.false_recalls[7] = "red ring: top left"
    held = checks(false)["needle.false_recall"]
    assert held.value == pytest.approx(1 / 300)
    assert held.note == "1 of 300 things that were nowhere; red ring: top left"


def test_nothing_asked_is_no_success() -> None:
    assert not any(check.ok for check in checks(Found()).values())


def test_table_and_picture_show_each_cell(tmp_path: Path) -> None:
    needles = found(lost=5).needles
    assert "| 512 | 25/25 " in table(needles)
    assert table(needles).rstrip().endswith("20/25 |")
    lengths, depths, shares = grid(needles)
    assert (lengths, len(depths)) == ([64, 512], 11)
    assert shares[-1] == [1.0, 0.8]
    assert draw(needles, tmp_path / "map.png")
    assert (tmp_path / "map.png").stat().st_size > 1000


# ---------------------------------------------------------------- baselines


def test_clips_end_at_a_change_or_when_they_are_long() -> None:
    still = np.tile(np.eye(4, dtype=np.float32)[0], (20, 1))
    changed = np.concatenate([still[:4], np.tile(np.eye(4, dtype=np.float32)[1], (5, 1))])
    assert [len(one) for one in baselines.clips(still)] == [16, 4]
    assert [len(one) for one in baselines.clips(changed)] == [4, 5]


def test_the_first_clip_over_the_threshold_wins_not_the_best() -> None:
    likeness = np.array([0.1, 0.4, 0.9], dtype=np.float32)
    assert baselines.first_over(likeness) == 1
    assert baselines.first_over(likeness, 0.5) == 2
    assert baselines.first_over(likeness, 0.95) is None


def test_uniform_frames_reach_both_ends() -> None:
    chosen = baselines.uniform_frames(1000)
    assert (chosen[0], chosen[-1], len(chosen)) == (0, 999, 64)
    assert baselines.uniform_frames(10) == list(range(10))
    assert list(baselines.last_frames(10)) == [6, 7, 8, 9]
