"""Load a service on loopback and tell rate, latency, memory, and how it bears overload.

Usage: python tests/benchmarks/load.py WHAT [--data DIR] [--seconds N] [--classifier linear|cascade] [--requests N]

WHAT is one of
  peak      as many decisions a second as one worker gives: one comment a request, each never seen before, and then
            100 a request, of those seen
  steady    latency at a fixed --rate, measured from when a request was due, not from when it could be sent
  long      latency of 2 KB comments, one at a time
  memory    what the worker holds over --requests requests
  overload  five times as many requests a second as the peak, for --seconds; then how soon it is itself again

The service is started here, in a fresh folder, with one worker; --url loads one that runs already.
"""

import argparse
import asyncio
import json
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import uvloop
from service_client import Connection, Service, connect, load_average, news, percentile, post

WARM = 2000
OVERLOAD_CONNECTIONS = 2000
"""So many requests are under way at once, at most; what is due when all are taken waits on this side."""
Options = argparse.Namespace


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("peak", "steady", "long", "memory", "overload"))
    parser.add_argument("--data", type=Path, help="folder of the labelled data sets; sentences of our own without")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long to load it (default 10)")
    parser.add_argument("--rate", type=float, default=500.0, help="requests a second (steady; default 500)")
    parser.add_argument("--connections", type=int, default=32, help="connections kept open (default 32)")
    parser.add_argument("--requests", type=int, default=200_000, help="requests in all (memory; default 200000)")
    parser.add_argument("--classifier", default="linear", help="linear or cascade (default linear)")
    parser.add_argument("--warm", type=int, default=WARM, help=f"requests before measuring (default {WARM})")
    options = parser.parse_args()
    texts = news(options.data, 13000)
    requests = [post("/v1/decisions", {"id": str(number), "text": text}) for number, text in enumerate(texts)]
    print(load_average())
    with tempfile.TemporaryDirectory(prefix="moderation-load-") as folder:
        service = Service(Path(folder), "--classifier", options.classifier)
        print(f"ready after {service.start():.1f} s, {service.megabytes():.0f} MB")
        try:
            uvloop.run(MEASURES[options.what](service, requests, texts, options))
        finally:
            print(f"ended with status {service.stop()}; {load_average()}")
    return 0


async def _flood(
    service: Service, requests: Sequence[bytes], connections: int, seconds: float, stop_after: int = 1 << 62
) -> tuple[Counter[int], list[float]]:
    """Keep every connection busy; give statuses and latencies."""
    statuses: Counter[int] = Counter()
    latencies: list[float] = []
    until = time.perf_counter() + seconds
    number = 0

    async def client() -> None:
        nonlocal number
        connection = await connect(service.port)
        while time.perf_counter() < until and number < stop_after:
            request = requests[number % len(requests)]
            number += 1
            sent = time.perf_counter()
            status, _, _ = await connection.ask(request)
            if status == 200:
                latencies.append(time.perf_counter() - sent)
            statuses[status] += 1
        connection.transport.close()

    await asyncio.gather(*(client() for _ in range(connections)))
    return statuses, latencies


async def _timed(
    service: Service,
    requests: Sequence[bytes],
    connections: int,
    rate: float,
    seconds: float,
    check: Callable[[int, int, bytes, bytes], None] = lambda number, status, head, body: None,
) -> tuple[Counter[str], list[float], list[float]]:
    """Send at a fixed rate whatever the answers do.

    Returns
    -------
    outcomes, latencies, answers
        Seconds until the answer of those decided: from when each was due, so with its wait for a free connection
        where all are taken, and from when it was sent.
    """
    outcomes: Counter[str] = Counter()
    latencies: list[float] = []
    answers: list[float] = []
    free: asyncio.Queue[Connection] = asyncio.Queue()
    for _ in range(connections):
        free.put_nowait(await connect(service.port))
    started = time.perf_counter()
    tasks: set[asyncio.Task[None]] = set()

    async def one(number: int, due: float) -> None:
        connection = await free.get()
        sent = time.perf_counter()
        try:
            status, head, body = await asyncio.wait_for(connection.ask(requests[number % len(requests)]), 30)
            check(number, status, head, body)
            outcomes[str(status)] += 1
            if status == 200:
                latencies.append(time.perf_counter() - due)
                answers.append(time.perf_counter() - sent)
        except (OSError, TimeoutError) as error:
            outcomes[type(error).__name__] += 1
            connection = await connect(service.port)
        free.put_nowait(connection)

    for number in range(int(rate * seconds)):
        due = started + number / rate
        wait = due - time.perf_counter()
        if wait > 0:
            await asyncio.sleep(wait)
        elif number % 50 == 0:
            await asyncio.sleep(0)
        task = asyncio.create_task(one(number, due))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)
    while not free.empty():
        free.get_nowait().transport.close()
    return outcomes, latencies, answers


def _told(latencies: Sequence[float]) -> str:
    shares = (("median", 0.5), ("p95", 0.95), ("p99", 0.99), ("p99.9", 0.999))
    found = ", ".join(f"{name} {percentile(latencies, share) * 1000:.1f}" for name, share in shares)
    return f"{found}, most {max(latencies, default=0) * 1000:.1f} ms"


