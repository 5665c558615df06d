"""Numbers about the server itself, for Prometheus."""

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Monitor:
    """Requests by route and status, their times, pictures per forward pass and the length of the line."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("cgan_requests", "Requests", ["route", "status"], registry=self.registry)
        self.seconds = Histogram("cgan_request_seconds", "Time to answer", ["route"], registry=self.registry)
        self.batch = Histogram(
            "cgan_batch_images",
            "Pictures drawn in one forward pass",
            registry=self.registry,
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048),
        )
        self.waiting = Gauge("cgan_waiting_requests", "Requests that wait to be drawn", registry=self.registry)

    def text(self) -> bytes:
        """Return all values in Prometheus' text format."""
        return generate_latest(self.registry)


class Monitored:
    """Count and time every request.

    Args:
        app: What to watch.
        monitor: Where to count.
    """

    def __init__(self, app: ASGIApp, monitor: Monitor) -> None:
        self.app = app
        self.monitor = monitor

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and note the status of its answer."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status, start = 500, time.perf_counter()

        async def noted(message: Message) -> None:
            nonlocal status
            status = message["status"] if message["type"] == "http.response.start" else status
            await send(message)

        try:
            await self.app(scope, receive, noted)
        finally:
            # The route's pattern, never the path as typed: a scanner would else fill the memory with labels.
            route = getattr(scope.get("route"), "path", "none")
            self.monitor.requests.labels(route, status).inc()
            self.monitor.seconds.labels(route).observe(time.perf_counter() - start)
