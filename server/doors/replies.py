"""What all routes share: who asks, the hub, errors of the framework in the shape of ours, times in the address."""

import re
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Query
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import WithJsonSchema
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request

from server.errors import RequestError, internal_error
from server.hub import Hub
from server.keys import Principal
from server.protocol import ErrorReply
from server.schemas import TIME_IN_ADDRESS
from server.streams import StreamEntry
from server.views import error_body

_FRAMEWORK = {
    404: ("not_found", "there is no such address"),
    405: ("method_not_allowed", "this address does not take this method"),
    413: ("too_large", "the body is too large"),
}


def hub_of(connection: HTTPConnection) -> Hub:
    """The hub that this application stands in front of."""
    hub: Hub = connection.app.state.hub
    return hub


def principal_of(connection: HTTPConnection) -> Principal:
    """Who asks; set by the guard."""
    principal: Principal = connection.scope["state"]["principal"]
    return principal


def stream_of(connection: HTTPConnection, id: str) -> StreamEntry:
    """The stream in the address. Raises RequestError stream_not_found."""
    return hub_of(connection).registry.find(principal_of(connection).tenant, id)


def allow(connection: HTTPConnection, scope: str) -> None:
    """Raises RequestError forbidden unless the key has the scope."""
    if scope not in principal_of(connection).scopes:
        raise RequestError("forbidden", f"this needs a key with the scope {scope}")


def needs(scope: str) -> Any:
    """A route's dependency on a scope."""

    def check(connection: HTTPConnection) -> None:
        allow(connection, scope)

    return Depends(check)


async def check_request(connection: HTTPConnection) -> None:
    """A dependency of all routes under /v1: nothing in a request is passed over, least of all a misspelt range.

    Raises RequestError invalid_field.
    """
    known = _query_of(connection.scope["route"].dependant)
    given = [name for name, _ in connection.query_params.multi_items()]
    for name in given:
        if name not in known:
            raise RequestError("invalid_field", f"there is no parameter {name}: leave it out", name)
        if given.count(name) > 1:
            raise RequestError("invalid_field", f"{name}: give it once", name)
    if isinstance(connection, Request) and connection.method == "DELETE" and await connection.body():
        raise RequestError("invalid_field", "DELETE takes no body: what is meant stands in the address")


def _query_of(dependant: Dependant) -> set[str]:
    """Names of the query parameters that a route and its dependencies declare."""
    own = {field.alias for field in dependant.query_params}
    return own.union(*map(_query_of, dependant.dependencies))


_UNION_TAGS = frozenset({"str", "float"})
"""Pydantic tells by them which type of a field that takes several was tried."""

CHECKED = [Depends(check_request)]
TheHub = Annotated[Hub, Depends(hub_of)]
Who = Annotated[Principal, Depends(principal_of)]
Stream = Annotated[StreamEntry, Depends(stream_of)]
Limit = Annotated[int, Query(ge=1, le=1000)]
_TimeText = Annotated[str, WithJsonSchema(TIME_IN_ADDRESS)]
Since = Annotated[_TimeText | None, Query()]
Until = Annotated[_TimeText | None, Query(description="like since; the range is [since, until)")]

ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorReply, "description": "an error, see `code`"}
    for status in (400, 401, 403, 404, 405, 409, 413, 429, 500, 503, 504, 507)
}


def error_response(error: RequestError) -> JSONResponse:
    """The error object with its status."""
    headers = {} if error.retry_after_s is None else {"Retry-After": str(error.retry_after_s)}
    return JSONResponse({"error": error_body(error.fault).model_dump()}, error.status, headers)


def install_errors(app: FastAPI) -> None:
    """Every error that leaves a route has the shape of ours; those of websockets are the guard's to tell."""
    app.add_exception_handler(HTTPException, _framework_error)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(RequestError, _our_error)
    app.add_exception_handler(Exception, _our_error)


def _our_error(request: HTTPConnection, error: Exception) -> JSONResponse:
    if request.scope["type"] == "websocket":
        raise error
    if not isinstance(error, RequestError):
        error = internal_error()
    return error_response(error)


def _framework_error(request: HTTPConnection, error: Exception) -> JSONResponse:
    status, headers = (error.status_code, error.headers) if isinstance(error, HTTPException) else (500, None)
    code, message = _FRAMEWORK.get(status, ("invalid_json", "the body is not JSON"))
    response = error_response(RequestError(code, message))
    if status == 405 and (methods := _methods_at(request)):
        response.headers["Allow"] = ", ".join(sorted(methods))
    elif headers and "Allow" in headers:
        response.headers["Allow"] = headers["Allow"]
    return response


def _methods_at(request: HTTPConnection) -> set[str]:
    """All methods of an address; the framework itself names those of the first route that it found.

    What is an address by name, such as `search`, is no event of that name.
    """
    path = request.scope["path"]
    found = {
        template: methods for template, methods in request.app.openapi()["paths"].items() if _is_of(path, template)
    }
    named = min((template.count("{") for template in found), default=0)
    return {method.upper() for template in found if template.count("{") == named for method in found[template]}


def _is_of(path: str, template: str) -> bool:
    return re.fullmatch(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(template)), path) is not None


def _invalid_request(request: HTTPConnection, error: Exception) -> JSONResponse:
    found = error.errors() if isinstance(error, RequestValidationError) else []
    return error_response(explain_invalid(list(found)))


def explain_invalid(errors: list[Any]) -> RequestError:
    """Pydantic's errors as one of ours: the first, unknown fields before all; never what was sent."""
    if not errors:
        return RequestError("invalid_field", "the request is not valid")
    first = next((one for one in errors if one["type"] == "extra_forbidden"), errors[0])
    where = [str(part) for part in first["loc"] if part not in ("body", "query", "path", "header")]
    if len(where) > 1 and where[-1] in _UNION_TAGS and first["type"] != "extra_forbidden":
        where.pop()
    if first["type"] in ("json_invalid", "json_type"):
        return RequestError("invalid_json", "the body is not JSON")
    if not where and (first["type"] == "missing" or isinstance(first.get("input"), bytes)):
        # Bytes: the body has not been read as JSON, since its type does not say that it is.
        return RequestError("invalid_json", "send a JSON object as the body, with Content-Type: application/json")
    param = ".".join(where) or None
    if first["type"] == "extra_forbidden":
        return RequestError("invalid_field", f"there is no field {param}: leave it out", param)
    said = first["msg"].removeprefix("Value error, ")
    return RequestError("invalid_field", f"{param or 'the body'}: {said}", param)
