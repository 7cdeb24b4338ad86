"""Live progress on a terminal: placements attacked, questions answered, certified and found so far, time left."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from verifluxa.dispatch.observe import Observer, Silent
from verifluxa.dispatch.observe import Progress as Standing


@contextmanager
def progress() -> Iterator[Observer]:
    """An observer that draws on stderr where that is a terminal, and else says nothing."""
    console = Console(file=sys.stderr)
    if not console.is_terminal or console.is_dumb_terminal:
        yield Silent()
        return
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
        TextColumn("{task.fields[words]}"),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        refresh_per_second=5,
    ) as bars:
        yield _Bars(bars)


class _Bars:
    """One bar for each stage of each property."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[tuple[str, str], TaskID] = {}

    def update(self, progress: Standing) -> None:
        """Draws where the work stands."""
        key = (progress.name, progress.stage)
        attack = progress.stage == "attack"
        if key not in self._tasks:
            total = progress.placements if attack else progress.total
            self._tasks[key] = self._bars.add_task(f"{progress.name}: {progress.stage}", total=total, words="")
        done = progress.attacked if attack else progress.done
        self._bars.update(self._tasks[key], completed=done, words=words(progress))


def words(progress: Standing) -> str:
    """What stands beside the bar: `512 certified, found 13.5 %, 40 s of the budget left`."""
    parts = []
    if progress.stage == "prove":
        parts.append(f"{progress.certified:,} certified")
    if progress.falsified:
        parts.append(f"{progress.falsified:,} falsified")
    if progress.unknown:
        parts.append(f"{progress.unknown:,} unknown")
    if progress.found:
        parts.append(f"found {float(100 * progress.found):.1f} %")
    if progress.left is not None:
        parts.append(f"{progress.left:.0f} s of the budget left")
    return ", ".join(parts)
