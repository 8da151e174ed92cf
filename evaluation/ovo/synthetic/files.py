"""A synthetic OVO-Bench on disk: films, the annotation file in the official form, the truth beside it, a manifest.

FOLDER/annotations.json   as the official file: what `eval ovo run --annotations` takes
FOLDER/films/*.mp4        what `--videos FOLDER` finds
FOLDER/truth.json         by item: what proves its answer, and which answers are stale or of the future
FOLDER/proof.json         what the films' pixels alone give, once that was looked at
FOLDER/manifest.json      seed and sha256 of every file: whoever has the seed can make the same again
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from evaluation.clips import Picture, write_video
from evaluation.ovo.annotations import Annotations, load_annotations, read_json
from evaluation.ovo.synthetic.items import Item, Truth, items_of
from evaluation.ovo.synthetic.plan import Plan, make_pair
from evaluation.ovo.synthetic.script import script_of
from training.world import frame, frame_times, strip_state, with_strip

TRUTH: Final = "truth.json"
FPS: Final = 4
SIZE: Final = (320, 240)
"""Of the scene; the strip comes below."""
_QUALITY: Final = 23


@dataclass(frozen=True)
class SyntheticSet:
    """A set on disk. truths: by item id. films: number of the film by its name in the annotation file."""

    folder: Path
    annotations: Annotations
    truths: Mapping[int, Truth]
    films: Mapping[str, int]


def make_set(
    folder: Path,
    seed: int,
    pairs: int,
    fillers: Callable[[int], int] = lambda pair: 0,
    progress: Callable[[str], None] = lambda text: None,
) -> SyntheticSet:
    """Write `pairs` pairs of films with all that belongs to them. fillers: scenes that pair `n` is longer by."""
    (folder / "films").mkdir(parents=True)
    told: list[tuple[str, Item]] = []
    for number in range(pairs):
        pair = make_pair(seed, number, fillers(number))
        progress(f"films of pair {number + 1} of {pairs}")
        for plan, items in zip(pair.films, items_of(pair), strict=True):
            write_film(plan, folder / film_name(plan.number))
            told += [(film_name(plan.number), item) for item in items]
    _write(folder / "annotations.json", [_item(n, film, item) for n, (film, item) in enumerate(told)])
    truths = {str(n): asdict(item.truth) for n, (_, item) in enumerate(told)}
    films = {film_name(number): number for number in range(2 * pairs)}
    _write(folder / TRUTH, {"seed": seed, "films": films, "items": truths})
    _write(folder / "manifest.json", {"seed": seed, "pairs": pairs, "sha256": _sums(folder)})
    return load_set(folder)


def load_set(folder: Path) -> SyntheticSet:
    """A set that was made before. Raises FileRefused."""
    told = read_json(folder / TRUTH)
    truths = {int(n): _truth(fields) for n, fields in told["items"].items()}
    return SyntheticSet(folder, load_annotations(folder / "annotations.json"), truths, told["films"])


def origin(made: SyntheticSet) -> str:
    """What tells this set from any other: its seed, and the beginning of its manifest's sha256."""
    manifest = (made.folder / "manifest.json").read_bytes()
    return f"seed {json.loads(manifest)['seed']}, manifest sha256 {hashlib.sha256(manifest).hexdigest()[:16]}"


def film_name(number: int) -> str:
    """As in the annotation file."""
    return f"films/{number:04d}.mp4"


def write_film(plan: Plan, path: Path) -> Path:
    """Render and encode a film, with its strip."""
    return write_video(path, _pictures(plan), FPS, _QUALITY)


def _pictures(plan: Plan) -> Iterator[Picture]:
    script = script_of(plan)
    for at_us in frame_times(script.duration_us, FPS):
        yield with_strip(frame(script, at_us, *SIZE), strip_state(script, at_us))


def _item(number: int, film: str, item: Item) -> dict[str, Any]:
    return {"id": number, "task": item.task, "video": film, **item.fields}


def _truth(fields: dict[str, Any]) -> Truth:
    proof = fields["proof"]
    return Truth(fields["asked"], tuple(proof) if proof is not None else None, fields["stale"], fields["future"])


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _sums(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
