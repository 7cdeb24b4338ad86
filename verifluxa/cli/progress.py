"""Live progress on a terminal: placements attacked, questions answered, certified and found so far, time left."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from verifluxa import logs
from verifluxa.dispatch.observe import Observer, Silent
from verifluxa.dispatch.observe import Progress as RunProgress

STAGES = {"attack": "attack", "prove": "prove "}


@contextmanager
def progress() -> Iterator[Observer]:
    """An observer that draws on stderr where that is a terminal, and else says nothing."""
    console = Console(file=sys.stderr)
    if not console.is_terminal or console.is_dumb_terminal or logs.is_written():
        yield Silent()
        return
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=12),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[words]}"),
        console=console,
        transient=True,
        refresh_per_second=5,
    ) as bars:
        yield _Bars(bars)


class _Bars:
    """The name of each property once, and below it the bar of its current stage."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[tuple[str, str], TaskID] = {}

    def update(self, progress: RunProgress) -> None:
        """Draws where the work stands."""
        key = (progress.name, progress.stage)
        attack = progress.stage == "attack"
        if key not in self._tasks:
            self._start(progress, progress.placements if attack else progress.total)
        done = progress.attacked if attack else progress.done
        self._bars.update(self._tasks[key], completed=done, words=words(progress))

    def _start(self, progress: RunProgress, total: int) -> None:
        if progress.name not in {name for name, _ in self._tasks}:
            self._bars.console.print(progress.name, style="bold", highlight=False, markup=False)
        for earlier in self._tasks.values():
            self._bars.update(earlier, visible=False)
        self._tasks[progress.name, progress.stage] = self._bars.add_task(STAGES[progress.stage], total=total, words="")


def words(progress: RunProgress) -> str:
    """What stands beside the count: `certified, found 13.5 %, budget 40 s`."""
    parts = []
    if progress.stage == "prove":
        everything = progress.certified == progress.done
        parts.append("certified" if everything else f"{progress.certified:,} certified")
    if progress.falsified:
        parts.append(f"{progress.falsified:,} falsified")
    if progress.unknown:
        parts.append(f"{progress.unknown:,} unknown")
    if progress.found:
        parts.append(f"found {float(100 * progress.found):.1f} %")
    if progress.proved is not None:
        parts.append(f"proved {float(100 * progress.proved):.1f} %")
    if progress.left is not None:
        parts.append(f"budget {progress.left:.0f} s")
    return ", ".join(parts)
