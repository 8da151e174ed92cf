"""The configuration, read again beside the running server: its streams and most limits hold at once, the rest later."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from server.config import Config, LimitsSection
from server.errors import StartError
from server.hub import Hub
from server.preflight import check_streams

logger = logging.getLogger(__name__)

AT_START: Final = frozenset({"image_pixels", "streams", "load_s"})
"""Limits that the stages and the memory they share are made with."""


class Reloading:
    """Takes over what may change."""

    def __init__(self, hub: Hub, read: Callable[[], Config], limit: Callable[[LimitsSection], None]) -> None:
        """read: the configuration as it is now, raises StartError; limit: sets what the doors keep to."""
        self._hub = hub
        self._read = read
        self._limit = limit
        self._asked = asyncio.Event()

    def ask(self) -> None:
        """Read again soon; asked several times meanwhile, once more."""
        self._asked.set()

    async def run(self) -> None:
        """Whenever asked, for ever."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            try:
                await self.once()
            except StartError as error:
                logger.error("the configuration is refused, all settings stay as they were: %s", error.message)

    async def once(self) -> None:
        """Read it and take over what may change. Raises StartError; then nothing has changed."""
        core = self._hub.core
        read = await asyncio.to_thread(self._read)
        config = taken_over(core.config, read)
        check_streams(config)
        before, core.config = core.config, config
        limits = changes(before.limits.model_dump(), config.limits.model_dump())
        self._limit(config.limits)
        core.metrics.set_limits(config.limits.model_dump())
        streams = await self._hub.declared.renew(before.streams)
        logger.info(
            "the configuration was read again: limits %s; streams added %s, changed %s, refused %s",
            _list(limits), _list(streams.added), _list(streams.changed), _list(streams.refused),
        )  # fmt: skip
        if streams.left:
            logger.warning("no longer declared, still watched until deleted: %s", _list(streams.left))
        waiting = list(changes(config.model_dump(exclude={"streams"}), read.model_dump(exclude={"streams"})))
        if waiting:
            logger.warning("changed, but taken over only at the next start: %s", _list(waiting))


def taken_over(running: Config, read: Config) -> Config:
    """The running configuration with what may change of another one."""
    fixed = {name: getattr(running.limits, name) for name in AT_START}
    return running.model_copy(
        update={"streams": read.streams, "limits": read.limits.model_copy(update=fixed)},
    )


def changes(before: Mapping[str, Any], after: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """The dotted names of settings that differ."""
    for name, value in after.items():
        if isinstance(value, dict):
            yield from changes(before[name], value, f"{prefix}{name}.")
        elif value != before[name]:
            yield prefix + name


def _list(names: Any) -> str:
    return ", ".join(names) or "none"
