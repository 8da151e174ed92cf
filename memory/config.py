"""Memory's settings."""

import msgspec

from perception.config import ModelConfig


class MemoryConfig(msgspec.Struct, frozen=True):
    """Where the stores lie, how events close, how much is kept, how much is recalled.

    speech_event_us: the end of a span of speech at least this long closes an event that is at least as old.
    commit_us: how old an open event's row on disk may become. low_water_bytes: with less free space on the disk nothing
    new is stored.
    """

    streams_folder: str
    cache_folder: str
    encoder: ModelConfig
    max_event_us: int = 30_000_000
    min_event_us: int = 1_000_000
    speech_event_us: int = 3_000_000
    commit_us: int = 3_000_000
    keyframes: int = 3
    max_bytes: int = 10 * 2**30
    max_age_us: int = 30 * 24 * 3600 * 1_000_000
    evidence: int = 4
    low_water_bytes: int = 16 * 2**20
