"""A stream's `source` to what perception opens: only cameras by rtsp(s) and files below allowed folders."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from perception.messages import FileSource, PushSource, RtspSource, Source
from server.errors import RequestError
from server.protocol import SourceSpec

_PRINTABLE = re.compile(r"[!-~]+", re.ASCII)
_CAMERA_HOST = re.compile(r"[A-Za-z0-9._:%-]+", re.ASCII)
_ALLOWED = "source.url must be rtsp://, rtsps://, or file:// below a folder of --allow-files"


def shown_url(url: str) -> str:
    """A URL as it may be shown: without userinfo, query and fragment."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def secrets_of(url: str) -> list[str]:
    """What of a camera's URL must never be written: userinfo and password, as given and decoded, and the query."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return [url]
    userinfo = parts.netloc.rpartition("@")[0]
    password = userinfo.partition(":")[2]
    found = {userinfo, unquote(userinfo), password, unquote(password), parts.query}
    return sorted((one for one in found if one), key=len, reverse=True)


def resolve_source(spec: SourceSpec, allowed: Sequence[Path]) -> Source:
    """What perception opens. Raises RequestError source_not_allowed or invalid_field."""
    if spec.url is None:
        return PushSource(pace=spec.pace or "real")
    try:
        parts = urlsplit(spec.url)
        scheme, port = parts.scheme.lower(), parts.port
    except ValueError:
        raise _not_allowed() from None
    if scheme == "file":
        return FileSource(path=_allowed_file(parts, allowed), pace=spec.pace or "real")
    if scheme not in ("rtsp", "rtsps"):
        raise _not_allowed()
    return _camera(spec, parts, port)


def _camera(spec: SourceSpec, parts: SplitResult, port: int | None) -> RtspSource:
    if spec.pace is not None or spec.start is not None:
        field = "pace" if spec.pace is not None else "start"
        raise RequestError("invalid_field", f"source.{field} is for files and push streams", f"source.{field}")
    url, host = spec.url or "", parts.hostname or ""
    if port == 0 or not _CAMERA_HOST.fullmatch(host) or not _PRINTABLE.fullmatch(url) or "\\" in url:
        raise _not_allowed()
    return RtspSource(url=url)


def _allowed_file(parts: SplitResult, allowed: Iterable[Path]) -> str:
    path = unquote(parts.path)
    if parts.netloc not in ("", "localhost") or parts.query or parts.fragment or "\0" in path or path[:1] != "/":
        raise _not_allowed()
    try:
        real = Path(path).resolve()
        if any(real != folder.resolve() and real.is_relative_to(folder.resolve()) for folder in allowed):
            return str(real)
    except (OSError, RuntimeError):
        pass
    raise _not_allowed()


def _not_allowed() -> RequestError:
    return RequestError("source_not_allowed", _ALLOWED, "source.url")
