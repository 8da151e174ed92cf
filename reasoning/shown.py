"""Which frames a question is shown, of those that there are for it."""

from collections.abc import Sequence
from typing import Final

from memory.messages import Evidence
from perception.window import WindowFrame

_ALIKE_US: Final = 1_000_000
"""So much nearer a frame of the window must be to take the place of one that proves the answer."""


def at_instant(
    evidence: Sequence[Evidence], window: Sequence[WindowFrame], at_us: int
) -> tuple[list[Evidence], list[WindowFrame]]:
    """For a question about one instant of one stream: the frame that is nearest to it, of the event that spans it where
    there is one; and the newest. Among many frames of which only the times differ, a model may answer from another one.
    """
    newest = list(window[-1:])
    spanning = [one for one in evidence if one.start_us <= at_us <= one.end_us]
    kept = min(spanning or evidence, key=lambda one: abs(one.media_us - at_us), default=None)
    seen = min(window, key=lambda one: abs(one.media_us - at_us), default=None)
    if kept is not None and (seen is None or abs(kept.media_us - at_us) <= abs(seen.media_us - at_us) + _ALIKE_US):
        return [kept], newest
    return [], newest if seen is None or seen is window[-1] else [seen, *newest]
