"""Which of very many byte strings stand anywhere in a file, in one pass however many are sought."""

from collections.abc import Collection
from typing import Final

import numpy as np
from numpy.typing import NDArray

KEY: Final = 8
"""A string is looked for by its last bytes, so many."""
_HALVES: Final = KEY // 2


def standing(content: bytes, sought: Collection[bytes]) -> set[bytes]:
    """Those of `sought` that are in it. Each has KEY bytes or more; ValueError for a shorter one."""
    if any(len(one) < KEY for one in sought):
        raise ValueError(f"only strings of {KEY} bytes or more can be looked for")
    by_key: dict[int, list[bytes]] = {}
    for one in sought:
        by_key.setdefault(int.from_bytes(one[-KEY:], "little"), []).append(one)
    if not by_key or len(content) < KEY:
        return set()
    keys = np.fromiter(by_key, dtype="<u8", count=len(by_key))
    at = np.ndarray((len(content) - KEY + 1,), "<u8", content, 0, (1,))
    places = _maybe(content, keys)
    places = places[np.isin(at[places], keys)]
    found: set[bytes] = set()
    for place in places.tolist():
        end = place + KEY
        found.update(one for one in by_key[int(at[place])] if content.endswith(one, 0, end))
    return found


def _maybe(content: bytes, keys: NDArray[np.uint64]) -> NDArray[np.intp]:
    """Where each two bytes of a key are two such bytes of some key: nearly everywhere else a table tells at once."""
    count = len(content) - KEY + 1
    likely = np.ones(count, dtype=np.bool_)
    for n in range(_HALVES):
        known = np.zeros(1 << 16, dtype=np.bool_)
        known[(keys >> np.uint64(16 * n)) & np.uint64(0xFFFF)] = True
        likely &= known[np.ndarray((count,), "<u2", content, 2 * n, (1,))]
    return np.flatnonzero(likely)
