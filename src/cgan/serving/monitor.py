"""The server's own metrics, for Prometheus."""

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Monitor:
    """Requests by route and status, their duration, images per forward pass and queued requests."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("cgan_requests", "Requests", ["route", "status"], registry=self.registry)
        self.seconds = Histogram("cgan_request_seconds", "Time to answer", ["route"], registry=self.registry)
        self.batch = Histogram(
            "cgan_batch_images",
            "Images drawn in one forward pass",
            registry=self.registry,
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048),
        )
        self.queued = Gauge("cgan_queued_requests", "Requests in the queue", registry=self.registry)

    def text(self) -> bytes:
        """Return all values in Prometheus' text format."""
        return generate_latest(self.registry)


class Monitored:
    """Count and time every request.

    Args:
        app: The application behind it.
        monitor: Counts.
    """

    def __init__(self, app: ASGIApp, monitor: Monitor) -> None:
        self.app = app
        self.monitor = monitor

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and record the status of its response."""
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
            # the route's pattern, not the requested path: else a scanner could fill the memory with labels
            route = getattr(scope.get("route"), "path", "none")
            self.monitor.requests.labels(route, status).inc()
            self.monitor.seconds.labels(route).observe(time.perf_counter() - start)
