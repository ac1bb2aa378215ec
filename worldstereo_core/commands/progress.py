"""Progress bars on stderr, silent when nobody looks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress_bar(label: str, unit: str = "frame") -> Iterator[Callable[[int, int], None]]:
    """Give a function (done, total) that moves a bar; the bar closes with the block."""
    from tqdm import tqdm

    with tqdm(desc=label, unit=unit, total=0, leave=True, disable=None) as bar:

        def move(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)
            bar.refresh()

        yield move
