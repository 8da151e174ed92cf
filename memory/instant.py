"""Does a question ask how things were at one instant? Then one frame answers it, and any other may only mislead."""

import re
from typing import Final

from memory.timewords import TimeRange

_SHARP_US: Final = 12_000_000
"""A wider range is a while: "12 s ago" and "at 10:15:20" are meant to the second, "an hour ago" is not."""
_GOES_ON: Final = re.compile(
    r"\b(?:how many times|how often|which way|direction|happen\w*|go(?:es|ing)?|went|gone|com(?:e|es|ing)|came"
    r"|do(?:ing|ne)?|mov\w+|enter\w*|le(?:ft|ave\w*)|arriv\w*|appear\w*|turn\w*|chang\w*|becam\w*|becom\w*|walk\w*"
    r"|r[au]n(?:ning)?|driv\w+|drove|said|talk\w*|sp[eo]ak\w*|spoke|hear\w*)\b",
    re.IGNORECASE,
)
"""What takes more than one frame to see, or is heard."""
_COMPARES: Final = re.compile(
    r"\b(?:now|still|yet|since|before|after|then|than|same|differen\w+|compar\w+|between|until|already|again|ever)\b",
    re.IGNORECASE,
)


def instant_of(time: TimeRange) -> int | None:
    """In media time, None where the question asks for more than a state at one instant of the past."""
    sharp = (
        time.target_us is not None
        and time.near_us is None
        and time.order is None
        and time.since_us is not None
        and time.until_us is not None
        and time.until_us - time.since_us <= _SHARP_US
    )
    return time.target_us if sharp and not (_GOES_ON.search(time.rest) or _COMPARES.search(time.rest)) else None
