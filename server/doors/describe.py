"""The OpenAPI document: what the framework knows of the routes, and what the guard in front of them does."""

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from server.keys import Keys

_OPEN: Final = frozenset({"/livez", "/readyz"})
_KEY: Final = {
    "type": "http",
    "scheme": "bearer",
    "description": "`omnilive keys create NAME` makes one. A server without keys, on loopback, is open.",
}


def describe(app: FastAPI, keys: Keys) -> dict[str, Any]:
    """The document of this server as it is: it asks for a key where the server does."""
    if app.openapi_schema is None:
        app.openapi_schema = _routes(app)
    if not keys.required:
        return app.openapi_schema
    document = {**app.openapi_schema, "security": [{"key": []}]}
    document["components"] = {**document.get("components", {}), "securitySchemes": {"key": _KEY}}
    return document


def _routes(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    for path, operations in document["paths"].items():
        for operation in operations.values():
            # Validation is answered with 400 here.
            operation["responses"].pop("422", None)
            _errors_are_json(operation["responses"])
            if path in _OPEN:
                operation["security"] = []
    for unused in ("HTTPValidationError", "ValidationError"):
        document.get("components", {}).get("schemas", {}).pop(unused, None)
    return document


def _errors_are_json(responses: dict[str, Any]) -> None:
    """Whatever a route answers with, its errors are the error object."""
    for status, response in responses.items():
        if status >= "400" and response.get("content"):
            response["content"] = {"application/json": next(iter(response["content"].values()))}
