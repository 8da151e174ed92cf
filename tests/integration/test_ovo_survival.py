"""A server that dies in the middle of a run, and comes back: the run waits, goes on, and asks nothing twice."""

import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from evaluation.oracle.server import OracleServer
from evaluation.ovo.asking import Settings
from evaluation.ovo.journal import NAME, read_entries
from evaluation.ovo.run import Job, run
from evaluation.ovo.synthetic.files import make_set
from evaluation.ovo.through import part_of


@pytest.mark.timeout(900)
def test_a_run_goes_on_where_the_server_died(tmp_path: Path, launch: Any, until: Any) -> None:
    made = part_of(make_set(tmp_path / "set", seed=12, pairs=1), lambda query: query.video == "films/0000.mp4")
    queries, out = len(made.annotations.queries), tmp_path / "out"
    journal = out / NAME
    said: list[str] = []
    with OracleServer() as oracle:
        server = launch("--model", oracle.url, data=tmp_path / "data")
        port = server.url.rpartition(":")[2]

        job = Job(made.annotations, made.folder, out, Settings("onepass", "exact", 16, 1.0), server.url, "oracle")
        with ThreadPoolExecutor(1) as runner:
            running = runner.submit(run, job, said.append)
            until(lambda: running.done() or (journal.exists() and journal.read_bytes().count(b"\n") > 12), 300)
            server.signal(signal.SIGKILL)
            server.wait()
            # From this thread: a server ends with the thread that started it.
            launch("--model", oracle.url, "--port", port, data=tmp_path / "data")
            ended = running.result()
        heard = Counter(one.question for one in oracle.heard())
    assert ended.nulls == {}
    assert any("waiting for the server" in line for line in said)
    assert journal.read_bytes().count(b"\n") == queries + 1
    assert all(entry["response"] is not None for entry in read_entries(out)[1])
    # The one that was under way when the server died may have been heard twice: its first answer never came.
    posed = Counter(query.prompt for query in made.annotations.queries)
    assert sum((heard - posed).values()) <= 1
