"""What all tests share: markers for what a machine may lack, and a short video."""

import ipaddress
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the long forms too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("slow") and not config.getoption("--slow"):
            item.add_marker(pytest.mark.skip(reason="a long form: run by `make test-slow`"))
        if item.get_closest_marker("gpu") and not has_cuda():
            item.add_marker(pytest.mark.skip(reason="needs CUDA"))
        for marker in item.iter_markers("debian"):
            package = marker.args[0]
            if os.environ.get("CI") != "true" and not has_package(package):
                item.add_marker(pytest.mark.skip(reason=f"needs the Debian package {package}"))


def has_package(package: str) -> bool:
    try:
        return subprocess.run(["dpkg", "-s", package], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()


MakeClip = Callable[..., Path]


@pytest.fixture(scope="session")
def make_clip(tmp_path_factory: pytest.TempPathFactory) -> MakeClip:
    """Writes an H.264 file of shots that look different: `make_clip(shots=3, seconds=2.0, fps=10, size=(320, 180))`."""
    folder = tmp_path_factory.mktemp("clips")

    def make(shots: int = 3, seconds: float = 2.0, fps: int = 10, size: tuple[int, int] = (320, 180)) -> Path:
        path = folder / f"{shots}x{seconds}s-{fps}fps-{size[0]}x{size[1]}.mp4"
        if not path.exists():
            _write_clip(path, shots, round(seconds * fps), fps, size)
        return path

    return make


def _write_clip(path: Path, shots: int, frames: int, fps: int, size: tuple[int, int]) -> None:
    width, height = size
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "20", "preset": "veryfast", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for n in range(shots * frames):
            blocks = np.random.default_rng(n // frames).integers(20, 236, (6, 8, 3), dtype=np.uint8)
            picture = np.repeat(np.repeat(blocks, -(-height // 6), 0), -(-width // 8), 1)[:height, :width].copy()
            left = (n % frames) * 8 % max(1, width - 40)
            picture[height // 3 : height // 2, left : left + 40] = 255
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = n, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@dataclass(frozen=True)
class Pair:
    """A self-signed certificate and its key, as files."""

    cert: Path
    key: Path


MakePair = Callable[..., Pair]


@pytest.fixture(scope="session")
def make_pair(tmp_path_factory: pytest.TempPathFactory) -> MakePair:
    """Makes a certificate for 127.0.0.1 and localhost: `make_pair(starts_d=-1, ends_d=90, password=b"")`; days."""

    def make(starts_d: float = -1, ends_d: float = 90, password: bytes = b"") -> Pair:
        folder = tmp_path_factory.mktemp("tls")
        pair = Pair(folder / "cert.pem", folder / "key.pem")
        _write_pair(pair, datetime.now(UTC), timedelta(days=starts_d), timedelta(days=ends_d), password)
        return pair

    return make


def _write_pair(pair: Pair, now: datetime, starts: timedelta, ends: timedelta, password: bytes) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).add_extension(names, critical=False)
    cert = builder.not_valid_before(now + starts).not_valid_after(now + ends).sign(key, hashes.SHA256())
    pair.cert.write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8
    hidden = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    pair.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, hidden))
