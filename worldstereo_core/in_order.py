"""Work on the chunks of something large, several at once, with the results in order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

Result = TypeVar("Result")

THREADS = min(os.cpu_count() or 1, 8)
_WAITING = THREADS + 2  # results that may wait for their turn, so that memory stays bounded


@contextmanager
def thread_pool() -> Iterator[ThreadPoolExecutor]:
    """Threads for ``in_order``; when the block ends, early or not, no work is left running."""
    pool = ThreadPoolExecutor(THREADS)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def in_order(
    pool: ThreadPoolExecutor, work: Callable[[int, int], Result], count: int, chunk: int
) -> Iterator[tuple[int, Result]]:
    """Call ``work(first, end)`` on every chunk of ``count`` items.

    Gains where the work leaves Python's lock to others, as numpy and zlib do on large arrays.

    Yields: the number of items up to the chunk's end, and its result.
    """
    waiting: deque[tuple[int, Future[Result]]] = deque()
    for first in range(0, count, chunk):
        end = min(first + chunk, count)
        waiting.append((end, pool.submit(work, first, end)))
        if len(waiting) == _WAITING:
            done, job = waiting.popleft()
            yield done, job.result()
    while waiting:
        done, job = waiting.popleft()
        yield done, job.result()
