"""A link between a browser and a server that lets through no more than so many bytes a second upwards."""

import asyncio
import contextlib
import socket
import threading
from typing import Self

_PIECE_S = 0.05
_BUFFER = 8192
"""Of the kernel, so that what waits does so at the sender."""


class SlowLink:
    """Listens on `port`. `rate`: bytes a second towards the server, of each connection; None: as fast as it goes."""

    def __init__(self, to_port: int) -> None:
        self.rate: float | None = None
        self.port = 0
        self._to = to_port
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end)
        self._thread.join(10)

    def _end(self) -> None:
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        asyncio.gather(*tasks, return_exceptions=True).add_done_callback(lambda _: self._loop.stop())

    def _run(self) -> None:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        listener.bind(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        self._loop.run_until_complete(asyncio.start_server(self._carry, sock=listener, limit=_BUFFER))
        self._ready.set()
        self._loop.run_forever()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up, down = await asyncio.open_connection("127.0.0.1", self._to)
        both = asyncio.gather(self._pass(reader, down, slow=True), self._pass(up, writer, slow=False))
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await both
        for one in (writer, down):
            one.close()

    async def _pass(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, slow: bool) -> None:
        while piece := await source.read(self._piece() if slow else 2**16):
            target.write(piece)
            await target.drain()
            if slow and self.rate is not None:
                await asyncio.sleep(len(piece) / self.rate)
        target.write_eof()

    def _piece(self) -> int:
        return _BUFFER if self.rate is None else max(1, round(self.rate * _PIECE_S))
