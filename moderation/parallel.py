"""Call a function on many tasks: in this process, in several, or on a Dask cluster; results in the tasks' order."""

import os
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

from moderation.errors import MissingPackageError, RunError

T = TypeVar("T")
AHEAD = 3
"""Tasks that are handed out for each worker, so that none waits for the next."""
WATCH_SECONDS = 1.0


def call_each(
    function: Callable[..., T],
    tasks: Iterable[tuple[Any, ...]],
    *,
    jobs: int = 1,
    scheduler: str | None = None,
    window: int | None = None,
) -> Iterator[T]:
    """Call a function with each tuple of arguments and give the results in order, as they come.

    Tasks are taken from the iterable only as workers need them, so that it may be endless.

    Parameters
    ----------
    jobs
        Processes on this machine; 1 for this process itself.
    scheduler
        Address of a Dask scheduler, whose workers do the work instead.
    window
        At most so many tasks for each worker are begun before all results of those were taken: for results
        that are large. None where they are small.

    Raises
    ------
    RunError
        When a worker process was ended from outside, or no cluster is there.
    """
    if scheduler is None and jobs == 1:
        for task in tasks:
            yield function(*task)
        return
    failed: list[Exception] = []

    def guarded() -> Iterator[tuple[Any, ...]]:
        # joblib takes tasks in a thread of its own, where an error would be lost.
        try:
            yield from tasks
        except Exception as error:
            failed.append(error)

    if scheduler is not None:
        yield from _on_cluster(function, guarded(), scheduler)
    else:
        yield from _in_processes(function, guarded(), jobs, window)
    if failed:
        raise failed[0]


def _in_processes(
    function: Callable[..., T], tasks: Iterator[tuple[Any, ...]], jobs: int, window: int | None
) -> Iterator[T]:
    """Source: https://joblib.readthedocs.io/en/stable/generated/joblib.Parallel.html, ``return_as``."""
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    try:
        while True:
            taken = islice(tasks, jobs * window) if window else tasks
            pool = Parallel(
                jobs,
                backend="loky",
                batch_size=1,
                pre_dispatch=AHEAD * jobs,
                return_as="generator",
                initializer=_watch,
                initargs=(os.getpid(),),
            )
            done = 0
            with _given_up(pool(delayed(function)(*task) for task in taken)) as results:
                for result in results:
                    done += 1
                    yield result
            if not window or not done:
                return
    except TerminatedWorkerError as error:
        raise RunError("a worker process was ended from outside, perhaps for want of memory; try fewer jobs") from error


@contextmanager
def _given_up(results: Generator[T, None, None]) -> Iterator[Iterator[T]]:
    """Give up what was not taken; joblib's advice to hand out less is none to who interrupts a review."""
    try:
        yield results
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            results.close()


def _watch(parent: int) -> None:
    """Have a worker end itself when its parent was killed, instead of waiting for tasks for ever."""
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(WATCH_SECONDS)
    os._exit(1)


def _on_cluster(function: Callable[..., T], tasks: Iterable[tuple[Any, ...]], scheduler: str) -> Iterator[T]:
    """Source: https://joblib.readthedocs.io/en/stable/auto_examples/parallel/distributed_backend_simple.html."""
    try:
        from distributed import Client
        from distributed.comm import get_address_host_port
        from distributed.scheduler import KilledWorker
    except ImportError as error:
        raise MissingPackageError(error.name, "dask") from error
    from joblib import Parallel, delayed, parallel_config

    try:
        get_address_host_port(scheduler)  # Of what is no address a client would stay half made, for 40 seconds.
        client = Client(scheduler, timeout="20s", set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise RunError(f"{scheduler}: no Dask scheduler answers there; start one with `dask scheduler`") from error
    try:
        workers = max(1, sum(client.nthreads().values()))
        with parallel_config(backend="dask", client=client):
            pool = Parallel(workers, batch_size=1, pre_dispatch=AHEAD * workers, return_as="generator")
            with _given_up(pool(delayed(function)(*task) for task in tasks)) as results:
                yield from results
    except KilledWorker as error:
        raise RunError("a task ended several workers one after another, perhaps for want of memory") from error
    finally:
        client.close()
