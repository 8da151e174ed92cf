"""A haystack in memory's own stage: what perception told of it, put in as it was told; then recalls."""

import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

import msgspec

from evaluation.micro.model_view import STREAM, clock_us
from evaluation.micro.needle_watch import Record
from memory.config import MemoryConfig
from memory.messages import BarrierReached, Context, MemoryOptions, OpenMemory, Recall
from memory.stage import MemoryStage
from perception.config import PerceptionConfig
from perception.dual_encoder import load_image_encoder, load_text_encoder
from perception.messages import Barrier

Answer = TypeVar("Answer")
START_WALL_US: Final = 1_767_225_600_000_000
_PATIENCE_S: Final = 120.0


class Encoders:
    """Both halves of the dual encoder, loaded once for all haystacks."""

    def __init__(self, config: PerceptionConfig) -> None:
        """Raises StartRefused."""
        self.text = load_text_encoder(config.encoder)
        self.image = load_image_encoder(config.encoder)


class HaystackMemory:
    """`with HaystackMemory(config, encoders, records) as memory:` has all of them committed."""

    def __init__(self, config: PerceptionConfig, encoders: Encoders, records: Iterable[Record]) -> None:
        self._scratch = tempfile.TemporaryDirectory(prefix="omnilive-needle-")
        folder = Path(self._scratch.name)
        settings = MemoryConfig(str(folder / "streams"), str(folder / "cache"), config.encoder)
        self._stage = MemoryStage(settings, encoders.text, encoders.image, clock_us)
        self._stage.submit(OpenMemory(STREAM, START_WALL_US, "{}", MemoryOptions(), "UTC"))
        self._fill(records)

    def _fill(self, records: Iterable[Record]) -> None:
        for record in records:
            while not self._stage.room():
                self._stage.step()
            self._stage.submit(record)
        self._stage.submit(Barrier(STREAM, 1))
        self._until(BarrierReached)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stage.close()
        self._scratch.cleanup()

    def recall(self, message: Recall, limit: int) -> Context:
        """Its answer, with at most so many keyframes."""
        self._stage.submit(msgspec.structs.replace(message, limit=limit))
        return self._until(Context)

    def _until(self, kind: type[Answer]) -> Answer:
        """Step until it says so. Raises TimeoutError."""
        give_up_at = time.monotonic() + _PATIENCE_S
        while time.monotonic() < give_up_at:
            for output in self._stage.step():
                if isinstance(output, kind):
                    return output
        raise TimeoutError(f"memory gave no {kind.__name__}")
