"""The application: every route behind the guard."""

from typing import Any

from fastapi import FastAPI, WebSocket
from fastapi.openapi.utils import get_openapi

from server.doors import events, live, questions, streams, system
from server.doors.guard import Guard
from server.doors.replies import install_errors
from server.errors import RequestError
from server.hub import Hub
from server.keys import Keys

_ABOUT = "Watches live video, remembers it, and answers questions with the moments that prove the answer."


def create_app(hub: Hub, keys: Keys) -> Guard:
    """All doors of a hub. keys: what opens them."""
    app = FastAPI(
        title="OmniLive", version=system.server_version(), description=_ABOUT, redoc_url=None, redirect_slashes=False
    )
    app.state.hub = hub
    install_errors(app)
    for router in (system.router, streams.router, events.router, questions.router, live.router):
        app.include_router(router)
    app.add_api_websocket_route("/{path:path}", _no_such_socket)
    app.openapi = lambda: _describe(app)  # type: ignore[method-assign]
    return Guard(app, hub.core, keys)


async def _no_such_socket(socket: WebSocket, path: str) -> None:
    raise RequestError("not_found", "there is no websocket at this address")


def _describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document. Validation is answered with 400 here, so the framework's 422 goes."""
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        for path in schema["paths"].values():
            for operation in path.values():
                operation["responses"].pop("422", None)
        for unused in ("HTTPValidationError", "ValidationError"):
            schema.get("components", {}).get("schemas", {}).pop(unused, None)
        app.openapi_schema = schema
    return app.openapi_schema
