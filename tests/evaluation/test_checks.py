"""Bars: which hold, and what goes into the last line."""

import pytest

from evaluation.checks import Check, share_check


@pytest.mark.parametrize(
    ("value", "bar", "ok"),
    [(1.3, "<= 1.3", True), (1.31, "<= 1.3", False), (0.95, ">= 0.95", True), (0.9, ">= 0.95", False), (7, None, True)],
)
def test_a_bar_is_held_against_the_value(value: float, bar: str | None, ok: bool) -> None:
    assert Check("a.b", value, "ratio", bar).ok is ok


def test_the_end_of_the_interval_decides_where_there_is_one() -> None:
    assert Check("a.b", 0.94, "share", ">= 0.95", reached=0.97).ok
    assert not Check("a.b", 0.94, "share", ">= 0.95", reached=0.945).ok


@pytest.mark.parametrize("bar", ["<= 0", None])
def test_what_could_not_run_is_a_failure(bar: str | None) -> None:
    check = Check("a.b", None, "frames", bar, note="no camera")
    assert not check.ok
    assert check.as_json() == {"id": "a.b", "value": None, "unit": "frames", "bar": bar, "ok": False}


def test_a_bar_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="about 3"):
        _ = Check("a.b", 1.0, "s", "about 3").ok


def test_a_share_is_held_by_its_interval_in_the_quick_profile_alone() -> None:
    quick, full = (share_check("a", 55, 60, ">= 0.95", full=kind, note="n") for kind in (False, True))
    assert (quick.value, quick.ok) == (55 / 60, True)
    assert (full.value, full.ok) == (55 / 60, False)
    nothing = share_check("a", 0, 0, ">= 0.95", full=False, note="n")
    assert (nothing.value, nothing.ok) == (None, False)
