"""A server's life: check the ground, start stages and doors, say ready, drain, stop; the exit code."""

import asyncio
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import FrameType

from server.config import Config
from server.errors import ServerFailed, StartError
from server.logs import keep_secret, set_up
from server.models import ROOT
from server.preflight import Ground, prepare

logger = logging.getLogger(__name__)

STANDIN_TIMEOUT_S = 300


def serve(config: Config, env: Mapping[str, str] | None = None) -> int:
    """Run a server until it is told to stop. 0: stopped and clean, 1: failed, 2: refused to start."""
    env = os.environ if env is None else env
    os.umask(0o077)
    set_up(config.log.format, config.log.level)
    for name in ("OMNILIVE_API_KEY", "OMNILIVE_MODEL_API_KEY"):
        if env.get(name):
            keep_secret(env[name])
    try:
        ground = prepare(config, env)
        try:
            make_standin(ground)
            return _run(ground)
        finally:
            ground.close()
    except (StartError, ServerFailed) as error:
        return refuse_start(error)


def refuse_start(error: StartError | ServerFailed) -> int:
    """The last line on stderr of a server that does not start or cannot go on; the exit code."""
    sys.stderr.write(f"omnilive: error[{error.code}]: {' '.join(error.message.split())}\n")
    sys.stderr.flush()
    return 2 if isinstance(error, StartError) else 1


def make_standin(ground: Ground) -> None:
    """Make the stand-in checkpoints where they are wanted and not there yet. Raises StartError model_not_found."""
    folder = ground.models.standin
    if folder is None or folder.is_dir():
        return
    logger.info("no model ships with this version yet: making a small random one, whose words mean nothing")
    folder.parent.mkdir(parents=True, exist_ok=True)
    done = _make(folder)
    if done != 0:
        raise StartError("model_not_found", "the stand-in model could not be made: name a checkpoint with --model")


def _make(folder: Path) -> int:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    try:
        # Its words go to stderr: the one line on stdout is ours.
        command = [sys.executable, "-m", "reasoning.standin", str(folder)]
        return subprocess.run(  # noqa: S603 - our own interpreter and module
            command,
            stdout=sys.stderr,
            stdin=subprocess.DEVNULL,
            env=environment,
            timeout=STANDIN_TIMEOUT_S,
            check=False,
        ).returncode
    except (OSError, subprocess.TimeoutExpired):
        return 1


def _run(ground: Ground) -> int:
    from server.running import Running

    running = Running(ground)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        loop = runner.get_loop()

        def stop(signal_number: int, frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(running.ask_to_stop)

        # Not uvicorn's handlers: they would end the doors before the questions.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        return runner.run(running.run())


def _loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    factory: type[asyncio.AbstractEventLoop] = uvloop.Loop
    return factory
