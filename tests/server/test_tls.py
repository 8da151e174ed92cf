"""Certificate files: what makes a context, and what is refused in words that say what to do."""

import contextlib
import logging
import os
import shutil
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from server.errors import StartError
from server.tls import Certificate, server_context

MakePair = Callable[..., Any]


@pytest.fixture(scope="module")
def pair(make_pair: MakePair) -> Any:
    return make_pair()


def refused(cert: Path | None, key: Path | None) -> str:
    with pytest.raises(StartError) as caught:
        server_context(cert, key)
    assert caught.value.code == "config_invalid"
    return caught.value.message


def test_without_files_there_is_no_tls() -> None:
    assert server_context(None, None) is None


def test_a_pair_gives_tls_of_our_days(pair: Any, caplog: pytest.LogCaptureFixture) -> None:
    context = server_context(pair.cert, pair.key)
    assert context is not None
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert caplog.records == []


def test_both_files_are_given_or_none(pair: Any) -> None:
    assert refused(pair.cert, None).startswith("tls.key: is missing")
    assert refused(None, pair.key).startswith("tls.cert: is missing")


def test_files_that_are_not_there(pair: Any, tmp_path: Path) -> None:
    assert "tls.cert" in refused(tmp_path / "absent.pem", pair.key)
    assert "cannot be read" in refused(pair.cert, tmp_path / "absent.pem")
    assert "Is a directory" in refused(tmp_path, pair.key)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_files_that_may_not_be_read(pair: Any, make_pair: MakePair) -> None:
    secret = make_pair()
    secret.key.chmod(0)
    assert "Permission denied" in refused(secret.cert, secret.key)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x30\x82\xff", "ß".encode()])
def test_files_that_are_none(pair: Any, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    assert refused(file, pair.key).startswith("tls.cert: ")
    assert refused(pair.cert, file).startswith("tls.key: ")


def test_damaged_and_swapped_files(pair: Any, tmp_path: Path) -> None:
    assert "holds no certificate" in refused(pair.key, pair.cert)
    assert "holds no private key" in refused(pair.cert, pair.cert)
    for number, file in enumerate((pair.cert, pair.key)):
        lines = file.read_text().splitlines(keepends=True)
        damaged = tmp_path / file.name
        damaged.write_text("".join([lines[0], lines[1][::-1], *lines[2:]]))
        chosen = [pair.cert, pair.key]
        chosen[number] = damaged
        assert refused(*chosen).startswith(("tls.cert: ", "tls.key: ")[number])


def test_the_key_of_another_certificate(pair: Any, make_pair: MakePair) -> None:
    assert "does not belong" in refused(pair.cert, make_pair().key)


def test_a_key_with_a_passphrase_is_not_asked_for_it(make_pair: MakePair) -> None:
    hidden = make_pair(password=b"secret")
    assert "encrypted" in refused(hidden.cert, hidden.key)


@pytest.mark.parametrize(
    ("starts_d", "ends_d", "word"), [(-9, -1, "expired"), (1, 90, "not yet valid"), (-1, 3, "ends in 3.0 days")]
)
def test_dates_are_warned_about(
    make_pair: MakePair, caplog: pytest.LogCaptureFixture, starts_d: float, ends_d: float, word: str
) -> None:
    old = make_pair(starts_d, ends_d)
    with caplog.at_level(logging.WARNING, logger="server.tls"):
        assert server_context(old.cert, old.key) is not None
    assert [word in record.getMessage() for record in caplog.records] == [True], caplog.text


def shown(context: ssl.SSLContext) -> bytes:
    """The certificate that a client gets."""
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client, server = trusting.wrap_bio(back, there), context.wrap_bio(there, back, server_side=True)
    for side in (client, server, client, server):
        with contextlib.suppress(ssl.SSLWantReadError):
            side.do_handshake()
    return client.getpeercert(binary_form=True) or b""


def test_a_renewed_pair_is_taken_over(make_pair: MakePair, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    old, new = make_pair(), make_pair()
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    shutil.copy(old.cert, cert)
    shutil.copy(old.key, key)
    certificate = Certificate(cert, key)
    context = certificate.context
    assert context is not None
    first = shown(context)
    certificate.refresh()
    with caplog.at_level(logging.INFO, logger="server.tls"):
        shutil.copy(new.cert, cert)
        certificate.refresh()
        assert shown(context) == first, "half of a pair is none"
        shutil.copy(new.key, key)
        certificate.refresh()
        assert shown(context) == ssl.PEM_cert_to_DER_cert(new.cert.read_text()) != first
        cert.unlink()
        certificate.refresh()
    assert shown(context) == ssl.PEM_cert_to_DER_cert(new.cert.read_text())
    assert [one.levelname for one in caplog.records] == ["ERROR", "INFO", "ERROR"]
