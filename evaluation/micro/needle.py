"""V-NIAH and V-NIAH-D: is one frame of up to a day found again, and answered from? On films of the procedural world.

Needles go the whole way with the frames around them: drawn, H.264, decoded, sampled, encoded, committed, recalled,
answered. Hay goes it once and is kept. Notes of the same kind stand near as distractors.
"""

from pathlib import Path
from typing import Final

from evaluation.checks import Check
from evaluation.micro.needle_search import digest_of_all
from evaluation.micro.needle_watch import cache_folder
from evaluation.micro.needle_workers import search_all
from evaluation.needle.figures import Found, figures, table
from evaluation.needle.heat_map import draw
from evaluation.needle.plan import LENGTHS, haystacks
from evaluation.needle.searched import Begun, together
from evaluation.registry import Progress

SEED: Final = 20_261_127
_QUICK: Final = (64, 512, 2048)
_NEEDLES: Final = (4, 25)
"""Of each length and depth, in the quick and the full profile."""


def run(full: bool, progress: Progress) -> list[Check]:
    """132 needles in three lengths, or 3300 in twelve."""
    lengths = LENGTHS if full else _QUICK
    plan = [one for length in lengths for one in haystacks(SEED, length, _NEEDLES[full])]
    begun = Begun(cache_folder() / "begun" / digest_of_all())
    found = together(search_all(plan, begun, progress))
    checks = figures(found, keep(found, cache_folder()), full=full)
    begun.end()
    return checks


def keep(found: Found, folder: Path) -> str:
    """Write the table and draw the heat map; where they are."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "needle.md").write_text(table(found.needles), encoding="utf-8")
    picture = folder / "needle.png"
    return f"heat map: {picture}" if draw(found.needles, picture) else "no heat map: `pip install matplotlib`"
