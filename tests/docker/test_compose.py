"""The compose file and what it mounts: by the book, and with nothing in it that is not there."""

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from server.settings import check_config

DOCKER = Path(__file__).resolve().parents[2] / "docker"
COMPOSE = DOCKER / "compose.yaml"


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = compose()["services"]
    return found


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return loaded


@pytest.mark.skipif(find_spec("check_jsonschema") is None, reason="needs check-jsonschema")
def test_it_is_a_compose_file() -> None:
    checking = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE)]
    done = subprocess.run(checking, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_images_are_built_here_or_pinned(services: dict[str, Any]) -> None:
    for name, service in services.items():
        build = service.get("build")
        if build is None:
            assert re.fullmatch(r".+:.+@sha256:[0-9a-f]{64}", service["image"]), name
        else:
            assert (DOCKER / build["context"] / build["dockerfile"]).is_file(), name


def test_what_is_mounted_is_there(services: dict[str, Any]) -> None:
    volumes = set(compose()["volumes"])
    for service in services.values():
        for source in (one.split(":")[0] for one in service.get("volumes", [])):
            assert source in volumes or (DOCKER / source).is_file(), source
        assert set(service.get("depends_on", {})) <= set(services)


def test_every_service_may_do_little(services: dict[str, Any]) -> None:
    for service in services.values():
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    assert services["server"]["stop_grace_period"] == "40s"


def test_the_configuration_of_the_server_fits_the_services(services: dict[str, Any]) -> None:
    config = check_config(DOCKER / "omnilive.toml")
    assert config.security.hosts == ["server"]
    assert [str(one.source.url) for one in config.streams] == ["rtsp://camera:8554/live"]
    assert "--host 0.0.0.0" in " ".join(services["camera"]["entrypoint"])


def test_prometheus_looks_where_its_key_is_written(services: dict[str, Any]) -> None:
    [job] = yaml.safe_load((DOCKER / "prometheus.yml").read_text())["scrape_configs"]
    assert job["authorization"]["credentials_file"] == "/keys/prometheus"
    assert "mv /keys/new /keys/prometheus" in services["prometheus-key"]["command"][0]
    assert job["static_configs"] == [{"targets": ["server:8000"]}]
    user = re.search(r"^USER (\d+):", (DOCKER / "Dockerfile").read_text(), re.MULTILINE)
    assert user is not None
    assert services["prometheus"]["group_add"] == [user[1]]
