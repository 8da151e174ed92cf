"""Runs benchmarks: a table for people, one JSON line each, and an exit status that says whether every bar holds."""

import argparse
import contextlib
import json as jsonlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NoReturn

from rich.console import Console

from evaluation import report
from evaluation.browser import has_browser
from evaluation.checks import Check
from evaluation.hardware import commit, hardware, has_cuda
from evaluation.registry import BENCHES, Bench, Part, Progress


def main(name: str, full: bool, json: bool, only: Sequence[str] = ()) -> int:
    """Run one benchmark, or `all`. json: nothing but the JSON lines on stdout. only: figures; of the benchmark the
    parts run that deliver them. Returns 0 if every bar holds, 1 if not, 2 for a name that there is none of."""
    if name == "all" and not only:
        return _run_all(full, json)
    bench = BENCHES.get(name)
    if bench is None:
        return _usage(f"no benchmark is called {name!r}; there are: {', '.join(BENCHES)}, all")
    figures = [figure.id for part in bench.parts for figure in part.owes]
    unknown = [one for one in only if one not in figures]
    if unknown:
        return _usage(f"{name} has no figure {unknown[0]!r}; there are: {', '.join(figures)}")
    if only:
        bench = replace(bench, parts=tuple(part for part in bench.parts if any(one.id in only for one in part.owes)))
    return _run_one(bench, full, json)


def _usage(text: str) -> int:
    _stderr().print(f"omnilive: error[usage]: {text}", markup=False, soft_wrap=True)
    return 2


def _run_one(bench: Bench, full: bool, json: bool) -> int:
    began = time.monotonic()
    with _terminated_cleanly(), _progress(bench.name) as progress:
        checks = [check for part in bench.parts for check in run_part(part, full, progress)]
    return _finish(bench, checks, time.monotonic() - began, json)


def run_part(part: Part, full: bool, progress: Progress) -> list[Check]:
    """Run one module; whatever goes wrong in it becomes failed checks with the reason."""
    try:
        checks = part.load().run(full, progress)
    except Exception as error:  # noqa: BLE001 - a benchmark that breaks is a failed figure, not a traceback
        reason = f"could not run: {type(error).__name__}: {error}"
        return report.not_run(part.owes, reason)
    return report.complete(checks, part.owes, "the benchmark did not deliver it")


def _run_all(full: bool, json: bool) -> int:
    """Each benchmark in a process of its own, so that none leaves anything behind for the next."""
    cuda = has_cuda()
    worst = 0
    for bench in BENCHES.values():
        if bench.needs_cuda and not cuda:
            _stderr().print(f"{bench.name}: left out, there is no CUDA device here")
            continue
        if bench.needs_browser and not has_browser():
            _stderr().print(f"{bench.name}: left out, there is no Chromium here, or no Playwright to drive it")
            continue
        worst = max(worst, _run_apart(bench, full, json))
    return worst


def _run_apart(bench: Bench, full: bool, json: bool) -> int:
    command = [sys.executable, "-m", "evaluation.bench", bench.name]
    command += ["--full"] * full + ["--json"] * json
    began = time.monotonic()
    limit_s = bench.limit_s[full]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            printed, _ = process.communicate(timeout=limit_s)
            reason = f"ended with status {process.returncode}"
        except subprocess.TimeoutExpired:
            printed, reason = _end(process), f"took longer than {limit_s} s"
        except BaseException:
            _end(process)
            raise
    if _is_last_line(printed, bench.name):
        sys.stdout.write(printed)
        sys.stdout.flush()
        return 0 if process.returncode == 0 else 1
    owed = [figure for part in bench.parts for figure in part.owes]
    return _finish(bench, report.not_run(owed, reason), time.monotonic() - began, json)


def _end(process: "subprocess.Popen[str]") -> str:
    """Ask a benchmark to end, so that it stops its server; kill it only if it does not."""
    process.terminate()
    try:
        return process.communicate(timeout=30)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        return process.communicate()[0]


def _is_last_line(printed: str, name: str) -> bool:
    try:
        record = jsonlib.loads(printed.rstrip().rpartition("\n")[2])
    except ValueError:
        return False
    return isinstance(record, dict) and record.get("bench") == name


def _finish(bench: Bench, checks: Sequence[Check], taken_s: float, json: bool) -> int:
    console = _stderr() if json else _console(stderr=False)
    report.show(console, bench.name, checks, taken_s)
    sys.stdout.write(report.line(bench.name, commit(), hardware(), checks) + "\n")
    sys.stdout.flush()
    return 0 if all(check.ok for check in checks) else 1


@contextlib.contextmanager
def _progress(name: str) -> Iterator[Progress]:
    """A line on stderr for each thing that is told; a spinner where stderr is a terminal."""
    console = _stderr()
    if not console.is_terminal:
        yield lambda text: console.print(f"{name}: {text}", markup=False, highlight=False)
        return
    with console.status(name) as status:
        yield lambda text: status.update(f"{name}: {text}")


@contextlib.contextmanager
def _terminated_cleanly() -> Iterator[None]:
    """Let SIGTERM unwind the stack, so that servers and scratch folders go."""

    def leave(_signal: int, _frame: object) -> NoReturn:
        raise SystemExit(1)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _stderr() -> Console:
    return _console(stderr=True)


def _console(stderr: bool) -> Console:
    """In a pipe or a log there is no terminal to ask for its width, and 80 columns would break every table."""
    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=160)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m evaluation.bench", description=__doc__)
    parser.add_argument("name", choices=[*BENCHES, "all"])
    parser.add_argument("--full", action="store_true", help="the long profile, whose figures must hold themselves")
    parser.add_argument("--only", action="append", default=[], help="run the parts that deliver this figure")
    parser.add_argument("--json", action="store_true", help="nothing but the JSON lines on stdout")
    return parser.parse_args()


if __name__ == "__main__":
    arguments = _arguments()
    sys.exit(main(arguments.name, arguments.full, arguments.json, arguments.only))
