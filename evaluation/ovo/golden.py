"""Does the scorer score as the official one does? On the released result files, in the folder that OMNILIVE_OVO names.

The folder is laid out as in OVO-Bench's repository: `ovo_bench_new.json`, and `results/MODEL/*.json`.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from evaluation.checks import Check
from evaluation.ovo.annotations import load_annotations
from evaluation.ovo.score import Scores
from evaluation.ovo.scored import policy_scores, score_folder
from evaluation.ovo.tasks import GROUPS
from evaluation.registry import Progress

FOLDER: Final = "OMNILIVE_OVO"
ANNOTATIONS: Final = "ovo_bench_new.json"
PROMPTS_SHA256: Final = "fce05d0ad33a93413333ce5147f97fef97e9a67c9c20bb22f4bbf814875c0b3e"
"""Of all prompts in the order of the official file, each followed by a NUL byte."""

_COLUMNS: Final = ("OCR", "ACR", "ATR", "STU", "FPD", "OJR", "EPM", "ASI", "HLD", "REC", "SSR", "CRR", *GROUPS, "total")
_TABLE: Final = {
    "Gemini": "85.91 66.97 79.31 58.43 63.37 61.96 58.59 76.35 52.69 35.53 74.24 61.67 62.54 69.32 57.15 63.00",
    "GPT": "69.80 64.22 71.55 51.12 70.30 59.78 57.91 75.68 48.66 - - 52.92 60.75 64.46 52.92 59.38",
    "QWen2VL_72B_": "65.77 60.55 69.83 51.69 69.31 54.35 53.87 60.81 58.06 38.83 64.07 45.00 57.58 61.92 49.30 56.27",
    "LLaVA_Video": "69.13 58.72 69.83 49.44 74.26 59.78 56.23 57.43 7.53 34.10 69.95 60.42 40.40 63.52 54.82 52.91",
    "LLaVA_OneVision": "66.44 57.80 73.28 53.37 71.29 61.96 54.21 55.41 21.51 25.64 67.09 58.75 "
    "43.71 64.02 50.50 52.74",
    "QWen2VL_7B_": "60.40 50.46 56.03 47.19 66.34 55.43 47.81 56.08 35.48 31.66 65.82 48.75 46.46 55.98 48.74 50.39",
    "InternVL2": "67.11 60.55 63.79 46.07 68.32 56.52 48.15 57.43 24.73 26.50 59.14 54.17 43.44 60.39 46.60 50.15",
    "LongVU": "53.69 53.21 62.93 47.75 68.32 59.78 40.74 59.46 4.84 12.18 69.48 60.83 35.01 57.61 47.50 46.71",
    "FlashVStream": "24.16 29.36 28.45 33.71 25.74 28.80 39.06 37.16 5.91 8.02 67.25 60.00 27.38 28.37 45.09 33.61",
}
_CONSTANT: Final = "22.82 29.36 27.59 23.03 33.66 29.35 40.07 26.35 38.17 20.49 67.25 60.00 34.86 27.63 49.25 37.25"
_SAME: Final = {"QWen2VL_7B": "QWen2VL_7B_", "QWen2VL_72B": "QWen2VL_72B_"}
"""Folders of the same answers, each in a list of its own."""
_AS_LISTS: Final[Mapping[str, Mapping[str, str]]] = {
    "QWen2VL_7B": {"CRR": "24.17", "REC": "-"},
    "QWen2VL_72B": {"EPM": "52.53", "HLD": "57.53", "backward": "56.95", "REC": "-"},
}


def run(full: bool, progress: Progress) -> list[Check]:
    """Score every released folder that is there."""
    named = os.environ.get(FOLDER)
    if not named:
        return [Check("ovo.golden", None, "failures", "<= 0", note=f"{FOLDER} names no folder with the official file")]
    progress("the official prompts, the released results")
    failures = list(golden_failures(Path(named)))
    note = "; ".join(failures[:4]) or f"prompts, {', '.join(sorted(_known(Path(named))))}"
    return [Check("ovo.golden", len(failures), "failures", "<= 0", note=note)]


def golden_failures(folder: Path) -> Iterator[str]:
    """What is not as it should be, a line each."""
    annotations = load_annotations(folder / ANNOTATIONS)
    prompts = b"".join(query.prompt.encode() + b"\0" for query in annotations.queries)
    if hashlib.sha256(prompts).hexdigest() != PROMPTS_SHA256:
        yield "the prompts are not the official ones"
    yield from _differences("constant", policy_scores(annotations, "constant (A, Yes, 1)"), _wanted(_CONSTANT))
    found = _known(folder)
    if not found:
        yield "there is no released result folder"
    for name, path in found.items():
        wanted = _wanted(_TABLE[_SAME.get(name, name)])
        yield from _differences(name, score_folder(path, annotations).scores, wanted)
        if name in _AS_LISTS:
            yield from _differences(name, score_folder(path, annotations, lists=True).scores, _AS_LISTS[name])


def _known(folder: Path) -> dict[str, Path]:
    names = [*_TABLE, *_SAME]
    return {name: folder / "results" / name for name in names if (folder / "results" / name).is_dir()}


def _wanted(row: str) -> dict[str, str]:
    return dict(zip(_COLUMNS, row.split(), strict=True))


def _differences(name: str, scores: Scores, wanted: Mapping[str, str]) -> Iterator[str]:
    values = {
        **{task: one.score for task, one in scores.tasks.items()},
        **scores.groups,
        "total": scores.overall["groups"],
    }
    for column, text in wanted.items():
        value = values[column]
        told = "-" if value is None else f"{value:.2f}"
        if told != text:
            yield f"{name} {column}: {told} instead of {text}"
