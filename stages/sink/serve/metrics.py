"""The run for Prometheus: names end in their base unit, and everything is asked for when it is scraped."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from pipeline.clock import NS_PER_MS, NS_PER_S
from pipeline.frame import Fate, Health
from pipeline.histogram import Histogram
from pipeline.observe import Measures, Observed
from pipeline.report import Report
from stages.sink.clients import ClientCounts

_AGE_BUCKETS_MS = (5, 10, 15, 20, 30, 40, 50, 75, 100, 150, 200, 300, 500, 1000)
_STAGE_BUCKETS_MS = (0.5, 1, 2, 5, 10, 15, 20, 30, 50, 75, 100, 200, 500, 1000)


class RunCollector(Collector):
    """Gives the metrics of one run.

    Args:
        run: what is looked at.
        ready: whether it can be relied on, by its report.
        clients: counts of those who look, by kind.
        served: counters of the server itself, by the name of their metric without `framepace_serve_` and `_total`.
        refused: requests that were refused, by why.
    """

    def __init__(
        self,
        run: Observed,
        *,
        ready: Callable[[Report], bool],
        clients: Callable[[], Mapping[str, ClientCounts]],
        served: Callable[[], Mapping[str, float]],
        refused: Callable[[], Mapping[str, int]],
    ) -> None:
        self._run = run
        self._ready = ready
        self._clients = clients
        self._served = served
        self._refused = refused

    def collect(self) -> Iterator[Metric]:
        """Give every metric with its present values."""
        report, measures = self._run.report(), self._run.measures()
        yield from self._about(report)
        yield from _frames(report, measures)
        yield from _stages(report, measures)
        yield from _queues(report, measures)
        yield from _source(report)
        yield from _sinks(report)
        yield from self._server()

    def _about(self, report: Report) -> Iterator[Metric]:
        version = importlib.metadata.version("framepace")
        yield _gauge("build_info", "Which framepace this is; always 1.", ["version"], [([version], 1)])
        detector = report.detector
        facts = [report.mode.value, *((detector.model, detector.provider, detector.input) if detector else ("",) * 3)]
        labels = ["stream", "mode", "model", "provider", "input"]
        yield _gauge("run_info", "What is run; always 1.", labels, [([report.stream, *facts], 1)])
        if report.health is not None:
            states = [([report.stream, state.value], float(state is report.health)) for state in Health]
            yield _gauge("health", "1 for the state that the run is in.", ["stream", "state"], states)
        yield _of_stream(report, "ready", "1 while answers can be relied on.", self._ready(report))
        paused = bool(self._run.settings().get("paused", False))
        yield _of_stream(report, "paused", "1 while the run is paused on request.", paused)
        if report.deadline_ms is not None:
            help_text = "Capture to answer, at the most."
            yield _of_stream(report, "deadline_seconds", help_text, report.deadline_ms / 1000)
        if report.margin_ms is not None:
            help_text = "How long before its deadline a frame is answered at the latest."
            yield _of_stream(report, "margin_seconds", help_text, report.margin_ms / 1000)
        yield _of_stream(report, "run_duration_seconds", "Since the run began.", report.duration_s)
        yield _counter("cpu_seconds", "Processor time of the process since the run began.", [], [([], report.cpu_s)])
        peak = report.peak_rss_mib * 1024 * 1024
        yield _gauge("peak_resident_memory_bytes", "Most memory that the process has had.", [], [([], peak)])

    def _server(self) -> Iterator[Metric]:
        clients = self._clients()
        kinds: list[tuple[str, str, Callable[[ClientCounts], int]]] = [
            ("serve_clients_seen", "Clients that have come.", lambda counts: counts.total),
            ("serve_clients_refused", "Clients that were turned away.", lambda counts: counts.refused),
            ("serve_clients_dropped", "Clients that went without a goodbye.", lambda counts: counts.dropped),
        ]
        now = [([kind], counts.now) for kind, counts in clients.items()]
        yield _gauge("serve_clients", "Clients that look now.", ["kind"], now)
        for name, help_text, count in kinds:
            yield _counter(name, help_text, ["kind"], [([kind], count(counts)) for kind, counts in clients.items()])
        refused = [([why], count) for why, count in self._refused().items()]
        yield _counter("serve_requests_refused", "Requests that were refused, by why.", ["reason"], refused)
        for name, value in self._served().items():
            yield _counter(f"serve_{name}", _SERVED[name], [], [([], value)])


_SERVED = {
    "records_skipped": "Records that clients were too slow for.",
    "pictures": "Pictures that were made for viewers.",
    "picture_seconds": "Time that this took.",
}


class Exposition:
    """What is answered to a scrape.

    Args:
        collector: gives the metrics of the run; those of the process stand beside them.
    """

    def __init__(self, collector: RunCollector) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(collector)
        ProcessCollector(registry=self._registry)

    def text(self, accept: str) -> tuple[bytes, str]:
        """Return the metrics in the format that an Accept header prefers, and its media type."""
        encode, media_type = choose_encoder(accept)
        return encode(self._registry), media_type


Values = Iterable[tuple[Sequence[str], float]]


def _gauge(name: str, help_text: str, labels: Sequence[str], values: Values) -> Metric:
    family = GaugeMetricFamily(f"framepace_{name}", help_text, labels=labels)
    for of, value in values:
        family.add_metric(of, value)
    return family


def _counter(name: str, help_text: str, labels: Sequence[str], values: Values) -> Metric:
    family = CounterMetricFamily(f"framepace_{name}", help_text, labels=labels)
    for of, value in values:
        family.add_metric(of, value)
    return family


def _of_stream(report: Report, name: str, help_text: str, value: float) -> Metric:
    return _gauge(name, help_text, ["stream"], [([report.stream], value)])


def _histogram(
    name: str,
    help_text: str,
    labels: Sequence[str],
    values: Iterable[tuple[Sequence[str], Histogram]],
    buckets_ms: Sequence[float],
) -> Metric:
    family = HistogramMetricFamily(f"framepace_{name}", help_text, labels=labels)
    bounds_ns = [round(bound_ms * NS_PER_MS) for bound_ms in buckets_ms]
    for of, histogram in values:
        counts = histogram.counts_up_to(bounds_ns)
        buckets = [(str(bound / 1000), float(count)) for bound, count in zip(buckets_ms, counts, strict=True)]
        buckets.append(("+Inf", float(histogram.count)))
        family.add_metric(of, buckets, sum_value=histogram.total_ns / NS_PER_S)
    return family


def _frames(report: Report, measures: Measures) -> Iterator[Metric]:
    stream = report.stream
    frames = report.frames.model_dump()
    yield _counter("frames_captured", "Frames that were captured.", ["stream"], [([stream], frames["captured"])])
    fates = [([stream, fate.value], frames[fate.value]) for fate in Fate]
    yield _counter("frames", "Frames by what became of them.", ["stream", "status"], fates)
    reasons = [([stream, reason.value], count) for reason, count in report.reasons.items()]
    yield _counter("answers_not_fresh", "Answers that are not fresh, by why.", ["stream", "reason"], reasons)
    late = [([stream], report.published_late)]
    yield _counter("answers_published_late", "Answers given after their deadline; never any.", ["stream"], late)
    for name, what, ages in (
        ("answer_age_seconds", "Capture to answer.", measures.age_all),
        ("fresh_answer_age_seconds", "Capture to answer, of fresh answers.", measures.age_fresh),
    ):
        yield _histogram(name, what, ["stream"], [([stream], ages)], _AGE_BUCKETS_MS)


def _stages(report: Report, measures: Measures) -> Iterator[Metric]:
    stream, labels = report.stream, ["stream", "stage"]
    waits = [([stream, name], stage.wait) for name, stage in measures.stages.items()]
    yield _histogram("stage_wait_seconds", "How long frames waited for a stage.", labels, waits, _STAGE_BUCKETS_MS)
    runs = [([stream, name], stage.run) for name, stage in measures.stages.items()]
    yield _histogram("stage_run_seconds", "How long a stage worked on frames.", labels, runs, _STAGE_BUCKETS_MS)
    failed = [([stream, name], stage.failed) for name, stage in report.stages.items()]
    yield _counter("stage_failures", "Frames that a stage raised on.", labels, failed)
    used = [([stream, name], stage.cpu_s) for name, stage in report.stages.items()]
    yield _counter("stage_cpu_seconds", "Processor time of a stage's own threads.", labels, used)
    if report.detector is not None:
        runs_of_it = [([stream], report.detector.runs)]
        yield _counter("detector_runs", "Frames that the detector worked on.", ["stream"], runs_of_it)


def _queues(report: Report, measures: Measures) -> Iterator[Metric]:
    stream, labels = report.stream, ["stream", "queue"]
    depths = [([stream, name], depth) for name, depth in measures.depths.items()]
    yield _gauge("queue_depth", "Frames that wait in a queue now.", labels, depths)
    peaks = [([stream, name], queue.peak) for name, queue in report.queues.items()]
    yield _gauge("queue_depth_peak", "Most frames that have waited in it.", labels, peaks)
    capacities = [([stream, name], queue.capacity) for name, queue in report.queues.items()]
    yield _gauge("queue_capacity", "Frames that fit into it.", labels, capacities)
    dropped = [([stream, name], queue.dropped) for name, queue in report.queues.items()]
    yield _counter("queue_dropped", "Frames that had no room in it.", labels, dropped)


def _source(report: Report) -> Iterator[Metric]:
    stream, source = report.stream, report.source
    counters = (
        ("source_reconnects", "How often the source was opened again.", source.reconnects),
        ("source_away_seconds", "How long the source was lost, all times together.", source.away_s),
        ("source_heartbeats", "How often it was said that there is no frame to answer.", source.heartbeats),
    )
    for name, help_text, value in counters:
        yield _counter(name, help_text, ["stream"], [([stream], value)])
    yield _gauge("source_away", "1 while the source is lost.", ["stream"], [([stream], float(source.away is not None))])
    losses = [([stream, outage.value], count) for outage, count in source.losses.items()]
    yield _counter("source_losses", "How often the source was lost, by how.", ["stream", "outage"], losses)


def _sinks(report: Report) -> Iterator[Metric]:
    stream, labels = report.stream, ["stream", "sink"]
    sinks = report.sinks.items()
    written = [([stream, name], sink.written) for name, sink in sinks]
    yield _counter("sink_written", "Answers that a sink has written.", labels, written)
    late = [([stream, name], sink.late) for name, sink in sinks]
    yield _counter("sink_late", "Answers that it took after their deadline.", labels, late)
    skipped = [([stream, name], sink.skipped) for name, sink in sinks]
    yield _counter("sink_skipped", "Answers that it was too slow for.", labels, skipped)
    failed = [([stream, name], float(sink.failed is not None)) for name, sink in sinks]
    yield _gauge("sink_failed", "1 when it has failed and is closed.", labels, failed)
