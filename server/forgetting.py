"""Forgetting: when it is acknowledged, no door returns anything of it, no prompt holds it, nothing brings it back."""

from dataclasses import dataclass

from memory.messages import Forget, Forgotten
from perception.messages import WipeWindow
from reasoning.messages import ForgetCaches
from server.core import Core
from server.errors import RequestError
from server.questions import Questions
from server.streams import StreamEntry
from server.times import parse_range

TIMEOUT_S = 10.0
LONG_AGO_US = 0


@dataclass
class Forgetting:
    """Memory first, then the now window, then all that was made of either."""

    core: Core
    questions: Questions

    async def forget_range(self, entry: StreamEntry, since: str | float | None, until: str | float | None) -> Forgotten:
        """Every event that touches [since, until), all without a range; the open event and now window included.

        Raises RequestError; what was forgotten by then stays forgotten.
        """
        async with entry.changing:
            clock = entry.clock(self.core.clocks)
            since_us, until_us = parse_range(since, until, clock)
            # Not 'for ever': what is seen from now on is to be remembered.
            behind_now = max(clock.now_us, entry.newest_us) + 1
            start = LONG_AGO_US if since_us is None else since_us
            return await self._forget(entry, None, start, behind_now if until_us is None else until_us)

    async def forget_event(self, entry: StreamEntry, event: str) -> Forgotten:
        """One event. Raises RequestError event_not_found and others."""
        async with entry.changing:
            return await self._forget(entry, event, 0, 0)

    async def _forget(self, entry: StreamEntry, event: str | None, since_us: int, until_us: int) -> Forgotten:
        request = self.core.next_request()
        message = Forget(entry.key, request, event, since_us, until_us)
        gone: Forgotten = await self.core.call("memory", ("Request", request), message, TIMEOUT_S)
        if gone.start_us >= 0:
            # An event lasts until its last frame: the range that is wiped holds that frame too.
            ranges = (gone.start_us, gone.end_us + 1) if event else (since_us, until_us, gone.start_us, gone.end_us + 1)
            since_us, until_us = min(ranges), max(ranges)
        await self._wipe_window(entry, since_us, until_us)
        self._drop_derived(entry, gone, since_us, until_us)
        await self._drop_caches(entry, gone)
        return gone

    async def _wipe_window(self, entry: StreamEntry, since_us: int, until_us: int) -> None:
        """Perception must hear of it: it also keeps late frames of the range out."""
        if since_us >= until_us or entry.source is None:
            return
        await self.core.wait_ready("perception", TIMEOUT_S)
        request = self.core.next_request()
        message = WipeWindow(entry.key, request, since_us, until_us)
        await self.core.call("perception", ("WindowWiped", request), message, TIMEOUT_S)

    def _drop_derived(self, entry: StreamEntry, gone: Forgotten, since_us: int, until_us: int) -> None:
        if since_us <= entry.newest_us < until_us:
            entry.forgot_frames()
        entry.forgot_shown(since_us, until_us)
        self.questions.conversations.forget(entry.key)
        self.questions.explains.forget(entry.key, [*gone.events, *gone.changed], since_us, until_us)
        self.questions.ask_again(entry)

    async def _drop_caches(self, entry: StreamEntry, gone: Forgotten) -> None:
        touched = [*gone.events, *gone.changed]
        if not touched or not self.core.is_ready("reasoning"):
            return
        request = self.core.next_request()
        message = ForgetCaches(entry.key, request, touched)
        try:
            await self.core.call("reasoning", ("CachesForgotten", request), message, TIMEOUT_S)
        except RequestError as error:
            # A process that died took its caches with it.
            if error.code != "process_lost":
                raise
