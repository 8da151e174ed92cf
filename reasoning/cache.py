"""Keys and values of what was read, in a form that grows without copying and that several requests can share.

Rows of a shared cache end together: shorter ones begin later, behind padding that the attention mask hides.
"""

from collections.abc import Sequence
from typing import Any, Final

from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

_ROOM: Final = 64
"""Tokens that a layer has room for beyond what it must hold; an eighth more where it is long."""


class GrowingLayer(DynamicLayer):
    """Writes new tokens behind the old ones, where transformers' own layer copies all of them each time."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._held: tuple[Tensor, Tensor] | None = None
        self._length = 0

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """See `DynamicLayer.update`. [rows, heads, tokens, width]."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        end = self._length + key_states.shape[-2]
        held = self._with_room(key_states, value_states, end)
        for kept, fresh in zip(held, (key_states, value_states), strict=True):
            kept[:, :, self._length : end] = fresh
        self.hold(held, end)
        return held[0][:, :, :end], held[1][:, :, :end]

    def hold(self, held: tuple[Tensor, Tensor], length: int) -> None:
        """Keep the first `length` tokens of these tensors; there may be room behind them."""
        self._held, self._length, self.is_initialized = held, length, True
        self.dtype, self.device = held[0].dtype, held[0].device
        self.keys, self.values = (kept[:, :, :length] for kept in held)

    def _with_room(self, keys: Tensor, values: Tensor, end: int) -> tuple[Tensor, Tensor]:
        if self._held is not None and self._held[0].shape[-2] >= end:
            return self._held
        return _roomy(keys, self.keys, end), _roomy(values, self.values, end)


def new_cache(config: Any) -> DynamicCache:
    """An empty cache for one request of a model with this text config."""
    cache = DynamicCache(config=config)
    cache.layers = [GrowingLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


def joinable(cache: DynamicCache) -> bool:
    """Whether several requests can share such a cache: all of it is keys and values, token by token."""
    return all(type(layer) in {GrowingLayer, DynamicSlidingWindowLayer} for layer in cache.layers)


Marks = list[tuple[Any, Any]]


def marks_of(cache: DynamicCache) -> Marks:
    """What `rewind` goes back to. Cheap: nothing is copied, since no layer writes over what it holds."""
    layers: list[Any] = cache.layers
    return [(layer.keys, layer.values) for layer in layers]


def rewind(cache: DynamicCache, marks: Marks, length: int) -> None:
    """Take back what was read since; `length` had been read then."""
    layers: list[Any] = cache.layers
    for layer, (keys, values) in zip(layers, marks, strict=True):
        if isinstance(layer, GrowingLayer):
            layer.hold((keys, values), length)
        else:
            layer.keys, layer.values, layer.cumulative_length = keys, values, length


def join(rows: Sequence[tuple[DynamicCache, int, int]], config: Any) -> DynamicCache:
    """A cache of several rows. rows: (cache, which of its rows, tokens of it that were read); they end together."""
    joined = new_cache(config)
    most = max(length for _, _, length in rows)
    layers: list[Any] = joined.layers
    for n, layer in enumerate(layers):
        parts: list[Any] = [(cache.layers[n], row, length) for cache, row, length in rows]
        grows = isinstance(layer, GrowingLayer)
        seen = most if grows else min(most, layer.sliding_window - 1)
        keys, values = (
            _stacked([(getattr(part, name), row, length) for part, row, length in parts], seen, roomy=grows)
            for name in ("keys", "values")
        )
        if isinstance(layer, GrowingLayer):
            layer.hold((keys, values), most)
        else:
            layer.lazy_initialization(keys, values)
            layer.keys, layer.values, layer.cumulative_length = keys, values, most
    return joined


def _stacked(rows: Sequence[tuple[Tensor, int, int]], seen: int, *, roomy: bool) -> Tensor:
    """The last `seen` tokens of rows, zeros before those that are shorter, and maybe room behind."""
    like = rows[0][0]
    made = like.new_zeros(len(rows), like.shape[1], seen + (_room(seen) if roomy else 0), like.shape[3])
    for n, (kept, row, length) in enumerate(rows):
        held = min(length, seen)
        made[n, :, seen - held : seen] = kept[row, :, kept.shape[-2] - held :]
    return made


def _room(length: int) -> int:
    return _ROOM + length // 8


def _roomy(like: Tensor, old: Tensor | None, end: int) -> Tensor:
    made = like.new_zeros(like.shape[0], like.shape[1], end + _room(end), like.shape[3])
    if old is not None and old.numel():
        made[:, :, : old.shape[-2]] = old
    return made