async def _peak(
    service: Service, requests: Sequence[bytes], texts: Sequence[str], options: argparse.Namespace
) -> float:
    await _flood(service, requests, 8, 600, options.warm)
    new = requests[options.warm :]
    cpu, started = service.cpu_seconds(), time.perf_counter()
    statuses, latencies = await _flood(service, new, options.connections, options.seconds, len(new))
    wall, used = time.perf_counter() - started, service.cpu_seconds() - cpu
    count = statuses[200]
    print(
        f"one comment a request, {options.connections} connections: {count / wall:,.0f} decisions a second"
        f" ({dict(statuses)})"
    )
    print(f"  {used / count * 1000:.3f} ms of processor time each, so {count / used:,.0f} a second of one whole core")
    print(f"  {_told(latencies)}")
    batches = [
        post("/v1/decisions", {"comments": [{"text": text} for text in texts[at : at + 100]]})
        for at in range(0, len(texts) - 100, 100)
    ]
    cpu, started = service.cpu_seconds(), time.perf_counter()
    statuses, latencies = await _flood(service, batches, 4, options.seconds)
    wall, used = time.perf_counter() - started, service.cpu_seconds() - cpu
    count = statuses[200] * 100
    print(f"100 comments a request, seen before: {count / wall:,.0f} decisions a second ({dict(statuses)})")
    print(f"  {used / count * 1000:.3f} ms of processor time each, so {count / used:,.0f} a second of one whole core")
    print(f"  {_told(latencies)}")
    return statuses[200] / wall


async def _steady(
    service: Service, requests: Sequence[bytes], texts: Sequence[str], options: argparse.Namespace
) -> None:
    # Others than those measured: the encoder remembers the last texts it read.
    half = len(requests) // 2
    await _flood(service, requests[half:], 8, 600, options.warm)
    cpu = service.cpu_seconds()
    outcomes, latencies, _ = await _timed(service, requests[:half], options.connections, options.rate, options.seconds)
    used = service.cpu_seconds() - cpu
    print(
        f"{options.rate:g} a second, {options.classifier}: {dict(outcomes)}; {used / options.seconds:.0%} of one core"
    )
    print(f"  {_told(latencies)}")


async def _long(service: Service, requests: Sequence[bytes], texts: Sequence[str], options: Options) -> None:
    joined = "\n".join(texts)
    long = [post("/v1/decisions", {"text": joined[at : at + 2048]}) for at in range(0, len(joined) - 2048, 2048)]
    await _flood(service, long, 1, 600, 20)
    statuses, latencies = await _flood(service, long, 1, options.seconds)
    print(f"2 KB comments, {options.classifier}, one at a time: {dict(statuses)}")
    print(f"  {_told(latencies)}")


async def _memory(
    service: Service, requests: Sequence[bytes], texts: Sequence[str], options: argparse.Namespace
) -> None:
    done = 0
    step = max(1, options.requests // 10)
    while done < options.requests:
        statuses, _ = await _flood(service, requests, options.connections, 3600, step)
        done += sum(statuses.values())
        print(f"{done} requests: {service.megabytes():.1f} MB ({dict(statuses)})", flush=True)


async def _overload(
    service: Service, requests: Sequence[bytes], texts: Sequence[str], options: argparse.Namespace
) -> None:
    expected = {}
    connection = await connect(service.port)
    for number, request in enumerate(requests[:500]):
        _, _, body = await connection.ask(request)
        expected[number] = json.loads(body)
    await _flood(service, requests, 8, 600, options.warm)
    statuses, _ = await _flood(service, requests, options.connections, 5)
    peak = statuses[200] / 5
    wrong: list[str] = []

    def check(number: int, status: int, head: bytes, body: bytes) -> None:
        number %= len(requests)
        if status == 200 and number in expected and json.loads(body) != expected[number]:
            wrong.append("another decision")
        elif status == 503 and b"retry-after" not in head.lower():
            wrong.append("no Retry-After")
        elif status not in (200, 503):
            wrong.append(f"status {status}")

    rate = 5 * peak
    outcomes, _, answers = await _timed(service, requests, OVERLOAD_CONNECTIONS, rate, options.seconds, check)
    ended = time.perf_counter()
    print(f"{rate:,.0f} requests a second for {options.seconds:g} s, five times {peak:,.0f}")
    print(f"  {dict(outcomes)}; wrong: {dict(Counter(wrong))}")
    print(f"  of those decided, from when they were sent: {_told(answers)}")
    while True:
        connection = await connect(service.port)
        sent = time.perf_counter()
        status, _, _ = await connection.ask(requests[0])
        took = time.perf_counter() - sent
        connection.transport.close()
        if status == 200 and took < 0.1:
            break
    print(f"  itself again {time.perf_counter() - ended:.2f} s after the last answer ({took * 1000:.1f} ms)")


MEASURES: dict[str, Callable[[Service, Sequence[bytes], Sequence[str], Options], Awaitable[object]]] = {
    "peak": _peak,
    "steady": _steady,
    "long": _long,
    "memory": _memory,
    "overload": _overload,
}

if __name__ == "__main__":
    raise SystemExit(main())
