"""Where a figure was measured: the machine, the versions, the commit. All of it goes into a benchmark's last line."""

import os
import platform
import shutil
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def hardware() -> dict[str, Any]:
    """CPU, cores that may be used, memory in GiB, bf16 support, GPU (None without one), Python and torch."""
    info = _cpu_info()
    flags = info.get("flags", "").split()
    return {
        "cpu": info.get("model name") or platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": _memory_gib(),
        "avx512_bf16": "avx512_bf16" in flags,
        "amx_bf16": "amx_bf16" in flags,
        "gpu": gpu_name(),
        "os": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "torch": version_of("torch"),
    }


def version_of(distribution: str) -> str | None:
    """The installed version, without importing it."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def has_cuda() -> bool:
    """Whether torch can use a GPU here; torch is imported only on a machine that seems to have one."""
    if not (shutil.which("nvidia-smi") or Path("/dev/nvidiactl").exists()):
        return False
    import torch

    return torch.cuda.is_available()


def gpu_name() -> str | None:
    """The first GPU's name, None without one."""
    if not has_cuda():
        return None
    import torch

    return str(torch.cuda.get_device_name(0))


def commit(root: Path = ROOT) -> str:
    """The commit that runs, marked `-dirty` with uncommitted changes; outside a checkout the installed version."""
    top = _git(root, "rev-parse", "--show-toplevel")
    head = _git(root, "rev-parse", "HEAD")
    if top is None or head is None or Path(top).resolve() != root.resolve():
        version = version_of("omnilive")
        return f"version {version}" if version else "unknown"
    return f"{head}-dirty" if _git(root, "status", "--porcelain", "--untracked-files=no") else head


def _git(root: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _cpu_info() -> dict[str, str]:
    """The first processor's entry of /proc/cpuinfo."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return {}
    lines = (line.partition(":") for line in text.split("\n\n", 1)[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in lines}


def _memory_gib() -> float:
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return round(pages * size / 2**30, 1)
