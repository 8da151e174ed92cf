"""The page at `/`: files of `clients/web`, read once, served under a strict content security policy."""

from pathlib import Path
from typing import Final, NamedTuple

from fastapi import APIRouter, Request
from fastapi.responses import Response

from server.errors import RequestError

FOLDER: Final = Path(__file__).resolve().parents[2] / "clients" / "web"

_KINDS: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}
"""What is served, by the end of its name; other files of the folder are not."""

POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "font-src 'self'",
        # Evidence is fetched with the key in a header, and shown from memory.
        "img-src 'self' blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        # The one policy that there may be makes the address of a worker.
        "require-trusted-types-for 'script'",
        "trusted-types omnilive",
    )
)
_HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "Permissions-Policy": "camera=(self), microphone=(self), display-capture=(self), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

router = APIRouter(include_in_schema=False)


class Asset(NamedTuple):
    """A file of the page."""

    content: bytes
    kind: str


def read_page(folder: Path = FOLDER) -> dict[str, Asset]:
    """Every file of the page by its name; the folder is flat."""
    files = sorted(path for path in folder.iterdir() if path.suffix in _KINDS)
    return {path.name: Asset(path.read_bytes(), _KINDS[path.suffix]) for path in files}


@router.api_route("/", methods=["GET", "HEAD"])
async def page(request: Request) -> Response:
    """The document."""
    return _serve(request, "index.html")


@router.api_route("/assets/{name}", methods=["GET", "HEAD"])
async def asset(request: Request, name: str) -> Response:
    """What the document asks for."""
    return _serve(request, name)


def _serve(request: Request, name: str) -> Response:
    assets: dict[str, Asset] = request.app.state.page
    found = assets.get(name)
    if found is None:
        raise RequestError("not_found", "the page has no such file")
    return Response(found.content, media_type=found.kind, headers=_HEADERS)
