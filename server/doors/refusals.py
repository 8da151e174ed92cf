"""What is answered where no request gets as far as the guard: the same error object."""

from email.utils import formatdate
from http import HTTPStatus
from typing import Final

from server.doors.guard import error_bytes
from server.errors import RequestError, overfull

DRAIN_S: Final = 5.0
"""How long a refused client is read on: closed on unread bytes, the connection would be reset over the answer."""

_SAID: Final = {
    HTTPStatus.FORBIDDEN: ("forbidden", "this is not allowed"),
    HTTPStatus.METHOD_NOT_ALLOWED: ("method_not_allowed", "a websocket is opened with GET"),
    HTTPStatus.REQUEST_URI_TOO_LONG: ("too_large", "the address is too long"),
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: ("too_large", "address and headers are too large"),
    HTTPStatus.INTERNAL_SERVER_ERROR: ("internal_error", "the server failed on this request: report it"),
}
_MALFORMED: Final = ("invalid_field", "send a valid HTTP/1.1 request; for a websocket, a valid handshake of version 13")


def refusal_body(status: HTTPStatus) -> bytes:
    """The error object for a status, as JSON."""
    return error_bytes(RequestError(*_SAID.get(status, _MALFORMED)))


def refusal_response(status: HTTPStatus) -> bytes:
    """A whole HTTP response, after which the connection ends."""
    return _response(status, refusal_body(status))


def overfull_response() -> bytes:
    """What a connection that is one too many hears, whatever it would have asked."""
    error = overfull()
    return _response(HTTPStatus(error.status), error_bytes(error), f"retry-after: {error.retry_after_s}\r\n")


def _response(status: HTTPStatus, body: bytes, more: str = "") -> bytes:
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        f"date: {formatdate(usegmt=True)}\r\ncache-control: no-store\r\nx-content-type-options: nosniff\r\n"
        f"{more}connection: close\r\n\r\n"
    )
    return head.encode() + body
