"""uvicorn as this server needs it: signals are left to others, and encrypting a connection has its own patience."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Generator
from typing import Final

import uvicorn

from server.doors.protocol_http import BoundedHttp

BACKLOG: Final = 2048
GOODBYE_S: Final = 2.0
"""How long a client may take to end an encrypted connection that we have ended."""


class Doors(uvicorn.Server):
    """Listens on sockets that are there already, with TLS where a context is given."""

    def __init__(self, config: uvicorn.Config, tls: ssl.SSLContext | None, handshake_s: float) -> None:
        """handshake_s: how long a client may take until its connection is encrypted."""
        super().__init__(config)
        self._tls = tls
        self._handshake_s = handshake_s

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave them alone: the doors stay open while questions end."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen. uvicorn cannot be told how long a handshake may take, so it gets no socket to listen on."""
        await super().startup(sockets=[])
        loop = asyncio.get_running_loop()
        for one in sockets or []:
            server = await loop.create_server(
                self._protocol,
                sock=one,
                backlog=BACKLOG,
                ssl=self._tls,
                ssl_handshake_timeout=None if self._tls is None else self._handshake_s,
                ssl_shutdown_timeout=None if self._tls is None else GOODBYE_S,
            )
            self.servers.append(server)

    def _protocol(self) -> asyncio.Protocol:
        return BoundedHttp(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)
