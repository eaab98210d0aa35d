"""First load and re-sync against raw COPY, by size and number of workers, and against two peers."""

from __future__ import annotations

import platform
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime

from benchmarks import peers, report
from benchmarks.world import PROJECT, Measured, World, copy_seconds


@dataclass(frozen=True)
class Line:
    what: str
    rows: int
    rate: float
    ratio: float  # to COPY into a table with the same indexes, checks and foreign keys
    bare_ratio: float  # to COPY into a table with a primary key and one unique key
    rss_mib: float | None = None


def run(*, sizes: list[int], peer_rows: int, write: bool) -> None:
    """Measure, print, and write docs/performance.md."""
    lines: list[Line] = []
    for size in sizes:
        lines += measure(size)
    beside = peers.measure(peer_rows) if peer_rows else []
    text = "\n".join([*_table(lines), "", *_peer_table(beside, peer_rows)])
    print(text)
    if write:
        report.write("import", _head() + text)


def measure(size: int) -> list[Line]:
    """Every variant at one size; the limit is measured before and after, in the same run."""
    print(f"{size:,} rows: generating", flush=True)
    world = World(size)
    try:
        runs: list[tuple[str, Measured]] = []
        for workers in (1, 2):
            world.empty_tickets()
            runs.append((f"first load, {_workers(workers)}", world.import_(workers=workers)))
            _said(runs[-1])
        limits = [copy_seconds(world, bare=False)]
        bare = [copy_seconds(world, bare=True)]
        for workers in (1, 2):
            world.settle()
            runs.append((f"re-sync, nothing changed, {_workers(workers)}", world.import_(workers=workers)))
            _said(runs[-1])
        for workers in (1, 2):
            world.change(10)
            world.settle()
            runs.append((f"re-sync, 10 % changed, {_workers(workers)}", world.import_(workers=workers)))
            _said(runs[-1])
        limits.append(copy_seconds(world, bare=False))
        bare.append(copy_seconds(world, bare=True))
        limit, bare_limit = size * len(limits) / sum(limits), size * len(bare) / sum(bare)
        lines = [
            Line("raw COPY, same keys and rules (the limit)", size, limit, 1.0, limit / bare_limit),
            Line("raw COPY, primary and one unique key", size, bare_limit, bare_limit / limit, 1.0),
        ]
        lines += [
            Line(what, size, run.rate, run.rate / limit, run.rate / bare_limit, run.peak_rss_mib) for what, run in runs
        ]
        return lines
    finally:
        world.close()


def _said(run: tuple[str, Measured]) -> None:
    what, measured = run
    print(f"  {what}: {measured.rate:,.0f} rows/s, {measured.peak_rss_mib:.0f} MiB, {measured.outcomes}", flush=True)


def _workers(count: int) -> str:
    return f"{count} worker" + ("s" if count > 1 else "")


def _table(lines: list[Line]) -> list[str]:
    found = [
        "| rows | what | rows/s | ratio to the limit | ratio to bare COPY | peak RSS of a worker |",
        "|---:|---|---:|---:|---:|---:|",
    ]
    for line in lines:
        rss = f"{line.rss_mib:.0f} MiB" if line.rss_mib else ""
        found.append(
            f"| {line.rows:,} | {line.what} | {line.rate:,.0f} | {line.ratio:.2f} | {line.bare_ratio:.2f} | {rss} |"
        )
    return found


def _peer_table(found: list[peers.Peer], rows: int) -> list[str]:
    table = []
    for into in dict.fromkeys(peer.into for peer in found):
        beside = [peer for peer in found if peer.into == into]
        ours = [peer.rate for peer in beside if peer.ours]
        table += [f"Peers, {rows:,} of the same rows into {into}:", ""]
        table += ["| what | rows/s | ours is faster, 1 and 2 workers |", "|---|---:|---:|"]
        for peer in beside:
            faster = "" if peer.ours else ", ".join(f"{rate / peer.rate:.1f} x" for rate in ours)
            table.append(f"| {peer.name} | {peer.rate:,.0f} | {faster} |")
        table.append("")
    return table


def _head() -> str:
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    return (
        f"`python -m benchmarks import`, {datetime.now(UTC):%Y-%m-%d}, commit {commit.stdout.strip() or 'unknown'}, "
        f"Python {platform.python_version()}, PostgreSQL 18 (embedded), {_cores()}.\n\n"
    )


def _cores() -> str:
    import os

    return f"{os.cpu_count()} cores"
