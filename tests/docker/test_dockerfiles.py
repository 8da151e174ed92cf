"""The Dockerfiles and what they are built from: linted, pinned, and in step with pyproject.toml."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILES = ["docker/Dockerfile", "docker/Dockerfile.gpu"]
LOCKS = {"cpu": "docker/requirements-cpu.txt", "gpu": "docker/requirements-gpu.txt"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
UNHEALTHY_S = 40

dockerfiles = pytest.mark.parametrize("file", DOCKERFILES)


def text(file: str) -> str:
    return (ROOT / file).read_text()


def locked(extra: str) -> dict[str, str]:
    """Package to version, as the image of this kind installs it."""
    return dict(re.findall(r"^([a-z0-9-]+)==([^ \\]+)", text(LOCKS[extra]), re.MULTILINE))


@dockerfiles
def test_the_linter_finds_nothing(file: str) -> None:
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("needs hadolint")
    done = subprocess.run([hadolint, file], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_base_is_pinned_and_the_same() -> None:
    bases = {re.search(r"^ARG BASE=(.+)$", text(file), re.MULTILINE)[1] for file in DOCKERFILES}  # type: ignore[index]
    assert len(bases) == 1
    assert re.fullmatch(r"[a-z0-9./-]+:[a-z0-9.-]+@sha256:[0-9a-f]{64}", bases.pop())


@dockerfiles
def test_an_image_runs_as_nobody_and_under_an_init(file: str) -> None:
    last = text(file).rpartition("\nFROM ")[2]
    assert re.search(r"^USER (\d+):\1$", last, re.MULTILINE)
    assert 'ENTRYPOINT ["tini", "--", "omnilive"]' in last
    assert "OMNILIVE_CREATE_KEY=true" in last
    assert "VOLUME /data" in last


@dockerfiles
def test_a_hanging_server_is_unhealthy_in_time(file: str) -> None:
    found = re.search(r"HEALTHCHECK --interval=(\d+)s --timeout=(\d+)s --retries=(\d+)", text(file))
    assert found is not None
    interval, timeout, retries = map(int, found.groups())
    assert retries * (interval + timeout) <= UNHEALTHY_S


def test_torch_has_the_range_of_the_project() -> None:
    command = re.search(r'"\$\((sed .+ pyproject\.toml)\)"', text("docker/Dockerfile"))
    assert command is not None
    found = subprocess.run(
        ["sh", "-c", command[1]], cwd=ROOT, capture_output=True, text=True, timeout=10
    ).stdout.strip()
    assert found in PROJECT["project"]["dependencies"]
    assert Requirement(found).name == "torch"


@pytest.mark.parametrize("extra", LOCKS)
def test_the_lock_file_is_what_the_project_asks_for(extra: str) -> None:
    wanted = [*PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"][extra]]
    wanted += PROJECT["build-system"]["requires"]
    versions = locked(extra)
    for requirement in map(Requirement, wanted):
        name = canonicalize_name(requirement.name)
        if (name, extra) == ("torch", "cpu"):
            continue
        assert name in versions, f"{name}: run docker/lock"
        assert requirement.specifier.contains(versions[name]), f"{name} {versions[name]}: run docker/lock"


@pytest.mark.parametrize("extra", LOCKS)
def test_every_package_has_its_hashes(extra: str) -> None:
    entries = re.split(r"\n(?=[a-z0-9])", text(LOCKS[extra]).strip())
    assert len(entries) > 50
    assert [one.splitlines()[0] for one in entries if "--hash=sha256:" not in one] == []


def test_cuda_is_in_the_image_for_gpus_alone() -> None:
    cuda = re.compile(r"torch|triton|(nvidia|cuda)-.+")
    assert [name for name in locked("cpu") if cuda.fullmatch(name)] == []
    assert {"torch", "faiss-gpu", "nvidia-cudnn-cu13"} <= set(locked("gpu"))


def test_the_images_get_the_project_and_nothing_else() -> None:
    let_in = set(re.findall(r"^!(.+)$", text(".dockerignore"), re.MULTILINE))
    packages = {one.rstrip("*") for one in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]}
    project = PROJECT["project"]
    files = {"pyproject.toml", project["readme"], *project["license-files"], "docker/build.in", *LOCKS.values()}
    assert let_in == packages | files
    assert text(".dockerignore").splitlines()[1] == "*"
