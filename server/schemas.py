"""What the OpenAPI document says of a request's fields beyond their types, so that who reads it sends what is taken."""

from typing import Any, Final
from zoneinfo import available_timezones

STREAM_ID_PATTERN: Final = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"

_NO_NUL: Final = r"[^\u0000]*"
_BLANK: Final = r"\t-\r\u001c-\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"

NO_NUL: Final[dict[str, Any]] = {"pattern": f"^{_NO_NUL}$"}
SAYS_SOMETHING: Final[dict[str, Any]] = {"pattern": rf"^{_NO_NUL}[^\u0000{_BLANK}]{_NO_NUL}$"}

_CAMERA: Final = r"^rtsps?://[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[1-9][0-9]{0,3})?(/[!-Z_a-z~]*)?$"
_STAMP: Final = {"type": "string", "format": "date-time"}
_NULL: Final = {"type": "null"}


_BEFORE: Final = r"^-[0-9]{1,9}(\.[0-9]{1,6})?[smhd]$"
_SECONDS: Final = r"^[0-9]{1,12}(\.[0-9]{1,6})?$"
_MOMENTS: Final[list[dict[str, Any]]] = [{"type": "string", "pattern": _BEFORE}, _STAMP]
_ABOUT_TIME: Final = "RFC 3339 with offset, -10m before now, or seconds of media time"
TIME: Final[dict[str, Any]] = {
    "anyOf": [*_MOMENTS, {"type": "number", "minimum": 0, "maximum": 1e15}, _NULL],
    "default": None,
    "description": _ABOUT_TIME,
}
TIME_IN_ADDRESS: Final[dict[str, Any]] = {
    "anyOf": [*_MOMENTS, {"type": "string", "pattern": _SECONDS}],
    "description": _ABOUT_TIME,
}


def time_zones() -> dict[str, Any]:
    """Every zone by name."""
    return {"enum": sorted(available_timezones() - {"localtime", "posixrules", "Factory"})}


def source_schema() -> dict[str, Any]:
    """A stream's source: a camera, or pushed. Files are told of in words: which are taken is each server's own."""
    pace = {"anyOf": [{"enum": ["real", "fast"], "type": "string"}, _NULL], "default": None}
    camera = {
        "title": "Camera",
        "type": "object",
        "additionalProperties": False,
        "required": ["url"],
        "properties": {
            "url": {"type": "string", "pattern": _CAMERA, "maxLength": 4096, "examples": ["rtsp://192.0.2.7/stream1"]},
            "push": _NULL, "pace": _NULL, "start": _NULL,
        },
    }  # fmt: skip
    pushed = {
        "title": "Pushed",
        "type": "object",
        "additionalProperties": False,
        "required": ["push"],
        "properties": {
            "push": {"const": True, "type": "boolean"}, "url": _NULL, "pace": pace,
            "start": {"anyOf": [_STAMP, _NULL], "default": None},
        },
    }  # fmt: skip
    about = (
        'Where a stream comes from: a camera, or a client that pushes. {"url": "file:///...", "pace": "fast"} reads a '
        "file below a folder of --allow-files."
    )
    return {"title": "SourceSpec", "description": about, "anyOf": [camera, pushed]}
