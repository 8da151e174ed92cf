"""The procedural world's scripts: the same for a seed, without contradictions, as rich as promised."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from training.world import (
    COLOURS,
    PRESETS,
    SECOND,
    SHAPES,
    UNSEEN_PAIRS,
    Appeared,
    Beeped,
    Cut,
    Entered,
    Left,
    Moved,
    Script,
    SignShown,
    Spoke,
    World,
    soundtrack,
)
from training.world_sound import RATE

SEEDS = range(20)


def test_a_seed_is_a_script() -> None:
    assert World(4).script() == World(4).script()
    assert World(4).script() != World(5).script()
    assert World(4, PRESETS["many"]).script() != World(4).script()


def test_an_hour_is_written_in_the_same_way() -> None:
    script = World(1).script(3600)
    assert script.duration_us == 3600 * SECOND
    assert len(script.scenes) > 200
    assert script.scene(1800 * SECOND).start_us <= 1800 * SECOND < script.scene(1800 * SECOND).end_us


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("seed", range(5))
def test_events_are_in_order_and_within_the_script(seed: int, preset: str) -> None:
    script = World(seed, PRESETS[preset]).script(60)
    assert isinstance(script.events[0], Cut)
    assert script.events[0].start_us == 0
    assert all(0 <= event.start_us <= event.end_us <= script.duration_us for event in script.events)
    assert all(one.start_us <= other.start_us for one, other in pairwise(script.events))


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("seed", range(5))
def test_scenes_follow_each_other_without_gaps(seed: int, preset: str) -> None:
    script = World(seed, PRESETS[preset]).script(60)
    assert script.scenes[0].start_us == 0
    assert script.scenes[-1].end_us == script.duration_us
    for one, other in pairwise(script.scenes):
        assert one.end_us == other.start_us
        assert one.cut.room != other.cut.room


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_ever_in_the_way(seed: int) -> None:
    """Whatever rests, and the sign, has a place of its own; nothing crosses a place that is taken."""
    script = World(seed, PRESETS["many"]).script()
    for at_us in range(0, script.duration_us, SECOND // 5):
        scene = script.scene(at_us)
        middles = [visit.leg(at_us).position(at_us, 1 / 6, 1 / 6) for visit in scene.present(at_us)]
        sign = scene.sign(at_us)
        if sign is not None:
            middles.append(((sign.place % 3 + 0.5) / 3, (sign.place // 3 + 0.5) / 3))
        for n, (x, y) in enumerate(middles):
            assert all(max(abs(x - a), abs(y - b)) > 0.3 for a, b in middles[n + 1 :])


@pytest.mark.parametrize("preset", ["plain", "many", "dark", "still"])
@pytest.mark.parametrize("seed", range(5))
def test_no_more_is_in_view_than_the_preset_allows_and_never_nothing(seed: int, preset: str) -> None:
    script = World(seed, PRESETS[preset]).script(60)
    for at_us in range(0, script.duration_us, SECOND // 2):
        present = script.scene(at_us).present(at_us)
        assert 1 <= len(present) <= PRESETS[preset].things
        assert len({visit.thing.name for visit in present}) == len(present)


def test_counts_reach_what_the_presets_promise() -> None:
    def most(preset: str) -> int:
        scripts = [World(seed, PRESETS[preset]).script(60) for seed in range(10)]
        return max(len(script.scene(t).present(t)) for script in scripts for t in range(0, 60 * SECOND, SECOND // 2))

    assert most("plain") == 3
    assert most("many") == 5


def test_every_look_place_and_kind_of_event_occurs() -> None:
    scripts = [World(seed).script() for seed in range(60)]
    events = [event for script in scripts for event in script.events]
    assert {type(event) for event in events} == {Appeared, Beeped, Cut, Entered, Left, Moved, SignShown, Spoke}
    things = {event.thing for event in events if isinstance(event, Appeared | Entered)}
    assert {thing.colour for thing in things} == set(COLOURS)
    assert {thing.shape for thing in things} == set(SHAPES)
    assert len({(thing.colour, thing.shape) for thing in things}) == len(COLOURS) * len(SHAPES)
    assert {event.place for event in events if isinstance(event, Entered | Moved | Appeared)} == set(range(9))
    assert {event.direction for event in events if isinstance(event, Moved)} == {"left", "right", "up", "down"}


def test_pairs_can_be_kept_out_of_training() -> None:
    def looks(pairs: str) -> set[tuple[str, str]]:
        preset = replace(PRESETS["plain"], pairs=pairs)
        scripts = [World(seed, preset).script() for seed in range(30)]
        return {(visit.thing.colour, visit.thing.shape) for script in scripts for visit in script.visits}

    assert not looks("seen") & UNSEEN_PAIRS
    assert looks("unseen") == UNSEEN_PAIRS
    assert {colour for colour, _ in looks("seen")} == set(COLOURS)


@pytest.mark.parametrize("seed", SEEDS)
def test_visits_add_up_from_their_events(seed: int) -> None:
    script = World(seed).script()
    for event in script.events:
        if isinstance(event, Entered | Moved | Left):
            (visit,) = [visit for visit in script.visits if visit.thing == event.thing]
            middle_us = (event.start_us + event.end_us) // 2
            assert visit.leg(middle_us).direction == event.direction
        if isinstance(event, Entered | Moved):
            assert visit.leg(event.end_us).origin.place == event.place
    for visit in script.visits:
        assert visit.start_us <= visit.whole_us <= visit.leaving_us <= visit.end_us
        assert all(one.end_us == other.start_us for one, other in pairwise(visit.legs))


def test_the_end_is_calm() -> None:
    for seed in SEEDS:
        script = World(seed).script()
        quiet_us = script.duration_us - 2 * SECOND
        assert all(leg.direction is None for visit in script.visits for leg in visit.legs if leg.end_us > quiet_us)


# ---------------------------------------------------------------- sound


def _level(sound: np.ndarray, start_us: int, end_us: int) -> float:
    inside = sound[start_us * RATE // SECOND : end_us * RATE // SECOND]
    return float(np.abs(inside).max(initial=0.0))


def test_sounds_are_heard_when_the_script_says_so_and_at_no_other_time() -> None:
    script = World(2).script()
    sound = soundtrack(script)
    assert len(sound) == 30 * RATE
    sounds = [event for event in script.events if isinstance(event, Beeped | Spoke)]
    assert len(sounds) >= 3
    for event in sounds:
        assert _level(sound, event.start_us, event.end_us) > 0.1
    edges = [0, *(edge for event in sounds for edge in (event.start_us, event.end_us)), script.duration_us]
    for start_us, end_us in zip(edges[::2], edges[1::2], strict=True):
        assert _level(sound, start_us + 1000, end_us - 1000) < 0.01


def test_a_beep_has_its_pitch() -> None:
    script = World(2).script()
    sound = soundtrack(script)
    for event in script.events:
        if isinstance(event, Beeped):
            inside = sound[event.start_us * RATE // SECOND : event.end_us * RATE // SECOND]
            strongest = np.argmax(np.abs(np.fft.rfft(inside))) * RATE / len(inside)
            assert strongest == pytest.approx(event.hertz, abs=5)


def test_sound_is_the_same_for_a_seed() -> None:
    np.testing.assert_array_equal(soundtrack(World(3).script()), soundtrack(World(3).script()))


def test_a_world_without_sounds_is_silent() -> None:
    script: Script = World(3, replace(PRESETS["plain"], sounds=False)).script()
    assert np.abs(soundtrack(script)).max() < 0.001
