"""What is looked at before anything heavy is loaded: key, data folder, models, TLS, port. All or a StartError."""

import errno
import fcntl
import ipaddress
import logging
import os
import resource
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from server.config import Config
from server.errors import RequestError, StartError
from server.files import write_private
from server.keys import KeyFile, Keys, first_key
from server.models import ResolvedModels, check_models, resolve_models
from server.sources import resolve_source
from server.times import parse_wall
from server.tls import Certificate

log = logging.getLogger(__name__)

DATA_FORMAT = "1"
"""What DATA/format holds."""

USER_TIMEOUT_MS = 10_000
"""A peer that takes no byte for so long is gone: accepted sockets inherit it from the listening one."""

OWN_DESCRIPTORS = 256
"""What the server needs besides its clients' connections: children, rings, logs, keys."""

_OURS = frozenset({"format", "lock", "keys", "keys.lock", "first-key"})


@dataclass
class Ground:
    """What a server stands on, held until it stops."""

    config: Config
    models: ResolvedModels
    listener: socket.socket
    keys: Keys
    env_key: str | None
    tls: Certificate
    _held: ExitStack = field(repr=False)

    @property
    def address(self) -> str:
        """Where clients on this machine reach it, as `http://host:port`, https with TLS."""
        host, port = self.listener.getsockname()[:2]
        if ipaddress.ip_address(host).is_unspecified:
            host = "::1" if ":" in host else "127.0.0.1"
        scheme = "http" if self.tls.context is None else "https"
        return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"

    def close(self) -> None:
        """Give back port and folder."""
        self._held.close()


def prepare(config: Config, env: Mapping[str, str]) -> Ground:
    """Check all and hold folder and port. Raises StartError; then nothing is held."""
    key = env.get("OMNILIVE_API_KEY") or None
    file = KeyFile(config.data)
    there_are = bool(file.read()) or key is not None
    if not (there_are or config.create_key):
        check_open(config)
    check_streams(config)
    models = resolve_models(config, env)
    check_models(models, config.trust_remote_code)
    tls = Certificate(config.tls.cert, config.tls.key)
    if tls.context is None and not is_loopback(config.host):
        log.warning(
            "keys and pictures go over the network as plain text: give --tls-cert and --tls-key, or let a proxy encrypt"
        )
    with ExitStack() as held:
        open_data(config.data, held)
        if config.create_key and not there_are:
            log.warning("the server's first key is in %s", first_key(config.data))
        keys = Keys(file, key, closed=not is_loopback(config.host))
        listener = held.enter_context(bind(config.host, config.port))
        return Ground(config, models, listener, keys, key, tls, held.pop_all())


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_open(config: Config) -> None:
    """Without a key, on loopback only. Raises StartError api_key_required."""
    if not is_loopback(config.host):
        raise StartError(
            "api_key_required",
            f"{config.host} is reachable from outside: make a key (omnilive keys create NAME, or --create-key), "
            "or bind 127.0.0.1",
        )


def check_streams(config: Config) -> None:
    """Streams that the configuration declares. Raises StartError config_invalid."""
    seen: set[str] = set()
    for n, stream in enumerate(config.streams):
        if stream.id in seen:
            raise StartError("config_invalid", f"streams.{n}.id: {stream.id} is declared twice")
        seen.add(stream.id)
        try:
            resolve_source(stream.source, config.allow_files)
            if stream.source.start is not None:
                parse_wall(stream.source.start, "source.start")
        except RequestError as error:
            raise StartError("config_invalid", f"streams.{n}: {error.message}") from None
    if len(seen) > config.limits.streams:
        raise StartError("config_invalid", f"streams: at most {config.limits.streams} (limits.streams)")


def open_data(folder: Path, held: ExitStack) -> None:
    """Make or take over the data folder and lock it.

    Raises StartError data_folder_in_use, data_format_unknown or config_invalid (cannot be made or written).
    """
    try:
        fresh = not folder.exists() or not any(name not in _OURS for name in os.listdir(folder))
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not fresh and not (folder / "format").is_file():
            raise StartError("data_format_unknown", f"{folder} is no data folder of this project: name an empty one")
        _lock(folder / "lock", held)
        _check_format(folder / "format")
        folder.chmod(0o700)
    except OSError as error:
        raise StartError("config_invalid", f"data: {folder} cannot be used ({error.strerror})") from None


def _lock(file: Path, held: ExitStack) -> None:
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    held.callback(os.close, descriptor)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StartError(
            "data_folder_in_use", f"another server works on {file.parent}: stop it, or name another folder with --data"
        ) from None


def _check_format(file: Path) -> None:
    if file.exists():
        found = file.read_bytes()[:64].strip()
        if found != DATA_FORMAT.encode():
            raise StartError(
                "data_format_unknown",
                f"{file.parent} was written by another version (this one reads {DATA_FORMAT}): use that one",
            )
        return
    write_private(file, f"{DATA_FORMAT}\n")


def make_room(connections: int) -> None:
    """Raise the process's limit of open files for so many connections, as far as it may be raised."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + OWN_DESCRIPTORS
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    given = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (given, hard))
    if given < wanted:
        log.warning("only %d files may be open, %d may be needed: raise it (ulimit -n)", given, wanted)


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. Raises StartError port_in_use or config_invalid (no such address, no permission)."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError):
        raise StartError("config_invalid", f"host: {host} is no address of this machine") from None
    listener = socket.socket(family, kind, protocol)
    try:
        # Without it a restart would have to wait for the old connections' TIME_WAIT.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)
        listener.bind(address)
        # Two sockets may be bound with SO_REUSEADDR; only one can listen.
        listener.listen(2048)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise StartError("port_in_use", f"port {port} is taken: stop what listens there, or use --port") from None
        raise StartError("config_invalid", f"cannot listen on {host} port {port} ({error.strerror})") from None
    return listener
