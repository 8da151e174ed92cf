"""TLS from certificate files: two files in, a context for the doors out, or a StartError that says what is wrong."""

import logging
import os
import ssl
import time
from pathlib import Path
from typing import Final

from server.errors import StartError

log = logging.getLogger(__name__)

SOON_S: Final = 14 * 24 * 3600
"""A certificate that ends so soon is worth a word at the start."""


def server_context(cert: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """TLS 1.2 or later with this certificate (its chain behind it) and its key; None where none is configured.

    Raises StartError config_invalid. A certificate that clients will refuse for its dates is warned about, not refused:
    the clock may be what is wrong.
    """
    if cert is None and key is None:
        return None
    if cert is None or key is None:
        raise _refuse("tls.cert" if cert is None else "tls.key", "is missing: certificate and key are given together")
    chain = _certificates(cert)
    _check_key(key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    try:
        # The password is never asked for: nobody sits at the terminal of a server.
        context.load_cert_chain(cert, key, password=b"")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise _refuse("tls.key", f"{key} does not belong to the certificate {cert}: name its own key") from None
        raise _refuse("tls.key", f"{key} and {cert} are no pair that can be used ({_reason(error)})") from None
    _warn_of_dates(context, chain)
    return context


class Certificate:
    """The pair that a running server shows: renewed beside it, new connections get the new one."""

    def __init__(self, cert: Path | None, key: Path | None) -> None:
        """Raises StartError: see `server_context`."""
        self._pair = (cert, key)
        self._version = self._look()
        self.context = server_context(cert, key)

    def refresh(self) -> None:
        """Look whether the files have changed. What would refuse a start leaves the old pair in its place."""
        cert, key = self._pair
        if self.context is None or cert is None or (version := self._look()) == self._version:
            return
        self._version = version
        try:
            server_context(cert, key)
            self.context.load_cert_chain(cert, key, password=b"")
        except (StartError, OSError) as error:
            log.error("the TLS certificate stays as it was: %s", error)
            return
        log.info("the TLS certificate was renewed")

    def _look(self) -> list[tuple[int, int, int]]:
        """Something that changes with the files."""
        found = []
        for file in self._pair:
            try:
                stat = os.stat(file) if file is not None else None
            except OSError:
                stat = None
            found.append((stat.st_mtime_ns, stat.st_size, stat.st_ino) if stat is not None else (0, 0, 0))
        return found


def _certificates(file: Path) -> str:
    """The file's text, known to begin with a certificate. Raises StartError."""
    try:
        text = _read(file, "tls.cert")
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text)
    except (ssl.SSLError, ValueError):
        raise _refuse("tls.cert", f"{file} holds no certificate in PEM form") from None
    return text


def _check_key(file: Path) -> None:
    text = _read(file, "tls.key")
    if "ENCRYPTED" in text:
        raise _refuse("tls.key", f"{file} is encrypted: a server can be asked no passphrase, store it without one")
    if "PRIVATE KEY-----" not in text:
        raise _refuse("tls.key", f"{file} holds no private key in PEM form")


def _read(file: Path, setting: str) -> str:
    """Raises StartError where it cannot be read."""
    try:
        return file.read_bytes().decode("ascii")
    except OSError as error:
        raise _refuse(setting, f"{file} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise _refuse(setting, f"{file} is not in PEM form") from None


def _refuse(setting: str, what: str) -> StartError:
    return StartError("config_invalid", f"{setting}: {what}")


def _reason(error: ssl.SSLError) -> str:
    return (error.reason or "unknown reason").lower().replace("_", " ")


def _warn_of_dates(context: ssl.SSLContext, chain: str) -> None:
    """Shake hands with ourselves, in memory, as a client that trusts exactly this certificate."""
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname = False
    trusting.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    trusting.load_verify_locations(cadata=chain)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting.wrap_bio(to_client, to_server)
    server = context.wrap_bio(to_server, to_client, server_side=True)
    try:
        for _ in range(4):
            for side in (client, server):
                try:
                    side.do_handshake()
                except ssl.SSLWantReadError:
                    continue
    except ssl.SSLCertVerificationError as error:
        log.warning("clients will refuse the TLS certificate: %s", error.verify_message)
        return
    except ssl.SSLError as error:
        log.warning("the TLS certificate may be of no use: %s", _reason(error))
        return
    left_s = ssl.cert_time_to_seconds(str((client.getpeercert() or {})["notAfter"])) - time.time()
    if left_s < SOON_S:
        log.warning("the TLS certificate ends in %.1f days: renew it", left_s / 86_400)
