"""The running batch: requests whose prompts are read get a token each in one pass; they join and leave at any step."""

from collections.abc import Sequence

import torch
from transformers import DynamicCache

from reasoning.cache import join, joinable, marks_of, new_cache, rewind
from reasoning.decoding import Decoding
from reasoning.families.common import Family


class Batch:
    """Rows of one cache, aligned at their ends. A row belongs to a `Decoding`, which keeps positions and scores."""

    def __init__(self, family: Family) -> None:
        self._model = family.model
        self._config = self._model.config.get_text_config(decoder=True)
        self.joins = joinable(new_cache(self._config))
        """Whether rows can share a cache; else each is read by itself."""
        self._rows: list[Decoding] = []
        self._cache: DynamicCache | None = None

    def clear(self) -> None:
        """Nobody is there any more."""
        self._cache, self._rows = None, []

    @torch.inference_mode()
    def extend(self, tokens: Sequence[tuple[Decoding, int]]) -> None:
        """Each of these requests reads a token that was chosen for it; who is not named has left for good.

        Raises what the model raises; nothing has been read then.
        """
        rows = [decoding for decoding, _ in tokens]
        if len(rows) == 1 or not self.joins:
            self._apart(rows)
            for decoding, token in tokens:
                decoding.extend(token)
            return
        self._gather(rows)
        assert self._cache is not None
        length, marks = max(row.read for row in rows), marks_of(self._cache)
        try:
            scores = self._forward([token for _, token in tokens], length)
        except Exception:
            rewind(self._cache, marks, length)
            raise
        for decoding, own in zip(rows, scores, strict=True):
            decoding.take(own)

    def _forward(self, tokens: list[int], length: int) -> torch.Tensor:
        device = self._model.device
        starts = torch.tensor([length - row.read for row in self._rows], device=device)
        seen = torch.arange(length + 1, device=device)[None] >= starts[:, None]
        # Positions are [rows, 1], or [planes, rows, 1].
        places = torch.cat([row.next_places() for row in self._rows], dim=-2)
        out = self._model(
            input_ids=torch.tensor(tokens, device=device)[:, None],
            attention_mask=seen.long(),
            position_ids=places,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        scores: torch.Tensor = out.logits[:, -1]
        return scores

    def _gather(self, rows: list[Decoding]) -> None:
        """Make the shared cache hold exactly these rows."""
        if rows == self._rows:
            return
        parts = []
        for row in rows:
            if row in self._rows and self._cache is not None:
                parts.append((self._cache, self._rows.index(row), row.read))
            else:
                parts.append((row.cache, 0, row.read))
        self._cache, self._rows = join(parts, self._config), rows
        for row in rows:
            row.release()

    def _apart(self, rows: list[Decoding]) -> None:
        """Give rows of the shared cache their own again."""
        if self._cache is not None:
            for row in rows:
                if row in self._rows:
                    row.adopt(join([(self._cache, self._rows.index(row), row.read)], self._config))
        self._cache, self._rows = None, []
