"""A server between start and stop: the doors open first, then the stages; at the end the other way round."""

import asyncio
import logging
import sys
from collections.abc import Callable

import uvicorn

from server.config import Config, LimitsSection
from server.doors.app import create_app
from server.doors.listening import BACKLOG, Doors
from server.doors.protocol_http import BoundedHttp, descriptors_for
from server.doors.protocol_ws import PING_EVERY_S, PONG_WITHIN_S, DrainingWebSocket
from server.errors import START_CODES, ServerFailed, StartError
from server.hub import Hub
from server.ipc.keeper import HostLimits
from server.ipc.supervisor import StageHost, StageStartFailed
from server.preflight import Ground, make_room
from server.reloading import Reloading
from server.settings import stage_configs
from server.sources import secrets_of

logger = logging.getLogger(__name__)

GOING_AWAY = 1001
NO_LONGER_ALLOWED = 1008
FILES_EVERY_S = 1.0
STAGES_GRACE_S = 3.0
SOCKETS_GRACE_S = 1.0
HURRY_S = 0.2


class Running:
    """One run of the server."""

    def __init__(self, ground: Ground, again: Callable[[], Config] | None = None) -> None:
        """again: reads the configuration once more; raises StartError."""
        self._ground = ground
        self._hub = Hub(ground.config)
        self._reloading = Reloading(self._hub, again or (lambda: ground.config), limit_doors)
        self._stopping = asyncio.Event()
        self._now = asyncio.Event()
        self._hub.on_end = self._stopping.set

    def ask_to_stop(self) -> None:
        """The first time politely, the second time at once."""
        if self._stopping.is_set():
            self._now.set()
        self._stopping.set()

    def ask_to_reload(self) -> None:
        """Read the configuration again, once the server is ready."""
        self._reloading.ask()

    async def run(self) -> int:
        """Until asked to stop. Raises StartError or ServerFailed."""
        limits = self._ground.config.limits
        logger.info("limits: %s", " ".join(f"{name}={value}" for name, value in limits.model_dump().items()))
        host = self._host()
        self._hub.attach(host)
        self._ground.keys.on_change = self._shut_out
        doors = self._doors()
        looking = asyncio.create_task(self._look_at_files())
        serving = asyncio.create_task(doors.serve(sockets=[self._ground.listener]))
        try:
            if await self._start(host):
                self._hub.open()
                sys.stdout.write(f"ready {self._ground.address}\n")
                sys.stdout.flush()
                self._hub.core.spawn(self._reloading.run())
                await self._until_stop(serving)
            return 0
        finally:
            looking.cancel()
            await self._shut(doors, serving, host)

    async def _look_at_files(self) -> None:
        """Keys that are revoked beside us end the websockets that they opened, also while nobody asks anything."""
        while True:
            await asyncio.sleep(FILES_EVERY_S)
            self._ground.keys.refresh()
            self._ground.tls.refresh()

    def _shut_out(self) -> None:
        keys = self._ground.keys
        self._hub.sessions.close_those_of(lambda principal: not keys.opens(principal), NO_LONGER_ALLOWED)

    def _host(self) -> StageHost:
        config = self._ground.config
        secrets = [secret for stream in config.streams for secret in secrets_of(stream.source.url or "")]
        if self._ground.env_key is not None:
            secrets.append(self._ground.env_key)
        return StageHost(
            stage_configs(config, self._ground.models),
            self._hub,
            limits=HostLimits(ready_s=config.limits.load_s),
            log_json=config.log.format == "json",
            log_level=config.log.level,
            secrets=secrets,
        )

    async def _start(self, host: StageHost) -> bool:
        """Start the stages; False if the server was asked to stop meanwhile. Raises StartError."""
        starting = asyncio.create_task(host.start())
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({starting, stopping}, return_when=_FIRST)
        stopping.cancel()
        if not starting.done():
            starting.cancel()
            return False
        try:
            await starting
        except StageStartFailed as failed:
            kind = StartError if failed.fault.code in START_CODES else ServerFailed
            raise kind(failed.fault.code, failed.fault.message) from None
        except OSError as error:
            raise ServerFailed("internal_error", f"the stages cannot be started ({error.strerror})") from None
        return True

    async def _until_stop(self, serving: "asyncio.Task[None]") -> None:
        """Work until asked to stop, then let open questions end. Raises ServerFailed."""
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({stopping, serving}, return_when=_FIRST)
        if self._hub.fatal is not None:
            _, fault = self._hub.fatal
            raise ServerFailed(fault.code, fault.message)
        if not stopping.done():
            raise ServerFailed("internal_error", "the doors closed by themselves")
        self._hub.drain()
        logger.info("stopping: %d open questions", len(self._hub.questions))
        await self._patience(self._hub.questions.idle, self._hub.core.config.limits.drain_s)

    async def _patience(self, event: asyncio.Event, seconds: float) -> None:
        """Wait for something, but not when told to stop at once."""
        waiting = {asyncio.create_task(event.wait()), asyncio.create_task(self._now.wait())}
        await asyncio.wait(waiting, timeout=seconds, return_when=_FIRST)
        for task in waiting:
            task.cancel()

    async def _shut(self, doors: uvicorn.Server, serving: "asyncio.Task[None]", host: StageHost) -> None:
        self._hub.drain()
        await self._hub.stop()
        self._hub.sessions.close_all(GOING_AWAY)
        await self._patience(self._hub.sessions.idle, SOCKETS_GRACE_S)
        doors.should_exit = True
        doors.force_exit = self._now.is_set()
        await asyncio.gather(serving, return_exceptions=True)
        await host.stop(HURRY_S if self._now.is_set() else STAGES_GRACE_S)

    def _doors(self) -> uvicorn.Server:
        limits = self._ground.config.limits
        app = create_app(self._hub, self._ground.keys)
        config = uvicorn.Config(
            app,
            http=BoundedHttp,
            ws=DrainingWebSocket,
            ws_per_message_deflate=False,
            ws_ping_interval=PING_EVERY_S,
            ws_ping_timeout=PONG_WITHIN_S,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=1,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=BACKLOG,
        )
        limit_doors(limits)
        doors = Doors(config, self._ground.tls.context, limits.body_timeout_s)
        app.connections = lambda: len(doors.server_state.connections)
        return doors


def limit_doors(limits: LimitsSection) -> None:
    """What the doors keep to from now on."""
    make_room(descriptors_for(limits.connections))
    BoundedHttp.patience_s, BoundedHttp.head_bytes = limits.body_timeout_s, limits.header_bytes
    BoundedHttp.most, DrainingWebSocket.patience_s = limits.connections, limits.send_timeout_s
    DrainingWebSocket.most_bytes = limits.message_bytes


_FIRST = asyncio.FIRST_COMPLETED
