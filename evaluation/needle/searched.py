"""What searching one haystack gave, and all haystacks together; what is done is kept while a long run lasts."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from evaluation.needle.figures import Found, Outcome
from evaluation.needle.plan import Haystack


@dataclass
class Searched:
    """Of one haystack. over: for each needle and each threshold whether the first clip over it holds the needle."""

    needles: list[Outcome] = field(default_factory=list)
    codes: list[Outcome] = field(default_factory=list)
    false_recalls: list[str] = field(default_factory=list)
    over: list[list[bool]] = field(default_factory=list)


_SEARCHED: Final = msgspec.json.Decoder(Searched)


def together(searched: Sequence[Searched]) -> Found:
    """All of them, with the one threshold for first clips that serves these needles best."""
    found = Found()
    over = [hits for one in searched for hits in one.over]
    best = int(np.array(over).sum(axis=0).argmax()) if over else 0
    for one in searched:
        for outcome, hits in zip(one.needles, one.over, strict=True):
            outcome.shown["first_clip_best"] = hits[best]
        found.needles += one.needles
        found.codes += one.codes
        found.false_recalls += one.false_recalls
    return found


class Begun:
    """The haystacks that a run has searched so far, in a folder named after all that they follow from: who is broken
    off goes on there, who comes to the end leaves nothing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def taken_over(self, haystack: Haystack) -> Searched | None:
        """What is known of it; None where it is still to be searched."""
        file = self._file(haystack)
        return _SEARCHED.decode(file.read_bytes()) if file.is_file() else None

    def keep(self, haystack: Haystack, searched: Searched) -> None:
        """Whole or not at all."""
        self._folder.mkdir(parents=True, exist_ok=True)
        fresh = self._file(haystack).with_suffix(".new")
        fresh.write_bytes(msgspec.json.encode(searched))
        fresh.replace(self._file(haystack))

    def end(self) -> None:
        """The run is over: the next one measures anew."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _file(self, haystack: Haystack) -> Path:
        return self._folder / f"{haystack.length}-{haystack.seed}.json"
