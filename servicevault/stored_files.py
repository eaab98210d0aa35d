"""Files at rest between two requests: encrypted with a key of their own, readable from any place (F-086, F-175).

A file is a row of blocks, each sealed by AES-256-GCM under its number, so that a download may start anywhere and a
changed byte is noticed. The file's key is sealed with FIELD_ENCRYPTION_KEYS and kept by whoever owns the file,
never beside it. Names on disk are random and mode 0600.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

from cryptography.exceptions import InvalidTag
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

from servicevault.wording import say

BLOCK = 256 * 1024
STRAY_SECONDS = 24 * 3600  # a file nobody knows is left alone so long: a process may just be making it
_TAG = 16
_NAME = re.compile("[0-9a-f]{32}")


class FileGone(Exception):
    """The file was removed, damaged, or its key cannot be read any more."""


@dataclass(frozen=True)
class Stored:
    """What to remember of a stored file."""

    path: str
    key: bytes  # sealed
    size: int  # bytes of the content
    sha256: str  # of the content, hexadecimal


class Writer:
    """Takes the content piece by piece. Left without `close`, or by an exception, the file is removed."""

    def __init__(self, folder: str | Path) -> None:
        Path(folder).mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path = Path(folder) / secrets.token_hex(16)
        self._key = AESGCM.generate_key(256)
        self._cipher = AESGCM(self._key)
        self._file = os.fdopen(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        self._held = bytearray()
        self._blocks = 0
        self._digest = hashlib.sha256()
        self.size = 0
        self.stored: Stored | None = None

    def write(self, data: bytes | bytearray | memoryview) -> int:
        self._digest.update(data)
        self.size += len(data)
        rest = memoryview(data)
        while rest:
            taken = rest[: BLOCK - len(self._held)]
            self._held += taken
            rest = rest[len(taken) :]
            if len(self._held) == BLOCK:
                self._seal(self._held)
                self._held = bytearray()
        return len(data)

    def flush(self) -> None:
        """Nothing: a block is written when it is full."""

    def close(self) -> Stored:
        """Write the rest and return what to remember."""
        if self.stored is None:
            if self._held:
                self._seal(self._held)
            self._file.close()
            self.stored = Stored(str(self.path), _keys().encrypt(self._key), self.size, self._digest.hexdigest())
        return self.stored

    def discard(self) -> None:
        self._file.close()
        self.path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    def _seal(self, block: bytes | bytearray) -> None:
        self._file.write(self._cipher.encrypt(_nonce(self._blocks), block, None))
        self._blocks += 1


def read(stored: Stored, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
    """The content from byte `start` up to `stop`, in pieces of at most 256 KiB. Raises FileGone."""
    stop = stored.size if stop is None else min(stop, stored.size)
    try:
        cipher = AESGCM(_keys().decrypt(stored.key))
        with open(stored.path, "rb") as file:
            for number in range(start // BLOCK, -(-stop // BLOCK)):
                file.seek(number * (BLOCK + _TAG))
                block = cipher.decrypt(_nonce(number), file.read(BLOCK + _TAG), None)
                yield block[max(0, start - number * BLOCK) : stop - number * BLOCK]
    except (OSError, InvalidTag, InvalidToken) as error:
        raise FileGone(say("The file is not kept any more, or it was damaged.")) from error


@contextmanager
def opened(stored: Stored, folder: str | Path) -> Iterator[IO[bytes]]:
    """The content as a real file without a name, for readers that jump in it. Raises FileGone."""
    with tempfile.TemporaryFile(dir=folder) as file:
        for piece in read(stored):
            file.write(piece)
        file.flush()
        file.seek(0)
        yield file


def delete(path: str) -> None:
    """Remove a stored file; one that is gone already is no error, nor is none at all."""
    if path:
        Path(path).unlink(missing_ok=True)


def remove_stray(folder: str | Path, known: Collection[str]) -> int:
    """Remove files of ours that nobody knows, left by a process that died; other files in the folder stay."""
    if not Path(folder).is_dir():
        return 0
    removed = 0
    for path in Path(folder).iterdir():
        is_ours = _NAME.fullmatch(path.name) is not None and path.is_file()
        if is_ours and str(path) not in known and path.stat().st_mtime < time.time() - STRAY_SECONDS:
            path.unlink(missing_ok=True)
            removed += 1
    return removed


def _nonce(number: int) -> bytes:
    return number.to_bytes(12, "big")


def _keys() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in settings.FIELD_ENCRYPTION_KEYS])
