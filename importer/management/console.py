"""What commands draw on a terminal."""

from __future__ import annotations

from types import TracebackType

from rich import box, progress
from rich.console import Console
from rich.table import Table

from importer.models import ImportJob
from servicevault.jobs.progress import Progress
from servicevault.wording import say

COUNTERS = {
    "read": say("Read"),
    "created": say("Created"),
    "updated": say("Updated"),
    "unchanged": say("Unchanged"),
    "skipped": say("Skipped"),
    "failed": say("Failed"),
    "review": say("Review"),
    "warnings": say("Warnings"),
}
REPORT_COLUMNS = 116  # characters of a report that goes to a file or a pipe; a terminal has its own width


def report_console(*, stderr: bool = False) -> Console:
    """A console whose tables are readable in a log as well as on a terminal."""
    console = Console(stderr=stderr, highlight=False)
    if not console.is_terminal:
        console.width = REPORT_COLUMNS
    return console


class BarSink:
    """A progress bar that follows a job."""

    def __init__(self, console: Console, *, title: str) -> None:
        self.title = title
        self.bar = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.TextColumn("{task.completed:,.0f} rows"),
            progress.TimeElapsedColumn(),
            console=console,
            transient=True,
        )

    def __enter__(self) -> BarSink:
        self.bar.start()
        self.task = self.bar.add_task(self.title, total=None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def update(self, progress: Progress) -> None:
        self.bar.update(
            self.task,
            description=f"{self.title}: {progress.operation}",
            completed=progress.processed,
            total=progress.total,
        )


def counters_table(job: ImportJob) -> Table:
    """One line a query: rows read and what became of them."""
    table = Table(
        title=str(say("{job} of {source_name}: {status}", job=job, source_name=job.source_name, status=job.status)),
        box=box.SIMPLE_HEAD,
        padding=(0, 1),
    )
    table.add_column(say("Query"))
    for word in COUNTERS.values():
        table.add_column(word, justify="right", no_wrap=True)
    for run in job.runs.all():
        table.add_row(run.name, *(f"{getattr(run, name):,}" for name in COUNTERS))
    return table
