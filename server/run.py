"""A server's life: check the ground, start stages and doors, say ready, drain, stop; the exit code."""

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Mapping

from server.config import Config
from server.errors import ServerFailed, StartError
from server.logs import keep_secret, set_up
from server.preflight import Ground, prepare
from server.stopping import reloader, stopper

logger = logging.getLogger(__name__)


def serve(config: Config, env: Mapping[str, str] | None = None, again: Callable[[], Config] | None = None) -> int:
    """Run a server until it is told to stop. 0: stopped and clean, 1: failed, 2: refused to start.

    again: reads the configuration once more, for SIGHUP; raises StartError.
    """
    env = os.environ if env is None else env
    stopper.install()
    reloader.install()
    os.umask(0o077)
    set_up(config.log.format, config.log.level)
    for name in ("OMNILIVE_API_KEY", "OMNILIVE_MODEL_API_KEY"):
        if env.get(name):
            keep_secret(env[name])
    try:
        ground = prepare(config, env)
        try:
            return 0 if stopper.asked else _run(ground, again or (lambda: config))
        finally:
            ground.close()
    except (StartError, ServerFailed) as error:
        return refuse_start(error)


def refuse_start(error: StartError | ServerFailed) -> int:
    """The last line on stderr of a server that does not start or cannot go on; the exit code."""
    sys.stderr.write(f"omnilive: error[{error.code}]: {' '.join(error.message.split())}\n")
    sys.stderr.flush()
    return 2 if isinstance(error, StartError) else 1


def _run(ground: Ground, again: Callable[[], Config]) -> int:
    from server.running import Running

    running = Running(ground, again)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        loop = runner.get_loop()
        # Not uvicorn's handlers: they would end the doors before the questions.
        with (
            stopper.telling(lambda: loop.call_soon_threadsafe(running.ask_to_stop)),
            reloader.telling(lambda: loop.call_soon_threadsafe(running.ask_to_reload)),
        ):
            return runner.run(running.run())


def _loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    factory: type[asyncio.AbstractEventLoop] = uvloop.Loop
    return factory
