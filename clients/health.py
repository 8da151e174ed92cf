"""Asks the server on this machine whether it is ready: `python -m clients.health`; exit code 0 if so, else 1.

A container's health check runs it every few seconds, so it imports next to nothing and never waits long. It finds the
server by the settings of the environment: port, address and certificate that flags or a file name, it does not know.
"""

import http.client
import os
import ssl
import sys
from collections.abc import Mapping
from typing import Final

PATIENCE_S: Final = 3.0
_EVERYWHERE: Final = {"", "0.0.0.0", "::"}  # noqa: S104 - compared, not bound


def connection(env: Mapping[str, str]) -> http.client.HTTPConnection:
    """To the server that was started with this environment, not opened yet."""
    host = env.get("OMNILIVE_HOST", "127.0.0.1").strip("[]")
    if host in _EVERYWHERE:
        host = "::1" if host == "::" else "127.0.0.1"
    port = env.get("OMNILIVE_PORT", "8000")
    if "://" in port:
        # Kubernetes says so where a service named omnilive is; the server takes it for no setting either.
        port = "8000"
    if "OMNILIVE_TLS__CERT" not in env:
        return http.client.HTTPConnection(host, int(port), timeout=PATIENCE_S)
    # It asks itself: the certificate is for the names that others call it by.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(host, int(port), timeout=PATIENCE_S, context=context)


def main() -> int:
    """0 if the server is ready, else 1 and one line that says why."""
    try:
        asking = connection(os.environ)
        asking.request("GET", "/readyz")
        status, said = asking.getresponse().status, ""
    except (OSError, ValueError, http.client.HTTPException) as error:
        status, said = 0, str(error)
    if status == 200:
        return 0
    print(f"not ready: {status or said}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
