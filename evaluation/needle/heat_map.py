"""Recall by length and depth as a picture."""

from collections.abc import Sequence
from pathlib import Path

from evaluation.needle.figures import Outcome


def draw(needles: Sequence[Outcome], to: Path) -> bool:
    """A cell for each length and depth, with its share of recall among the best 5. False: there is no matplotlib."""
    try:
        import matplotlib
    except ImportError:
        return False
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    lengths, depths, shares = grid(needles)
    figure, axis = plt.subplots(figsize=(1.6 + 0.62 * len(lengths), 4.6))
    axis.imshow(shares, cmap="RdYlGn", vmin=0, vmax=1, aspect="auto", alpha=0.75)
    for row, cells in enumerate(shares):
        for column, share in enumerate(cells):
            axis.text(column, row, f"{share:.2f}", ha="center", va="center", fontsize=7)
    axis.set_xticks(range(len(lengths)), [str(length) for length in lengths], fontsize=7, rotation=45)
    axis.set_yticks(range(len(depths)), [f"{depth:.1f}" for depth in depths], fontsize=7)
    axis.set_xlabel("frames, one a second", fontsize=8)
    axis.set_ylabel("depth (1: newest)", fontsize=8)
    axis.set_title("needles recalled among the best 5", fontsize=9, loc="left")
    figure.tight_layout()
    to.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(to, dpi=100)
    plt.close(figure)
    return True


def grid(needles: Sequence[Outcome]) -> tuple[list[int], list[float], list[list[float]]]:
    """Lengths, depths, and the share that was found for each depth and length; of no needle, not a number."""
    lengths = sorted({one.length for one in needles})
    depths = sorted({one.depth for one in needles})
    cells = {(length, depth): [0, 0] for length in lengths for depth in depths}
    for one in needles:
        cells[one.length, one.depth][0] += one.found
        cells[one.length, one.depth][1] += 1
    shares = [[_share(*cells[length, depth]) for length in lengths] for depth in depths]
    return lengths, depths, shares


def _share(found: int, asked: int) -> float:
    return found / asked if asked else float("nan")
