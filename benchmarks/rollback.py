"""Rolling an import of tickets back and bringing it back again, beside the import itself."""

from __future__ import annotations

from benchmarks import report
from benchmarks.world import World


def run(*, rows: int, write: bool) -> None:
    """Import, look at the rollback, roll back, undo; print the table, put it into docs/performance.md where asked."""
    print(f"{rows:,} rows: generating", flush=True)
    world = World(rows)
    try:
        imported = world.import_()
        world.settle()
        steps = {"import, 1 worker": imported}
        for what, arguments in {
            "preview of the rollback": ("--dry-run",),
            "rollback": (),
            "undo of the rollback": ("--undo",),
        }.items():
            print(f"  {what}", flush=True)
            steps[what] = world.roll_back(imported.job_id, *arguments)
    finally:
        world.close()
    lines = ["| what | records | records/s | ratio to the import | peak RSS |", "|---|---:|---:|---:|---:|"]
    lines += [
        f"| {what} | {step.rows:,} | {step.rate:,.0f} | {step.rate / imported.rate:.2f} | {step.peak_rss_mib:.0f} MiB |"
        for what, step in steps.items()
    ]
    text = "\n".join(lines)
    print(text)
    if write:
        report.write("rollback", text)
