"""Ask with the async client and print the answer as it is made: `ask_as_it_comes.py door "What happens now?"`."""

import asyncio
import sys
from contextlib import aclosing

from clients.async_live import connections


async def main(stream: str, question: str) -> None:
    async with aclosing(connections(stream)) as lives:
        live = await anext(lives)
        async for piece in live.ask(question):
            if isinstance(piece, str):
                print(piece, end="", flush=True)
            else:
                print("\nseen in", [moment["start"] for moment in piece["evidence"]])


asyncio.run(main(*sys.argv[1:]))
