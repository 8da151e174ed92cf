"""Every metric of the server, by name; stage processes send numbers, this process publishes them."""

from collections.abc import Iterable, Mapping
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest

from perception.messages import StreamStatus

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_OUTCOMES = ("received", "sampled", "encoded", "dropped", "skipped", "suspect")
_SOURCES = frozenset({"camera", "file", "push"})
_READY = "ready"


def label_of(stream: str) -> str:
    """A stream's key as a label: the default tenant goes without saying."""
    return stream.removeprefix("default/")


class StageNumbers(Protocol):
    """What is published of a stage process."""

    @property
    def state(self) -> str:
        """`ready` or why not."""

    @property
    def restarts(self) -> int:
        """How often it was replaced."""

    @property
    def rss_bytes(self) -> int:
        """Resident memory."""

    @property
    def progress_age_ms(self) -> int:
        """Since it last did something."""


class Metrics:
    """One registry; labels instead of a name for each thing."""

    def __init__(self) -> None:
        # Else each counter has a second series with its birth, which nobody reads.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = registry = CollectorRegistry()
        self.questions_in_flight = Gauge(
            "omnilive_questions_in_flight", "Questions accepted and not ended", registry=registry
        )
        self.questions = Counter(
            "omnilive_questions_total", "Questions ended, by outcome", ["outcome"], registry=registry
        )
        self.refused = Counter(
            "omnilive_questions_refused_total", "Questions refused at the door, by why", ["why"], registry=registry
        )
        self.ttft = Histogram("omnilive_ttft_seconds", "Arrival to first token", registry=registry, buckets=_SECONDS)
        self.recall = Histogram("omnilive_recall_seconds", "Recall of the past", registry=registry, buckets=_SECONDS)
        self.answer = Histogram("omnilive_answer_seconds", "Arrival to end", registry=registry, buckets=_SECONDS)
        self.frames = Counter(
            "omnilive_frames_total", "Frames of a stream, by outcome", ["stream", "outcome"], registry=registry
        )
        self.pushed = Counter(
            "omnilive_pushed_total", "Media messages of a stream's senders", ["stream", "outcome"], registry=registry
        )
        self.lag = Gauge(
            "omnilive_lag_seconds", "Age of the newest perceived frame of a live stream", ["stream"], registry=registry
        )
        self.live = Gauge(
            "omnilive_stream_live", "1 while frames come, of a camera, file or push", ["stream", "source"],
            registry=registry,
        )  # fmt: skip
        self.keyframes_only = Gauge(
            "omnilive_keyframes_only", "1 while a stream's keyframes alone are decoded", ["stream"], registry=registry
        )
        self.streams = Gauge("omnilive_streams", "Streams, by state", ["state"], registry=registry)
        self.captions = Counter(
            "omnilive_captions_total", "Captions kept, and put off for a question", ["outcome"], registry=registry
        )
        self.memory_bytes = Gauge("omnilive_memory_bytes", "Store of a stream", ["stream"], registry=registry)
        self.memory_events = Gauge("omnilive_memory_events", "Events of a stream", ["stream"], registry=registry)
        self.restarts = Counter(
            "omnilive_process_restarts_total", "Stage processes that were replaced", ["stage"], registry=registry
        )
        self.up = Gauge("omnilive_process_ready", "1 while a stage is ready", ["stage"], registry=registry)
        self.rss = Gauge("omnilive_process_rss_bytes", "Resident memory of a stage", ["stage"], registry=registry)
        self.progress_age = Gauge(
            "omnilive_process_progress_age_seconds", "Since a stage last did something", ["stage"], registry=registry
        )
        self.connections = Gauge("omnilive_connections", "Connections, whatever they have said yet", registry=registry)
        self.limits = Gauge("omnilive_limit", "The table of limits", ["name"], registry=registry)
        self.client_drops = Counter(
            "omnilive_client_messages_dropped_total", "For slow clients, by topic", ["topic"], registry=registry
        )
        self.requests = Counter(
            "omnilive_http_requests_total", "Requests answered, by method and status", ["method", "status"],
            registry=registry,
        )  # fmt: skip
        self._counted: dict[str, dict[str, int]] = {}
        self._restarts: dict[str, int] = {}

    def count_frames(self, status: StreamStatus) -> None:
        """Take over a stream's counters: absolute since perception started, so a smaller number means a new start."""
        stream = label_of(status.stream)
        counted = self._counted.setdefault(stream, dict.fromkeys(_OUTCOMES, 0))
        for outcome in _OUTCOMES:
            now: int = getattr(status, outcome)
            before = counted[outcome]
            self.frames.labels(stream, outcome).inc(now - before if now >= before else now)
            counted[outcome] = now
        self.keyframes_only.labels(stream).set(status.decoded == "keyframes")

    def count_restarts(self, stage: str, restarts: int) -> None:
        """Take over a stage's number of restarts."""
        self.restarts.labels(stage).inc(max(0, restarts - self._restarts.get(stage, 0)))
        self._restarts[stage] = restarts

    def forget_stream(self, stream: str) -> None:
        """A stream was deleted: its series end."""
        stream = label_of(stream)
        self._counted.pop(stream, None)
        for outcome in _OUTCOMES:
            _remove(self.frames, stream, outcome)
        for outcome in ("accepted", "dropped"):
            _remove(self.pushed, stream, outcome)
        for gauge in (self.lag, self.keyframes_only, self.memory_bytes, self.memory_events):
            _remove(gauge, stream)
        for source in _SOURCES:
            _remove(self.live, stream, source)

    def set_limits(self, limits: Mapping[str, float]) -> None:
        """Publish what may be asked for."""
        for name, value in limits.items():
            self.limits.labels(name).set(value)

    def set_stages(self, stages: Mapping[str, StageNumbers]) -> None:
        """Publish how the processes fare."""
        for name, stage in stages.items():
            self.count_restarts(name, stage.restarts)
            self.up.labels(name).set(stage.state == _READY)
            self.rss.labels(name).set(stage.rss_bytes)
            self.progress_age.labels(name).set(stage.progress_age_ms / 1000)

    def set_live(self, stream: str, source: str, live: bool) -> None:
        """Publish whether a stream's frames come. A stream that has become one of another source has one series."""
        for other in _SOURCES - {source}:
            _remove(self.live, label_of(stream), other)
        self.live.labels(label_of(stream), source).set(live)

    def set_states(self, states: Iterable[str]) -> None:
        """Publish how many streams are in which state."""
        counts = dict.fromkeys(("connecting", "live", "frozen", "offline", "ended", "failed"), 0)
        for state in states:
            counts[state] += 1
        for state, count in counts.items():
            self.streams.labels(state).set(count)

    def text(self) -> bytes:
        """All of it in Prometheus's text format."""
        return generate_latest(self.registry)


def _remove(metric: Counter | Gauge, *labels: str) -> None:
    try:
        metric.remove(*labels)
    except KeyError:
        return
