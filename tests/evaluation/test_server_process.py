"""A server is waited for, watched and always taken down, whatever it does."""

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from evaluation import server_process
from evaluation.hardware import ROOT
from evaluation.server_process import ServerFailed, ServerProcess
from evaluation.wait import TookTooLong, until

FAKE = {
    "ready": """
        def end(*_):
            # A second signal must not wait for a child that is waited for already.
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            child.kill()
            child.wait()
            sys.exit(0)

        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        signal.signal(signal.SIGTERM, end)
        print("ready http://127.0.0.1:1", flush=True)
        while True: signal.pause()
    """,
    "stubborn": """
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        print("ready http://127.0.0.1:1", flush=True)
        while True: signal.pause()
    """,
    "refuses": """
        print("omnilive: error[port_in_use]: choose another port", file=sys.stderr)
        sys.exit(2)
    """,
    "silent": "signal.pause()",
}


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package `clients.cli.main` in place of the real one; the environment says which server above it plays."""
    package = tmp_path / "clients" / "cli"
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").touch()
    (tmp_path / "evaluation").symlink_to(ROOT / "evaluation")
    body = "import os, signal, subprocess, sys\nPLAYS = " + repr({k: textwrap.dedent(v) for k, v in FAKE.items()})
    (package / "main.py").write_text(body + "\nexec(PLAYS[os.environ['PLAY']])\n")
    monkeypatch.setattr(server_process, "ROOT", tmp_path)
    return tmp_path


def gone(processes: list[psutil.Process]) -> bool:
    return not psutil.wait_procs(processes, timeout=10)[1]


def test_ready_stop_and_nothing_left(fake: Path) -> None:
    with ServerProcess(environment={"PLAY": "ready"}) as server:
        assert server.url == "http://127.0.0.1:1"
        assert server.videos.is_dir()
        family = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
        assert len(family) == 2
        folder = server.videos
        assert server.stop() < 5
        assert gone(family)
    assert not folder.exists()


def test_a_server_that_will_not_stop_is_killed_with_its_children(fake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_process, "CLOSE_S", 0.3)
    with ServerProcess(environment={"PLAY": "stubborn"}) as server:
        family = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
        with pytest.raises(ServerFailed, match="not stopped"):
            server.stop(patience_s=0.3)
    assert gone(family)


def test_a_stopped_child_does_not_outlive_it(fake: Path) -> None:
    with ServerProcess(environment={"PLAY": "ready"}) as server:
        (child,) = psutil.Process(server.pid).children()
        child.suspend()
    assert gone([child])


def test_a_refusal_is_told_in_its_own_words(fake: Path) -> None:
    with (
        pytest.raises(ServerFailed, match=r"status 2.*choose another port"),
        ServerProcess(environment={"PLAY": "refuses"}),
    ):
        pytest.fail("it never starts")


def test_patience_ends(fake: Path) -> None:
    with pytest.raises(ServerFailed, match="not ready"), ServerProcess(environment={"PLAY": "silent"}, ready_s=0.5):
        pytest.fail("it never starts")


def test_it_ends_with_whoever_started_it(fake: Path, tmp_path: Path) -> None:
    """Killing the benchmark outright leaves no server: the tether pulls it down."""
    script = textwrap.dedent("""
        import os, signal, sys
        from pathlib import Path
        from evaluation import server_process
        server_process.ROOT = Path(sys.argv[1])
        server = server_process.ServerProcess(environment={"PLAY": "ready"})
        server.start()
        print(server.pid, server.videos.parent, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """)
    run = subprocess.run(
        [sys.executable, "-c", script, str(fake)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)},
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    pid = int(run.stdout.split()[0])
    until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE, 30, "it ends")


def test_waiting_names_what_it_waited_for() -> None:
    began = time.monotonic()
    assert until(lambda: 0, 1, "zero is something") == 0
    with pytest.raises(TookTooLong, match="the bus"):
        until(lambda: None, 0.2, "the bus", every_s=0.05)
    assert time.monotonic() - began < 1
