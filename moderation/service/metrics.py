"""What Prometheus is told."""

import os
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess

from moderation.decision import Decision

_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.04, 0.08, 0.1, 0.2, 0.4, 0.8, 1.5, 3.0, 6.0)


class Metrics:
    """The service's counters; each app has its own registry.

    With several workers the counters are summed over files in ``PROMETHEUS_MULTIPROC_DIR``.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

        def counter(name: str, told: str, *labels: str) -> Counter:
            return Counter(f"moderation_{name}", told, labels, registry=self.registry)

        self.requests = counter("requests", "Requests answered, by door and status.", "door", "status")
        self.decisions = counter(
            "decisions", "Decisions, by verdict, stage, door and site.", "verdict", "stage", "door", "site"
        )
        self.guidelines = counter("guidelines", "Rejections, by guideline broken.", "guideline", "site")
        self.feedback = counter("feedback", "What people said of decisions.", "verdict", "door")
        self.fail_open = counter("fail_open", "Comments let through because the policy fails open.", "door", "site")
        self.refused = counter("refused", "Requests refused, by cause.", "cause")
        self.reloads = counter("reloads", "Reloads of policy and model, by outcome.", "outcome")
        self.latency = Histogram(
            "moderation_request_seconds",
            "From a request's headers to the end of its answer.",
            ("door",),
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.batch = Histogram(
            "moderation_batch_comments",
            "Comments decided on at a time.",
            buckets=(1, 2, 4, 8, 16, 32, 64),
            registry=self.registry,
        )
        self.queue = Gauge(
            "moderation_queue_comments", "Comments that wait.", multiprocess_mode="livesum", registry=self.registry
        )

    def decided(self, decision: Decision, door: str, site: str) -> None:
        """Count one decision."""
        self.decisions.labels(decision.verdict.value, decision.decided_by, door, site).inc()
        for name in decision.guidelines:
            self.guidelines.labels(name, site).inc()

    def text(self) -> bytes:
        """Give all in Prometheus' text format."""
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            together = CollectorRegistry()
            collector: Callable[[CollectorRegistry], object] = multiprocess.MultiProcessCollector
            collector(together)
            return generate_latest(together)
        return generate_latest(self.registry)
