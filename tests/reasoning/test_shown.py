"""Of a question about one instant the frame that is nearest to it is shown, and the newest."""

from typing import Any

import msgspec
import pytest

from reasoning.shown import at_instant

S = 1_000_000


def seconds(shown: tuple[Any, Any]) -> tuple[list[float], list[float]]:
    evidence, window = shown
    return [one.media_us / S for one in evidence], [one.media_us / S for one in window]


@pytest.mark.parametrize(
    ("at_s", "kept", "seen"),
    [
        (20, [20], [100]),
        (24, [20], [100]),
        (28, [30], [100]),
        (98.5, [], [98, 100]),
        (99.8, [], [100]),
    ],
)
def test_the_nearest_and_the_newest(tools: Any, at_s: float, kept: list[float], seen: list[float]) -> None:
    # Each spans five seconds before and behind it.
    evidence = [tools.evidence(20), tools.evidence(30)]
    window = [tools.frame(second) for second in (97, 98, 100)]
    assert seconds(at_instant(evidence, window, round(at_s * S))) == (kept, seen)


def test_the_event_that_spans_it_comes_before_a_nearer_frame(tools: Any) -> None:
    long = msgspec.structs.replace(tools.evidence(20), end_us=29 * S)
    later = msgspec.structs.replace(tools.evidence(30), start_us=29 * S + 1)
    assert seconds(at_instant([long, later], [tools.frame(100)], 28 * S)) == ([20], [100])


def test_evidence_that_is_as_near_as_the_window_proves_the_answer(tools: Any) -> None:
    assert seconds(at_instant([tools.evidence(97)], [tools.frame(98), tools.frame(100)], 98 * S)) == ([97], [100])


def test_without_one_or_the_other(tools: Any) -> None:
    assert at_instant([], [], 5) == ([], [])
    assert seconds(at_instant([tools.evidence(20)], [], 5)) == ([20], [])
    assert seconds(at_instant([], [tools.frame(98)], 5)) == ([], [98])
