"""Processes that do nothing but keep a processor busy, to measure under load."""

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.synchronize import Event

LOOK = 1_000_000  # additions between two looks at whether it is over: some hundredths of a second


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """So many busy processes while the context is open; they end with this process, however it ends."""
    context = multiprocessing.get_context("spawn")
    over, ready = context.Event(), [context.Event() for _ in range(count)]
    workers = [context.Process(target=_be_busy, args=(over, each), daemon=True) for each in ready]
    for worker in workers:
        worker.start()
    try:
        for each in ready:
            each.wait()
        yield
    finally:
        over.set()
        for worker in workers:
            worker.join()


def _be_busy(over: Event, ready: Event) -> None:
    parent = multiprocessing.parent_process()
    ready.set()
    while not over.is_set() and parent is not None and parent.is_alive():
        sum(range(LOOK))
