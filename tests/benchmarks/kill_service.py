"""SIGKILL a service under load, again and again: every decision that it answered must be in the audit log.

Usage: python tests/benchmarks/kill_service.py [--times N] [--data DIR] [--audit URL]
"""

import argparse
import asyncio
import json
import random
import tempfile
import time
from pathlib import Path

import uvloop
from service_client import Service, connect, load_average, news, post

from moderation.service.audit import AuditLog


def main() -> int:
    """Kill, count and print; status 1 when a decision is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=50, help="how often (default 50)")
    parser.add_argument("--data", type=Path, help="folder of the labelled data sets; sentences of our own without")
    parser.add_argument("--audit", default="", help="URL of the audit log; SQLite in a fresh folder if not given")
    options = parser.parse_args()
    texts = news(options.data, 2000)
    answered: dict[str, bytes] = {}
    print(load_average())
    with tempfile.TemporaryDirectory(prefix="moderation-kill-") as folder:
        extra = ("--audit", options.audit) if options.audit else ()
        for number in range(options.times):
            service = Service(Path(folder), "--classifier", "linear", *extra)
            service.start()
            before = len(answered)
            uvloop.run(_load(service, texts, number, answered))
            print(f"killed {number + 1} times, {len(answered) - before} answered before", flush=True)
        log = AuditLog(options.audit or f"sqlite:///{folder}/audit.db")
        stored = {entry["id"]: entry["decision"] for entry in log.every()}
        missing = [name for name in answered if name not in stored]
        wrong = [name for name, body in answered.items() if name in stored and json.loads(body) != stored[name]]
        log.close()
    print(f"{len(answered)} decisions answered, {len(stored)} recorded; missing {len(missing)}, different {len(wrong)}")
    return 1 if missing or wrong else 0


async def _load(service: Service, texts: list[str], run: int, answered: dict[str, bytes]) -> None:
    """Load it with single comments and batches, and kill it after some answers, a number of chance."""
    alive = True
    enough = len(answered) + random.Random(run).randint(50, 1000)

    async def client(own: int) -> None:
        connection = await connect(service.port)
        number = 0
        while alive:
            number += 1
            many = 1 if own else 20
            names = [f"{run}-{own}-{number}-{index}" for index in range(many)]
            comments = [{"id": name, "text": texts[hash(name) % len(texts)]} for name in names]
            try:
                status, _, body = await connection.ask(
                    post("/v1/decisions", {"comments": comments} if many > 1 else comments[0])
                )
            except OSError:
                return
            if status == 200:
                found = json.loads(body)["decisions"] if many > 1 else [json.loads(body)]
                answered.update((one["id"], json.dumps(one).encode()) for one in found)

    clients = [asyncio.create_task(client(own)) for own in range(16)]
    started = time.perf_counter()
    while len(answered) < enough and time.perf_counter() - started < 60:
        await asyncio.sleep(0.001)
    service.kill()
    alive = False
    await asyncio.wait(clients, timeout=60)
    assert all(client.done() for client in clients), "a client was left hanging"


if __name__ == "__main__":
    raise SystemExit(main())
