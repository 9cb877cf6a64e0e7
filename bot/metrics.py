"""What can be measured from outside, read when it is asked for: nothing is counted on the message path but integers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bot.writer import Writer


class House(Collector):
    """The writer's and sender's counters, what stands open in the database, and what keeps it in order."""

    def __init__(
        self,
        writer: Writer,
        open_counts: Callable[[], dict[tuple[str, str], int]],
        upkeep: Callable[[], dict[str, float]],
        notices: Callable[[], Sequence[tuple[str, str, str, int]]],
    ) -> None:
        """`upkeep` has `held` (1: a restored copy not released), `stopped` (1: emergency stop), `retained` rows and
        `retained_at` (Unix time); `notices` are counted by kind, state and way."""
        self._notices = notices
        self._writer, self._open_counts, self._upkeep = writer, open_counts, upkeep

    def collect(self) -> Iterator[Metric]:
        """One pass over the present values."""
        yield CounterMetricFamily("koukou_messages", "Messages decided by this process", self._writer.heard)
        yield CounterMetricFamily("koukou_groups", "Groups committed by this process", self._writer.groups)
        yield CounterMetricFamily("koukou_reruns", "Groups decided again one by one", self._writer.reruns)
        upkeep = self._upkeep()
        yield GaugeMetricFamily("koukou_held", "1: a restored copy that sends nothing until released", upkeep["held"])
        yield GaugeMetricFamily("koukou_stopped", "1 while an emergency stop stands", upkeep["stopped"])
        yield CounterMetricFamily("koukou_retained", "Rows emptied or removed past their retention", upkeep["retained"])
        yield GaugeMetricFamily(
            "koukou_retention_timestamp_seconds", "When this process last finished that", upkeep["retained_at"]
        )
        yield GaugeMetricFamily("koukou_waiting", "Messages waiting to be decided", self._writer.waiting)
        family = GaugeMetricFamily("koukou_deliveries", "Deliveries not ended", labels=("account", "state"))
        for (account, state), count in self._open_counts().items():
            family.add_metric((account, state), count)
        yield family
        family = GaugeMetricFamily("koukou_notices", "Service notices kept", labels=("kind", "state", "way"))
        for *labels, count in self._notices():
            family.add_metric(labels, count)
        yield family


def render(collector: Any) -> bytes:
    """The metrics in Prometheus' text form."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    return generate_latest(registry)
