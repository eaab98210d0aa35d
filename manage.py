#!/usr/bin/env python
"""Run a command of the project; without DATABASE_URL and REDIS_URL on the embedded servers."""

from __future__ import annotations

import os
import sys

from servicevault import embedded

NEEDS_NO_SERVER = {"", "help", "--help", "-h", "version", "--version"}


def main(arguments: list[str]) -> None:
    command = arguments[1] if len(arguments) > 1 else ""
    if command == "embedded":
        raise SystemExit(embedded.main(arguments[2:]))
    asks_only = command in NEEDS_NO_SERVER or not {"-h", "--help"}.isdisjoint(arguments)
    try:
        embedded.export(start=not asks_only)
    except embedded.EmbeddedError as error:
        raise SystemExit(f"service vault: {error}") from error
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "servicevault.settings")
    from django.core.management import execute_from_command_line  # after the environment is complete

    execute_from_command_line(arguments)


if __name__ == "__main__":
    main(sys.argv)
