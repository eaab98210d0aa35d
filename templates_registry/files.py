"""A pack's files: one folder or one zip (N-150), read within limits and written in one way (N-151)."""

from __future__ import annotations

import io
import re
import stat
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from importer.errors import PackError
from servicevault.wording import say

MAIN, CHANGELOG, SIGNATURE = "pack.yaml", "CHANGELOG.md", "signature"
MAX_ENTRIES = 200
MAX_FILE = 5 * 1024 * 1024
MAX_TOTAL = 20 * 1024 * 1024
_ALLOWED = re.compile(
    r"pack\.yaml|CHANGELOG\.md|signature|fixtures/[\w.-]{1,80}\.sql|expected/[\w.-]{1,80}\.json", re.ASCII
)
_MOMENT = (1980, 1, 1, 0, 0, 0)  # the same for every file: equal packs are equal bytes


@dataclass(frozen=True)
class PackFiles:
    """The texts of a pack by path; pack.yaml is always among them."""

    texts: Mapping[str, str]

    @property
    def main(self) -> str:
        return self.texts[MAIN]

    @property
    def others(self) -> dict[str, str]:
        return {path: text for path, text in sorted(self.texts.items()) if path != MAIN}

    def fixtures(self) -> Iterator[tuple[str, str]]:
        """Name and SQL of each fixture."""
        for path, text in sorted(self.texts.items()):
            if path.startswith("fixtures/"):
                yield Path(path).stem, text


def read_folder(folder: Path) -> PackFiles:
    """The pack in a folder; hidden files are none of it. Raises PackError naming a file that does not belong."""
    if not (folder / MAIN).is_file():
        raise PackError(
            say("{folder} has no {main}.", folder=folder.name, main=MAIN),
            hint=say("A pack is a folder with a pack.yaml."),
            where=folder.name,
        )
    found: dict[str, bytes] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            raise PackError(say("{name} is a link.", name=name), hint=say("A pack holds files only."), where=name)
        if path.is_dir() or any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        if path.stat().st_size > MAX_FILE:
            raise _too_large(name)
        found[name] = path.read_bytes()
    return _checked(found)


def read_zip(content: bytes) -> PackFiles:
    """The pack in a zip. Raises PackError for anything but a small zip of plain files with relative names."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
    except (zipfile.BadZipFile, ValueError, OSError):
        raise PackError(say("This is not a zip file."), hint=say("Export the pack again.")) from None
    with archive:
        entries = [entry for entry in archive.infolist() if not entry.is_dir()]
        if len(archive.infolist()) > MAX_ENTRIES:
            raise PackError(
                say("The zip has more than {max_entries} entries.", max_entries=MAX_ENTRIES),
                hint=say("Zip the files of the pack alone."),
            )
        found: dict[str, bytes] = {}
        for entry in entries:
            found |= _entry(archive, entry, found)
            if sum(map(len, found.values())) > MAX_TOTAL:
                raise PackError(
                    say("The zip unpacks to more than {max_total} MB.", max_total=MAX_TOTAL // 1024 // 1024),
                    hint=say("Zip the files of the pack alone."),
                )
    return _checked(found)


def to_zip(files: PackFiles) -> bytes:
    """The pack as a zip; equal packs give equal bytes."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, text in sorted(files.texts.items()):
            entry = zipfile.ZipInfo(path, _MOMENT)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, text.encode())
    return target.getvalue()


def _entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, before: Mapping[str, bytes]) -> dict[str, bytes]:
    name = entry.orig_filename
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if name.startswith("/") or "\\" in name or ":" in name or "\x00" in name or ".." in name.split("/"):
        raise PackError(
            say("“{name!r}” is no relative path.", name=name[:80]),
            hint=say("Paths are relative to the pack."),
            where=name[:80],
        )
    if kind not in (0, stat.S_IFREG):
        raise PackError(say("{name} is no plain file.", name=name), hint=say("A pack holds files only."), where=name)
    if entry.flag_bits & 1:
        raise PackError(
            say("{name} is encrypted.", name=name), hint=say("Zip the pack without a password."), where=name
        )
    if name in before:
        raise PackError(say("{name} is in the zip twice.", name=name), hint=say("Zip the folder again."), where=name)
    try:
        with archive.open(entry) as file:
            content = file.read(MAX_FILE + 1)  # what it says of its size proves nothing
    except (zipfile.BadZipFile, NotImplementedError, OSError, EOFError, ValueError):
        raise PackError(
            say("{name} cannot be unpacked.", name=name), hint=say("Export the pack again."), where=name
        ) from None
    except zlib.error:
        raise PackError(
            say("{name} cannot be unpacked.", name=name), hint=say("Export the pack again."), where=name
        ) from None
    if len(content) > MAX_FILE:
        raise _too_large(name)
    return {name: content}


def _checked(found: Mapping[str, bytes]) -> PackFiles:
    if MAIN not in found:
        raise PackError(
            say("There is no {main}.", main=MAIN),
            hint=say("{main} lies at the top of the pack.", main=MAIN),
            where=MAIN,
        )
    texts: dict[str, str] = {}
    for name, content in found.items():
        if not _ALLOWED.fullmatch(name):
            hint = say("A pack has pack.yaml, CHANGELOG.md, signature, fixtures/*.sql and expected/*.json.")
            raise PackError(say("{name} does not belong into a pack.", name=name[:80]), hint=hint, where=name[:80])
        try:
            texts[name] = content.decode("utf-8")
        except UnicodeDecodeError:
            raise PackError(say("{name} is not UTF-8.", name=name), hint=say("Save it as UTF-8."), where=name) from None
        if "\x00" in texts[name]:
            raise PackError(
                say("{name} holds a character that no text can hold.", name=name), hint=say("Remove it."), where=name
            )
    return PackFiles(texts)


def _too_large(name: str) -> PackError:
    return PackError(
        say("{name} has more than {max_file} MB.", name=name, max_file=MAX_FILE // 1024 // 1024),
        hint=say("Make the file smaller."),
        where=name,
    )
