"""What can be told from some frames of a film, and what cannot."""

from dataclasses import replace

from training.world import PRESETS, SECOND, Entered, Sheet, Shown, Witness, World, WorldQuestion, questions

SCRIPT = World(11, replace(PRESETS["plain"], sounds=False)).script()
TIMES = [n * SECOND // 2 for n in range(60)]
WITNESS = Witness(SCRIPT, TIMES)
END_US = TIMES[-1] + 100_000
ALL = Sheet(tuple(Shown(n, TIMES[n]) for n in range(52)), tuple(Shown(n, TIMES[n]) for n in range(52, 60)), END_US)
NOTHING = Sheet((), (), END_US)


def test_who_has_seen_all_can_tell_nearly_all() -> None:
    asked = questions(SCRIPT, END_US, most=1000)
    assert len(asked) > 40
    told = [WITNESS.proves(question, ALL) for question in asked]
    assert sum(told) > 0.95 * len(told)


def test_who_has_seen_nothing_can_only_deny() -> None:
    asked = questions(SCRIPT, END_US, most=1000)
    assert {question.about for question in asked if WITNESS.proves(question, NOTHING)} == {"never"}


def test_a_moment_of_the_past_is_told_by_a_frame_of_it() -> None:
    for question in questions(SCRIPT, END_US, most=1000):
        if question.about != "past" or question.kind in {"order", "when"}:
            continue
        inside = [n for n, at in enumerate(TIMES) if question.truth_start_us <= at < question.truth_end_us]
        # At the edge of the picture a thing comes and goes: in the middle of its time it is wholly there.
        inside = inside[len(inside) // 2 :]
        before = [n for n, at in enumerate(TIMES) if at < question.truth_start_us]
        sheet = Sheet((Shown(inside[0], TIMES[inside[0]]),), (), END_US)
        assert WITNESS.proves(question, sheet)
        if before:
            assert not WITNESS.proves(question, Sheet((Shown(before[-1], TIMES[before[-1]]),), (), END_US))


def test_when_is_how_old_the_first_frame_of_it_is() -> None:
    asked = [question for question in questions(SCRIPT, END_US, most=1000) if question.kind == "when"]
    assert asked
    for question in asked:
        told_s = WITNESS.age_us(question, ALL) / SECOND
        # A thing that enters is whole only some time after its first edge is seen.
        assert -0.6 <= float(question.answer.split()[0]) - told_s <= 2.6


def test_one_frame_tells_no_motion_unless_it_has_stood() -> None:
    for newest in range(6, 60):
        at_us = TIMES[newest] + 200_000
        moving = [one for one in questions(SCRIPT, at_us, most=1000) if one.kind == "motion"]
        one = Sheet((), (Shown(newest, TIMES[newest]),), at_us)
        two = Sheet((), (Shown(newest - 1, TIMES[newest - 1]), Shown(newest, TIMES[newest])), at_us)
        assert not any(WITNESS.proves(question, one) for question in moving)
        assert all(WITNESS.proves(question, two) for question in moving)


def test_the_edge_of_a_thing_does_not_tell_its_look() -> None:
    entered = next(event for event in SCRIPT.events if isinstance(event, Entered))
    visit = next(visit for visit in SCRIPT.visits if visit.thing == entered.thing)
    half_us = (entered.start_us + visit.whole_us) // 2
    witness = Witness(SCRIPT, [half_us, visit.whole_us + 1])
    asked = WorldQuestion("exist", f"Was there ever a {visit.thing.name}?", "yes", "past", visit.start_us, visit.end_us)
    assert not witness.proves(asked, Sheet((Shown(0, half_us),), (), END_US))
    assert witness.proves(asked, Sheet((Shown(1, visit.whole_us + 1),), (), END_US))
