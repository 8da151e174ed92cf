"""Which benchmark lives where: name -> modules, imported on use, and the figures that each of them owes.

The ids stand here too, so that a module that cannot even be imported still counts as so many failed checks.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol, cast

from evaluation.checks import Check

Progress = Callable[[str], None]


class BenchModule(Protocol):
    """What a module of a benchmark offers."""

    def run(self, full: bool, progress: Progress) -> list[Check]:
        """Measure. full: the long profile. progress: told what goes on, for people."""


@dataclass(frozen=True)
class Owed:
    """A figure that a module must deliver."""

    id: str
    unit: str
    bar: str | None = None


@dataclass(frozen=True)
class Part:
    """A module and its figures."""

    module: str
    owes: tuple[Owed, ...]

    def load(self) -> BenchModule:
        """Import the module."""
        return cast(BenchModule, import_module(self.module))


@dataclass(frozen=True)
class Bench:
    """A benchmark: its parts run one after the other. limit_s: the most that its quick and full profile may take."""

    name: str
    about: str
    parts: tuple[Part, ...]
    limit_s: tuple[int, int] = (200, 1800)
    needs_cuda: bool = False
    needs_browser: bool = False


_SURE = ("colour", "shape", "place", "exist", "sign", "absent")

_ALL = (
    Bench(
        "ring",
        "the shared-memory queue between two processes",
        (
            Part(
                "evaluation.micro.ring",
                (
                    Owed("ring.latency_ratio", "ratio", "<= 1.3"),
                    Owed("ring.throughput_ratio", "ratio", ">= 10"),
                    Owed("ring.torn", "frames", "<= 0"),
                ),
            ),
        ),
    ),
    Bench(
        "ingest",
        "decoding and sampling, and what an idle camera costs",
        (
            Part(
                "evaluation.micro.ingest",
                (
                    Owed("ingest.rate_ratio", "ratio", ">= 0.9"),
                    Owed("ingest.cpu_ratio", "ratio"),
                    Owed("ingest.static_fps", "frames/s", "<= 0.1"),
                    Owed("ingest.new_object", "share", ">= 0.99"),
                ),
            ),
            Part("evaluation.camera_cpu", (Owed("ingest.idle_cpu", "% of a core"),)),
        ),
        limit_s=(400, 1800),
    ),
    Bench(
        "cameras",
        "twenty cameras at once, of which one dies",
        (
            Part(
                "evaluation.cameras",
                (
                    Owed("cameras.sampled_fps", "frames/s", ">= 0.5"),
                    Owed("cameras.evenness", "ratio", ">= 0.8"),
                    Owed("cameras.dead_change", "%", "<= 5"),
                ),
            ),
        ),
        limit_s=(400, 1200),
    ),
    Bench(
        "stall",
        "perception and memory go on while reasoning stands still",
        (
            Part(
                "evaluation.stall",
                (
                    Owed("stall.frames_lost", "frames", "<= 0"),
                    Owed("stall.lag_s", "s", "<= 1"),
                    Owed("stall.encoder_calls", "frames", "<= 0"),
                ),
            ),
        ),
    ),
    Bench(
        "question",
        "time to the first token",
        (
            Part(
                "evaluation.micro.question",
                (Owed("question.now_ratio", "ratio", "<= 1.1"), Owed("question.pixels_ratio", "ratio", ">= 3")),
            ),
        ),
    ),
    Bench(
        "engine",
        "many askers of one model",
        (
            Part(
                "evaluation.micro.engine",
                (
                    Owed("engine.batch_ratio", "ratio", ">= 2.5"),
                    Owed("engine.join_ratio", "ratio", "<= 2"),
                    Owed("engine.past_ratio", "ratio", "<= 1.1"),
                ),
            ),
            Part("evaluation.micro.age", (Owed("engine.age_ratio", "ratio", "<= 1.2"),)),
        ),
        limit_s=(600, 1800),
    ),
    Bench(
        "server",
        "what the server itself costs, with a model of zero cost",
        (
            Part(
                "evaluation.serving",
                (
                    Owed("server.first_byte_ms", "ms", "<= 5"),
                    Owed("server.askers32_p99_ms", "ms", "<= 100"),
                    Owed("server.askers32_errors", "errors", "<= 0"),
                    Owed("server.askers32_encoder_calls", "frames", "<= 0"),
                ),
            ),
        ),
    ),
    Bench(
        "overload",
        "three times as many questions as can be answered",
        (
            Part(
                "evaluation.micro.overload",
                (
                    Owed("overload.goodput", "ratio", ">= 0.9"),
                    Owed("overload.refused_p99_ms", "ms", "<= 100"),
                    Owed("overload.failed", "share", "<= 0.01"),
                    Owed("overload.frames_lost", "frames", "<= 0"),
                ),
            ),
        ),
    ),
    Bench(
        "start",
        "starting, stopping, memory at rest",
        (
            Part(
                "evaluation.start",
                (
                    Owed("start.ready_s", "s", "<= 10"),
                    Owed("stop.s", "s", "<= 5"),
                    Owed("start.rss_mib.server", "MiB"),
                    Owed("start.rss_mib.perception", "MiB"),
                    Owed("start.rss_mib.memory", "MiB"),
                    Owed("start.rss_mib.reasoning", "MiB"),
                ),
            ),
        ),
    ),
    Bench(
        "equal",
        "the server's answers are those of the bare model",
        (
            Part("evaluation.micro.equal_server", (Owed("equal.tokens", "failures", "<= 0"),)),
            Part("evaluation.micro.equal", (Owed("equal.engine", "failures", "<= 0"),)),
            Part("evaluation.micro.equal_families", (Owed("equal.families", "failures", "<= 0"),)),
        ),
        limit_s=(400, 3600),
    ),
    Bench(
        "shots",
        "shot boundaries, evidence frames and search by picture over RTSP",
        (
            Part(
                "evaluation.shots",
                (
                    Owed("shots.recall", "share", ">= 0.95"),
                    Owed("shots.precision", "share", ">= 0.90"),
                    Owed("shots.psnr_db", "dB", ">= 35"),
                    Owed("shots.pts_off", "frames", "<= 0"),
                    Owed("shots.search", "share", ">= 0.95"),
                ),
            ),
        ),
    ),
    Bench(
        "soak",
        "memory and file descriptors over time",
        (
            Part(
                "evaluation.soak",
                (Owed("soak.rss_slope", "MiB/min", "<= 0.5"), Owed("soak.fds", "descriptors", "<= 2")),
            ),
        ),
        limit_s=(720, 3600),
    ),
    Bench(
        "recall",
        "how long a recall takes, and what a memory takes on disk and in RAM",
        (
            Part(
                "evaluation.micro.recall",
                (
                    Owed("recall.p99_ms", "ms", "<= 20"),
                    Owed("recall.planted", "share", ">= 0.99"),
                    Owed("index.rebuild_s", "s", "<= 1"),
                    Owed("recall.ram_mib_day", "MiB"),
                    Owed("recall.p99_16_ms", "ms", "<= 60"),
                ),
            ),
            Part(
                "evaluation.micro.footprint",
                (
                    Owed("disk.busy_mb_h", "MB/h", "<= 20"),
                    Owed("disk.busy_events_h", "events/h", ">= 600"),
                    Owed("disk.static_mb_h", "MB/h", "<= 1"),
                ),
            ),
        ),
        limit_s=(900, 3600),
    ),
    Bench(
        "needle",
        "one frame of up to a day, found again and answered from",
        (
            Part(
                "evaluation.micro.needle",
                (
                    Owed("needle.recall5_low", "share", ">= 0.95"),
                    Owed("needle.recall1", "share", ">= 0.85"),
                    Owed("needle.cell", "share", ">= 0.80"),
                    Owed("needle.answer_gap", "points", "<= 5"),
                    Owed("needle.false_recall", "share", "<= 0.02"),
                    Owed("needle.last4", "share"),
                    Owed("needle.uniform64", "share"),
                    Owed("needle.first_clip", "share"),
                    Owed("needle.first_clip_best", "share"),
                    Owed("needle.code_recall5", "share"),
                    Owed("needle.code_right", "share"),
                    Owed("needle.place_right", "share"),
                ),
            ),
        ),
        limit_s=(900, 21_600),
    ),
    Bench(
        "memory",
        "whether the past is recalled where a question needs it, proves the answer, and is gone when it is forgotten",
        (
            Part(
                "evaluation.memory_use",
                (
                    Owed("gate.now_loss", "points", "<= 1"),
                    Owed("gate.past_gain", "points", ">= 40"),
                    Owed("memory.evidence", "share", ">= 0.95"),
                    Owed("memory.forgotten", "share", ">= 0.95"),
                ),
            ),
        ),
        limit_s=(600, 3600),
    ),
    Bench(
        "durability",
        "what is kept and what is forgotten, whatever happens to the process and its disk",
        (
            Part(
                "evaluation.micro.durability",
                (
                    Owed("durability.kill_faults", "faults", "<= 0"),
                    Owed("durability.kill_ready_s", "s", "<= 10"),
                    Owed("durability.failpoint_faults", "faults", "<= 0"),
                    Owed("durability.failpoint_ready_s", "s", "<= 10"),
                    Owed("durability.damage_wrong", "answers", "<= 0"),
                    Owed("durability.damage_unseen", "copies", "<= 0"),
                    Owed("durability.full_disk", "faults", "<= 0"),
                    Owed("durability.order", "faults", "<= 0"),
                    Owed("durability.sync_error", "faults", "<= 0"),
                    Owed("durability.wipe_s", "s", "<= 60"),
                ),
            ),
        ),
        limit_s=(600, 3600),
    ),
    Bench(
        "model",
        "what the shipped model knows of its world, and how fast it is",
        (
            Part(
                "evaluation.micro.model_skills",
                (
                    *(Owed(f"model.{skill}", "share", ">= 0.95") for skill in _SURE),
                    *(Owed(f"model.{skill}", "share", ">= 0.90") for skill in ("count", "motion", "order", "when")),
                    Owed("model.unseen_pairs", "share", ">= 0.85"),
                    Owed("model.false_refusal", "share", "<= 0.05"),
                    Owed("model.past_gap", "points", "<= 3"),
                    Owed("model.forms_gap", "points", "<= 3"),
                    Owed("model.robust", "points", "<= 5"),
                    Owed("model.blind", "points", "<= 3"),
                ),
            ),
            Part("evaluation.micro.model_honest", (Owed("model.honest", "share", ">= 0.90"),)),
            Part(
                "evaluation.micro.model_recall",
                (Owed("encoder.recall1_100", "share", ">= 0.90"), Owed("encoder.recall5_1000", "share", ">= 0.90")),
            ),
            Part("evaluation.demo_seeds", (Owed("model.demo", "share", ">= 0.85"),)),
            Part(
                "evaluation.micro.model_speed",
                (
                    Owed("model.frame_ms", "ms", "<= 10"),
                    Owed("model.ttft_ms", "ms", "<= 200"),
                    Owed("model.tokens_s", "tokens/s", ">= 50"),
                ),
            ),
        ),
        limit_s=(1800, 14_400),
    ),
    Bench(
        "page",
        "how soon the page shows, and answers from, what a camera sees",
        (
            Part(
                "evaluation.page",
                (
                    Owed("page.first_paint_ms", "ms", "<= 1000"),
                    Owed("page.visible_p95_s", "s", "<= 1"),
                    Owed("page.live_p95_ms", "ms", "<= 500"),
                ),
            ),
        ),
        limit_s=(300, 900),
        needs_browser=True,
    ),
    Bench(
        "ovo",
        "OVO-Bench: the scorer against the official one; an oracle asked through the server; the embedded model",
        (
            Part("evaluation.ovo.golden", (Owed("ovo.golden", "failures", "<= 0"),)),
            Part(
                "evaluation.ovo.through",
                (
                    Owed("ovo.oracle", "share", ">= 0.99"),
                    Owed("ovo.recall", "share", ">= 0.95"),
                    Owed("ovo.causality", "answers", "<= 0"),
                ),
            ),
            Part("evaluation.ovo.modes", (Owed("ovo.modes", "queries", "<= 0"),)),
            Part("evaluation.ovo.unrecalled", (Owed("ovo.oracle_blind", "points", "<= 5"),)),
            Part(
                "evaluation.ovo.speaking",
                (
                    Owed("ovo.self_f1", "%", ">= 99"),
                    *(Owed(f"ovo.self_{task}", "%") for task in ("rec", "ssr", "crr")),
                ),
            ),
            Part("evaluation.ovo.isolation", (Owed("ovo.isolation", "crossings", "<= 0"),)),
            Part("evaluation.ovo.embedded", (Owed("ovo.embedded", "%"), Owed("ovo.embedded_last4", "%"))),
        ),
        limit_s=(1800, 14_400),
    ),
    Bench(
        "gpu",
        "a server with a model of the shape of Qwen3-VL-8B on one GPU",
        (
            Part(
                "evaluation.micro.gpu",
                (
                    Owed("gpu.ingest_fps", "frames/s"),
                    Owed("gpu.ttft_ms", "ms"),
                    Owed("gpu.ttft_past_ms", "ms"),
                    Owed("gpu.age_ratio", "ratio"),
                    Owed("gpu.streams", "streams"),
                ),
            ),
        ),
        limit_s=(900, 7200),
        needs_cuda=True,
    ),
)

BENCHES: dict[str, Bench] = {bench.name: bench for bench in _ALL}
