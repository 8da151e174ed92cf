"""The application: every route behind the guard."""

from fastapi import FastAPI, WebSocket

from server.doors import events, live, page, questions, streams, system
from server.doors.describe import describe
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
    app.state.page = page.read_page()
    install_errors(app)
    for door in (page, system, streams, events, questions, live):
        app.include_router(door.router)
    app.add_api_websocket_route("/{path:path}", _no_such_socket)
    app.openapi = lambda: describe(app, keys)  # type: ignore[method-assign]
    return Guard(app, hub.core, keys)


async def _no_such_socket(socket: WebSocket, path: str) -> None:
    raise RequestError("not_found", "there is no websocket at this address")
