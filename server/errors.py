"""The errors that users see: one table from code to status and type, and the few exceptions that carry them."""

from typing import Literal

from perception.messages import Fault

ErrorType = Literal[
    "invalid_request_error",
    "authentication_error",
    "permission_error",
    "not_found_error",
    "rate_limit_error",
    "server_error",
]

_STATUS: dict[int, list[str]] = {
    400: [
        "invalid_json", "invalid_field", "invalid_time", "invalid_time_range", "time_in_future", "source_not_allowed",
        "invalid_image", "codec_not_supported", "not_a_push_stream", "archive_invalid", "sender_replaced",
    ],
    401: ["invalid_api_key"],
    403: ["origin_not_allowed", "forbidden"],
    404: ["stream_not_found", "event_not_found", "question_not_found", "not_found"],
    405: ["method_not_allowed"],
    409: ["stream_exists", "no_frames_yet", "cancelled"],
    413: ["too_large", "image_too_large"],
    429: ["too_many_questions", "too_many_streams", "too_many_connections"],
    500: ["internal_error"],
    503: ["process_lost", "not_ready", "draining", "model_unavailable"],
    504: ["deadline_exceeded"],
    507: ["storage_full"],
}  # fmt: skip
"""Every code that a door may answer. `stream.error` has some more, which never are an answer's status."""

_TYPES: dict[int, ErrorType] = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}

START_CODES = frozenset({
    "port_in_use", "data_folder_in_use", "data_format_unknown", "api_key_required", "config_unknown_key",
    "config_invalid", "model_not_found", "model_unsafe_weights", "model_shape_mismatch", "model_remote_code",
})  # fmt: skip
"""Why a server refuses to start: exit code 2."""

_CODE_STATUS = {code: status for status, codes in _STATUS.items() for code in codes}
_RETRY_AFTER_S = {429: 1, 503: 2, 507: 30}


def status_of(code: str) -> int:
    """The HTTP status of a code; 500 for one that the table does not know."""
    return _CODE_STATUS.get(code, 500)


def type_of(code: str) -> ErrorType:
    """The `type` of a code's error object."""
    status = status_of(code)
    return _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")


class OmniLiveError(Exception):
    """Base of the server's own errors: a code of the public interface and what to do."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class StartError(OmniLiveError):
    """The server refuses to start; `code` is one of START_CODES."""


class ServerFailed(OmniLiveError):
    """The server cannot go on: exit code 1."""


class RequestError(OmniLiveError):
    """One request failed: nothing else is touched."""

    def __init__(self, code: str, message: str, param: str | None = None, after_s: int | None = None) -> None:
        """after_s: when a retry makes sense, where that is known; for the statuses that promise it."""
        super().__init__(code, message)
        self.param = param
        self._after_s = after_s

    @property
    def status(self) -> int:
        """The HTTP status that tells it."""
        return status_of(self.code)

    @property
    def retry_after_s(self) -> int | None:
        """When a retry makes sense, for the statuses that promise it."""
        usual_s = _RETRY_AFTER_S.get(self.status)
        return usual_s if usual_s is None or self._after_s is None else self._after_s

    @property
    def fault(self) -> Fault:
        """The same as a struct."""
        return Fault(self.code, self.message, self.param)


def refusal(fault: Fault) -> RequestError:
    """A stage's fault as the error of the request that it ends."""
    return RequestError(fault.code, fault.message, fault.param)


def internal_error() -> RequestError:
    """The error of whatever a fault of ours ended: nothing of it may reach the client."""
    return RequestError("internal_error", "the server failed on this request: report it")


def process_lost(stage: str) -> RequestError:
    """The error of whatever was under way in a stage process that died."""
    return RequestError("process_lost", f"the {stage} process was lost and is being replaced: send the request again")


def overfull() -> RequestError:
    """The error of a connection that is one too many."""
    return RequestError("too_many_connections", "the server has too many connections: try again in a moment")


def not_ready(stage: str) -> RequestError:
    """The error of a request that needs a stage that is not there yet."""
    return RequestError("not_ready", f"the {stage} is starting: try again in a moment")
