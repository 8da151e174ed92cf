"""Print what a stream remembers, as it happens, over restarts of the server: `follow_events.py door`."""

import asyncio
import sys
from contextlib import aclosing

from clients.following import follow


async def main(stream: str) -> None:
    async with aclosing(follow(stream)) as events:
        async for event in events:
            said = event["caption"] or event["transcript"] or ""
            print(event["start"], "to", event["end"], event["id"], said, flush=True)


asyncio.run(main(*sys.argv[1:]))
