"""The twelve tasks of OVO-Bench: their names, groups, and how many queries of each the official file has."""

from typing import Final, Literal

Group = Literal["backward", "realtime", "forward"]

GROUPS: Final[dict[Group, tuple[str, ...]]] = {
    "backward": ("EPM", "ASI", "HLD"),
    "realtime": ("OCR", "ACR", "ATR", "STU", "FPD", "OJR"),
    "forward": ("REC", "SSR", "CRR"),
}
TASKS: Final = tuple(task for tasks in GROUPS.values() for task in tasks)
GROUP_OF: Final = {task: group for group, tasks in GROUPS.items() for task in tasks}
FORWARD: Final = frozenset(GROUPS["forward"])
LETTERS: Final = "ABCDE"
OFFICIAL: Final = {
    "EPM": 297, "ASI": 148, "HLD": 186,
    "OCR": 149, "ACR": 109, "ATR": 116, "STU": 178, "FPD": 101, "OJR": 184,
    "REC": 698, "SSR": 629, "CRR": 240,
}  # fmt: skip
"""Queries, not items: a forward item is asked at several times."""
