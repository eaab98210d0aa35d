"""`python -m benchmarks <name> [--rows N ...]`: run one benchmark and write its table into docs/performance.md."""

from __future__ import annotations

import argparse
import os

from servicevault import embedded


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    names = ("import", "files", "file-imports", "exports", "pages", "rollback", "staging")
    parser.add_argument("name", nargs="?", default="import", choices=names)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 300_000, 1_000_000])
    parser.add_argument("--peer-rows", type=int, default=20_000)
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--no-write", action="store_true", help="print only, leave docs/performance.md as it is")
    options = parser.parse_args()

    embedded.export()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "servicevault.settings")
    from benchmarks import exports, file_imports, files, importing, pages, rollback, staging

    if options.name == "files":
        files.run(count=options.rows[-1], write_report=not options.no_write)
        return
    if options.name == "exports":
        exports.run(count=options.rows[-1], write_report=not options.no_write)
        return
    if options.name == "file-imports":
        file_imports.run(rows=options.rows[-1], peers=not options.no_peers, write=not options.no_write)
        return
    if options.name == "rollback":
        rollback.run(rows=options.rows[-1], write=not options.no_write)
        return
    if options.name == "staging":
        staging.run(rows=options.rows[0], write=not options.no_write)
        return
    if options.name == "pages":
        pages.run(write=not options.no_write)
        return
    importing.run(
        sizes=options.rows,
        peer_rows=0 if options.no_peers else options.peer_rows,
        write=not options.no_write,
    )


if __name__ == "__main__":
    main()
