"""How answers with and without memory become figures, and which questions are put."""

from dataclasses import replace

import pytest

from clients.demo_checks import Moment
from evaluation.checks import Check
from evaluation.memory_use import Again, Film, Seen, Told, choose, figures, is_not_known, proves, when_shown
from training.world import SECOND, World, WorldQuestion

NOW = WorldQuestion("colour", "What colour is the star now?", "red", "now", 0, 1, ("red", "blue"))
PAST = replace(NOW, text="What colour was the star?", about="past")


def seen(now: float, past: float, proved: float = 1.0, forgotten: float = 1.0) -> Seen:
    """1000 questions of each sort, of which these shares come out well."""
    shares = [n / 1000 for n in range(1000)]
    told = [Told(NOW, "red" if share < now else "blue", proved=False) for share in shares]
    told += [Told(PAST, "red" if share < past else "blue", share < proved) for share in shares]
    return Seen(told, [Again(PAST, "I cannot tell." if share < forgotten else "red", shown=False) for share in shares])


def checks(whole: Seen, bare: Seen, *, full: bool = True) -> dict[str, Check]:
    return {check.id: check for check in figures(whole, bare, full=full)}


def test_all_hold_where_memory_is_good() -> None:
    held = checks(seen(0.95, 0.9), seen(0.955, 0.3))
    assert all(check.ok for check in held.values())
    assert held["gate.now_loss"].value == pytest.approx(0.5)
    assert held["gate.past_gain"].value == pytest.approx(60)


@pytest.mark.parametrize("full", [True, False])
def test_none_holds_where_memory_is_bad(full: bool) -> None:
    held = checks(seen(0.5, 0.4, proved=0.2, forgotten=0.5), seen(0.95, 0.3), full=full)
    assert not any(check.ok for check in held.values())


def test_a_picture_proves_what_it_shows_and_an_event_the_time_that_is_named() -> None:
    asked = replace(PAST, truth_start_us=8, truth_end_us=10)
    moment = Moment(0, 11, 7, 1.0, b"")
    assert not proves(moment, asked)
    assert proves(replace(moment, frame_us=9), asked)
    assert proves(moment, replace(asked, timed=True))
    assert not proves(replace(moment, end_us=7), replace(asked, timed=True))


def test_only_right_answers_need_proof() -> None:
    held = checks(seen(0.95, 0.5, proved=0.5), seen(0.95, 0.0))
    assert held["memory.evidence"].value == 1.0


def test_forgotten_is_not_said_and_not_shown() -> None:
    assert Again(PAST, "there is none", shown=False).gone
    assert Again(PAST, "That time is not remembered: red", shown=False, covered=False).gone
    assert not Again(PAST, "there is none", shown=True).gone
    assert not Again(PAST, "red", shown=False).gone


def test_nothing_asked_is_no_success() -> None:
    assert not any(check.ok for check in checks(Seen(), Seen()).values())


def test_not_known_is_told_from_an_answer() -> None:
    assert is_not_known(PAST, "I cannot tell.")
    assert is_not_known(PAST, "there is none")
    assert not is_not_known(PAST, "red")


@pytest.mark.parametrize("seed", range(3))
def test_the_past_is_out_of_view_and_is_shown_at_some_time(seed: int) -> None:
    script = World(seed).script()
    asked = choose(Film(script, script.duration_us - SECOND // 10, []))
    assert {one.about for one in asked} == {"now", "past"}
    for one in asked:
        if one.about == "past":
            assert one.truth_end_us < script.duration_us - 5 * SECOND
        if one.about == "past" and one.kind in {"colour", "place", "exist", "sign"} and not one.timed:
            spans = when_shown(script, one)
            assert any(since <= one.truth_start_us and one.truth_end_us <= until for since, until in spans)
