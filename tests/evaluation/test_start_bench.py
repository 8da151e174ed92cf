"""The benchmark `start` against a small server that speaks just enough of the public interface."""

from pathlib import Path

import pytest

from evaluation import server_process, start
from evaluation.clips import moving_video
from evaluation.hardware import ROOT
from evaluation.registry import BENCHES

SERVER = """
import json, os, signal, subprocess, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

children = [subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) for _ in range(3)]
encoded = 0

class Door(BaseHTTPRequestHandler):
    def do_GET(self):
        global encoded
        encoded += 4
        stages = {name: {"pid": child.pid} for name, child in zip(("perception", "memory", "reasoning"), children)}
        self.say({"/readyz": {"status": "ready"}, "/v1/server": {"pid": os.getpid(), "processes": stages}}.get(
            self.path, {"frames": {"encoded": encoded}}))

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        assert "question" in body or body["source"]["url"].startswith("file:///"), body
        self.say({"answer": "a stub"})

    def say(self, what):
        text = json.dumps(what).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass

server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
assert sys.argv[1:4] == ["serve", "--port", "0"], sys.argv
print(f"ready http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
for child in children:
    child.kill()
    child.wait()
"""


def test_start_measures_and_delivers_all_that_it_owes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "clients" / "cli"
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").touch()
    (package / "main.py").write_text(SERVER)
    (tmp_path / "evaluation").symlink_to(ROOT / "evaluation")
    monkeypatch.setattr(server_process, "ROOT", tmp_path)
    monkeypatch.setattr(start, "moving_video", lambda path, _seconds, fps: moving_video(path, 1, fps, (160, 96)))
    told: list[str] = []
    checks = start.run(full=False, progress=told.append)
    owed = [figure for part in BENCHES["start"].parts for figure in part.owes]
    assert [(check.id, check.unit, check.bar) for check in checks] == [(one.id, one.unit, one.bar) for one in owed]
    assert all(check.ok for check in checks), checks
    assert all(check.value is not None and check.value > 0 for check in checks)
    assert told[0] == "first start, not counted"
