"""kill -9 of the parent, or of its process group: no process and no shared memory stays behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.alone

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[2]

PARENT = """
import asyncio, sys, tempfile, importlib.util
from pathlib import Path
spec = importlib.util.spec_from_file_location("ipc_helpers", sys.argv[1])
helpers = importlib.util.module_from_spec(spec)
sys.modules["ipc_helpers"] = helpers
spec.loader.exec_module(helpers)
from server.ipc.supervisor import StageHost

async def main():
    host = StageHost(helpers.configs(Path(sys.argv[2])), helpers.Recorder(), command=helpers.stub_command)
    await host.start()
    print(*(status.pid for status in host.status().values()), flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


def start_parent(folder: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", PARENT, str(HERE / "conftest.py"), str(folder)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_gone(pids: list[int], is_alive: Callable[[int], bool], patience_s: float = 2.0) -> None:
    deadline = time.monotonic() + patience_s
    while any(is_alive(pid) for pid in pids):
        assert time.monotonic() < deadline, "a child outlived its parent"
        time.sleep(0.01)


@pytest.mark.parametrize("whom", ["parent", "group", "stopped parent"])
def test_nothing_is_left_after_kill_9(tmp_path: Path, whom: str, is_alive: Any) -> None:
    before = os.listdir("/dev/shm")
    with start_parent(tmp_path) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 3
        assert all(is_alive(pid) for pid in pids)
        assert {os.getpgid(pid) for pid in pids} == {parent.pid}
        match whom:
            case "group":
                os.killpg(parent.pid, signal.SIGKILL)
            case "stopped parent":
                parent.send_signal(signal.SIGSTOP)
                parent.kill()
            case _:
                parent.kill()
        parent.wait(10)
        wait_gone(pids, is_alive)
    assert os.listdir("/dev/shm") == before


def test_a_child_whose_parent_is_gone_already_leaves_at_once() -> None:
    """The parent died between fork and prctl: getppid tells."""
    code = f"from server.ipc.runtime import die_with_parent; die_with_parent({os.getpid()} + 1)"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, timeout=20, check=False)
    assert done.returncode == 1


def test_the_parent_loads_no_model_library() -> None:
    code = (
        "import sys, server.ipc.supervisor; sys.exit(bool({'torch', 'av', 'transformers', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, timeout=60, check=False).returncode == 0
