"""The server about itself: what it is, whether it lives, whether it is ready, its metrics."""

import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from server.doors.replies import CHECKED, ERRORS, TheHub, Who
from server.errors import RequestError
from server.keys import DEFAULT_TENANT
from server.metrics import CONTENT_TYPE, label_of
from server.protocol import LiveReply, ProcessView, ReadyReply, ServerReply
from server.views import lag_ms

router = APIRouter(tags=["server"], responses={status: ERRORS[status] for status in (400, 403, 405, 413, 503)})
_GUARDED: dict[int | str, dict[str, Any]] = {status: ERRORS[status] for status in (401, 404, 429, 500)}


def server_version() -> str:
    """As installed."""
    try:
        return version("omnilive")
    except PackageNotFoundError:
        return "0+uninstalled"


def _operator_only(who: Who) -> None:
    if who.tenant != DEFAULT_TENANT:
        raise RequestError("forbidden", "this is for the server's operator")


@router.get("/livez")
async def livez() -> LiveReply:
    """200 while the server's loop turns."""
    return LiveReply()


@router.get("/readyz", response_model=ReadyReply, responses={503: {"model": ReadyReply}})
async def readyz(hub: TheHub) -> Response:
    """200 when every stage takes work."""
    stages = {str(name): state for name, state in hub.stage_states().items()}
    ready = bool(stages) and all(state == "ready" for state in stages.values()) and not hub.core.draining
    reply = ReadyReply(status="ready" if ready else "not_ready", stages=stages)
    return JSONResponse(reply.model_dump(), 200 if ready else 503, {} if ready else {"Retry-After": "2"})


@router.get("/metrics", response_class=PlainTextResponse, responses=_GUARDED)
async def metrics(hub: TheHub, who: Who) -> Response:
    """In Prometheus's text format."""
    _operator_only(who)
    numbers = hub.core.metrics
    numbers.set_stages({str(name): status for name, status in hub.core.host.status().items()})
    numbers.set_states(entry.state for entry in hub.registry)
    for entry in hub.registry:
        numbers.set_live(entry.key, entry.kind, entry.state in ("live", "frozen"))
        numbers.lag.labels(label_of(entry.key)).set((lag_ms(entry, hub.core.clocks) or 0) / 1000)
    return Response(numbers.text(), media_type=CONTENT_TYPE)


@router.get("/v1/server", dependencies=CHECKED, responses=_GUARDED)
async def server(hub: TheHub, who: Who) -> ServerReply:
    """Version, processes and limits."""
    _operator_only(who)
    config = hub.core.config
    return ServerReply(
        version=server_version(),
        pid=os.getpid(),
        model=_model_name(config.model),
        encoder=_model_name(config.encoder),
        decoding=hub.core.decoding,
        uptime_s=round((hub.core.clocks.monotonic_us() - hub.started_us) / 1e6, 3),
        processes={
            str(name): ProcessView(
                pid=status.pid,
                state=status.state,
                restarts=status.restarts,
                rss_bytes=status.rss_bytes,
                progress_age_ms=status.progress_age_ms,
            )
            for name, status in hub.core.host.status().items()
        },
        limits=config.limits.model_dump(),
    )


def _model_name(spec: str) -> str:
    """What works, without a path: a folder's last part, a hub id, an address, or that it is the embedded model."""
    return Path(spec).name if os.sep in spec and Path(spec).is_dir() else spec
