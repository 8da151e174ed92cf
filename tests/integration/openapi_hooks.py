"""What schemathesis is told of this interface: which refusals of a well-formed request are its meaning."""

from typing import Any

import schemathesis

UNTOLD = {"time_in_future", "invalid_time_range"}
"""What the document cannot say: how two fields, or a field and the clock, belong together."""
TAKEN = {200, 201, 204, 401, 403, 404, 409, 429}
BUSY = {503, 504, 507}


@schemathesis.check
def well_formed_is_taken(ctx: Any, response: Any, case: Any) -> None:
    """As `positive_data_acceptance`, but for what the document cannot say."""
    if case.meta is None or not case.meta.generation.mode.is_positive or response.status_code in TAKEN:
        return
    error = response.json().get("error", {})
    if response.status_code in BUSY:
        assert error["type"] == "server_error"
        assert response.headers.get("retry-after") or response.status_code == 504
        return
    refused = response.status_code == 400 and (error["code"] in UNTOLD or error["param"] == "cursor")
    pictures = error.get("code") == "invalid_image" and case.operation.path.endswith("/search")
    archives = error.get("code") == "archive_invalid" and case.operation.path.endswith("/memory")
    assert refused or pictures or archives, f"refused: {response.status_code} {error}"


@schemathesis.check
def fails_as_agreed(ctx: Any, response: Any, case: Any) -> None:
    """As `not_a_server_error`, but for those that the interface knows."""
    assert response.status_code < 500 or response.status_code in BUSY, f"failed: {response.status_code}"


@schemathesis.serializer("application/vnd.sqlite3")
def as_bytes(_: Any, value: Any) -> bytes:
    """An archive, or what claims to be one."""
    return value if isinstance(value, bytes) else str(value).encode()
