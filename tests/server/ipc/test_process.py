"""What a stage's process finds in its environment, and what that is good for."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from server.ipc.messages import STAGES
from server.ipc.process import LEAN, SHARING

pytestmark = pytest.mark.alone

LENGTHS = """
import torch

def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096 / 2**20

torch.set_num_threads(1)
weights = [torch.zeros(out, 96, dtype=torch.bfloat16) for out in (48, 96, 192, 256)]
with torch.inference_mode():
    for length in range(100, 200):
        if length == 150:
            before = resident()
        for weight in weights:
            torch.nn.functional.linear(torch.zeros(length, 96, dtype=torch.bfloat16), weight)
print(resident() - before)
"""
"""Four products for each of a hundred lengths; how many MiB the second half of them leaves behind."""


def environment_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return dict(line.split("=", 1) for line in lines if line)


async def test_stages_keep_their_libraries_small(launch: Any) -> None:
    hosted = await launch()
    for stage in STAGES:
        assert LEAN.items() <= environment_of(hosted.pid(stage)).items()


async def test_perceptions_threads_leave_the_cores_to_who_decodes(launch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    hosted = await launch()
    found = {stage: environment_of(hosted.pid(stage)).get("OMP_WAIT_POLICY") for stage in STAGES}
    assert found == {stage: SHARING.get(stage, {}).get("OMP_WAIT_POLICY") for stage in STAGES}
    assert found["perception"] == "PASSIVE"


async def test_the_servers_own_environment_goes_before(launch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LRU_CACHE_CAPACITY", "77")
    hosted = await launch()
    assert environment_of(hosted.pid("reasoning"))["LRU_CACHE_CAPACITY"] == "77"


@pytest.mark.skipif(not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="products in bf16 are not oneDNN's here")
def test_ever_new_lengths_leave_little_behind() -> None:
    command = [sys.executable, "-c", LENGTHS]
    found = subprocess.run(command, env={**os.environ, **LEAN}, capture_output=True, text=True, check=True)
    # More than 100 without the bounds.
    assert float(found.stdout) < 25
