"""A long run that is broken off: what is done is known again, whole, and nothing is left of a run that ended."""

from pathlib import Path

import pytest

from evaluation.needle.figures import Outcome
from evaluation.needle.plan import Haystack, haystacks
from evaluation.needle.searched import Begun, Searched, together


def a_haystack() -> Haystack:
    return next(haystacks(7, 512, 1))


def searched(over: list[list[bool]], said: str = "") -> Searched:
    needles = [Outcome(512, 0.1, 1, 3, 0, True, True, {"last4": False}) for _ in over]
    return Searched(needles, list(needles), [said], over)


def test_what_is_done_is_known_again(tmp_path: Path) -> None:
    haystack, done = a_haystack(), searched([[True, False], [False, True]], "red ring: top left")
    Begun(tmp_path / "begun").keep(haystack, done)
    assert Begun(tmp_path / "begun").taken_over(haystack) == done
    assert Begun(tmp_path / "other").taken_over(haystack) is None
    assert Begun(tmp_path / "begun").taken_over(next(haystacks(8, 512, 1))) is None


def test_who_is_broken_off_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Path, __: Path) -> None:
        raise OSError("no room")

    monkeypatch.setattr(Path, "replace", broken)
    begun = Begun(tmp_path)
    with pytest.raises(OSError, match="no room"):
        begun.keep(a_haystack(), searched([]))
    assert begun.taken_over(a_haystack()) is None


def test_a_run_that_ended_leaves_nothing(tmp_path: Path) -> None:
    begun = Begun(tmp_path / "begun")
    begun.keep(a_haystack(), searched([]))
    begun.end()
    assert not (tmp_path / "begun").exists()


def test_one_threshold_serves_the_needles_of_all_haystacks() -> None:
    found = together([searched([[True, False, False]]), searched([[False, True, False], [False, True, False]])])
    assert [one.shown["first_clip_best"] for one in found.needles] == [False, True, True]
    assert (len(found.codes), found.false_recalls) == (3, ["", ""])
