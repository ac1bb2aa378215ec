"""Progress bars on stderr, silent when nobody looks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def progress_bar(label: str, unit: str = "frame") -> Iterator[Callable[[int, int], None]]:
    """Give a function (done, total) that moves a bar; the bar closes with the block."""
    with StageBars("") as bars:
        yield bars.stage(label, unit)


class StageBars:
    """One bar after another: a new stage closes the bar before it.

    Args:
        name: put before each stage's label.
    """

    def __init__(self, name: str):
        self.name = name
        self.label = ""
        self.bar: Any = None

    def __enter__(self) -> StageBars:
        return self

    def __exit__(self, *error: object) -> None:
        self._close()

    def stage(self, label: str, unit: str = "frame") -> Callable[[int, int], None]:
        """A function (done, total) that moves the bar of one stage."""
        return lambda done, total: self.move(label, done, total, unit)

    def move(self, label: str, done: int, total: int, unit: str = "step") -> None:
        from tqdm import tqdm

        if label != self.label:
            self._close()
            self.label = label
            self.bar = tqdm(desc=f"{self.name} {label}".strip(), unit=unit, total=total, disable=None)
        self.bar.total = total
        self.bar.update(done - self.bar.n)

    def _close(self) -> None:
        if self.bar is not None:
            self.bar.close()
        self.bar, self.label = None, ""
