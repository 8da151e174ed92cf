"""API keys: who may do what. Only their hashes are kept; a server beside notices what changes within two seconds.

A key is 256 random bits, so a plain hash of it is as hard to turn round as the key is to guess.
"""

import fcntl
import hashlib
import hmac
import json
import logging
import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from server.errors import StartError
from server.files import write_private

log = logging.getLogger(__name__)

DEFAULT_TENANT: Final = "default"
SCOPES: Final = ("view", "ask", "ingest", "admin")
ALL_SCOPES: Final = frozenset(SCOPES)
PREFIX: Final = "ol_"
FIRST_NAME: Final = "first"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


@dataclass(frozen=True)
class Principal:
    """Who asks: a tenant, what its key allows, and the key's fingerprint, empty where none was needed."""

    tenant: str
    scopes: frozenset[str]
    fingerprint: str = ""


ANYONE: Final = Principal(DEFAULT_TENANT, ALL_SCOPES)
"""Who asks a server without keys."""


@dataclass(frozen=True)
class KeyRecord:
    """What is kept of a key."""

    name: str
    tenant: str
    scopes: tuple[str, ...]
    sha256: str
    created: str

    @property
    def principal(self) -> Principal:
        """Who asks with it."""
        return Principal(self.tenant, frozenset(self.scopes), self.sha256)


class KeyRefused(Exception):
    """A key cannot be made or revoked; the message says why."""


def fingerprint(key: str) -> str:
    """What is kept instead of a key."""
    return hashlib.sha256(key.encode()).hexdigest()


class KeyFile:
    """DATA/keys. Written as a whole; writers wait for one another."""

    def __init__(self, data: Path) -> None:
        self._file = data / "keys"

    def read(self) -> list[KeyRecord]:
        """All keys. Raises StartError config_invalid where the file is none of ours."""
        try:
            text = self._file.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StartError("config_invalid", f"data: the keys cannot be read ({error.strerror})") from None
        try:
            return [_record(one) for one in json.loads(text)["keys"]]
        except (ValueError, TypeError, LookupError):
            raise StartError("config_invalid", "data: the file of keys is damaged: restore it, or delete it") from None

    def create(self, name: str, tenant: str = DEFAULT_TENANT, scopes: tuple[str, ...] = SCOPES) -> str:
        """Make a key; it is told once, here. Raises KeyRefused."""
        for what, value in (("name", name), ("tenant", tenant)):
            if _NAME.fullmatch(value) is None:
                raise KeyRefused(f"{what}: letters, digits, '.', '_' and '-', at most 64, a letter or digit first")
        unknown = [scope for scope in scopes if scope not in ALL_SCOPES]
        if unknown or not scopes:
            raise KeyRefused(f"scopes: some of {', '.join(SCOPES)}")
        key = PREFIX + secrets.token_urlsafe(32)
        ordered = tuple(scope for scope in SCOPES if scope in scopes)
        with self._alone():
            kept = self.read()
            if any(one.name == name for one in kept):
                raise KeyRefused(f"there is a key {name} already: revoke it, or choose another name")
            now = datetime.now(UTC).isoformat(timespec="seconds")
            self._write([*kept, KeyRecord(name, tenant, ordered, fingerprint(key), now)])
        return key

    def revoke(self, name: str) -> None:
        """Let a key open nothing any more. Raises KeyRefused where there is none of this name."""
        with self._alone():
            kept = self.read()
            left = [one for one in kept if one.name != name]
            if len(left) == len(kept):
                raise KeyRefused(f"there is no key {name}: list the keys")
            self._write(left)

    def version(self) -> tuple[int, ...]:
        """Something that changes with the file."""
        try:
            found = self._file.stat()
        except FileNotFoundError:
            return ()
        return (found.st_mtime_ns, found.st_size, found.st_ino)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._file.with_name("keys.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _write(self, records: list[KeyRecord]) -> None:
        write_private(self._file, json.dumps({"keys": [asdict(one) for one in records]}, indent=1) + "\n")


class Keys:
    """Which keys open a running server. `env_key` is one more, of all scopes.

    closed: nobody gets in without a key even where there is none, since the server is reachable from outside.
    """

    def __init__(self, file: KeyFile | None, env_key: str | None, *, closed: bool = False) -> None:
        """Raises StartError where the file is damaged."""
        self._file = file
        self._closed = closed
        own = fingerprint(env_key) if env_key else ""
        self._fixed = {own: Principal(DEFAULT_TENANT, ALL_SCOPES, own)} if own else {}
        self._known: dict[str, Principal] = {}
        self.on_change: Callable[[], None] = lambda: None
        """Called when keys have come or gone."""
        self._version = file.version() if file is not None else ()
        self._take(file.read() if file is not None else [])

    @property
    def required(self) -> bool:
        """Whether a request has to bring a key."""
        return self._closed or bool(self._known)

    def find(self, given: str | None) -> Principal | None:
        """Whose key this is; every known one is compared, each in constant time."""
        digest, found = fingerprint(given or ""), None
        for known, principal in self._known.items():
            if hmac.compare_digest(digest, known) and given:
                found = principal
        return found

    def opens(self, principal: Principal) -> bool:
        """Whether who came in earlier would still be let in."""
        return principal.fingerprint in self._known if self.required else True

    def refresh(self) -> None:
        """Look whether the file has changed."""
        if self._file is None or (version := self._file.version()) == self._version:
            return
        self._version = version
        try:
            self._take(self._file.read())
        except StartError as error:
            log.error("keys stay as they were: %s", error.message)
            return
        log.info("the keys have changed: there are %d", len(self._known))
        self.on_change()

    def _take(self, records: list[KeyRecord]) -> None:
        self._known = {**{one.sha256: one.principal for one in records}, **self._fixed}


def first_key(data: Path) -> Path:
    """Make a key and write it to DATA/first-key; the file."""
    place = data / "first-key"
    write_private(place, KeyFile(data).create(FIRST_NAME) + "\n")
    return place


def _record(given: dict[str, Any]) -> KeyRecord:
    scopes = tuple(scope for scope in SCOPES if scope in given["scopes"])
    fields = [given[name] for name in ("name", "tenant", "sha256", "created")]
    if not all(isinstance(value, str) for value in fields):
        raise TypeError
    name, tenant, sha256, created = fields
    return KeyRecord(name, tenant, scopes, sha256, created)
