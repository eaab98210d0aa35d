"""gzip and zip around one file: unpacked while reading, packed the same way each time."""

from __future__ import annotations

import gzip
import io
import lzma
import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from servicevault.tabular.errors import FileRejected
from servicevault.tabular.limits import MIB, Limits
from servicevault.wording import say, say_count

GZIP_MAGIC = b"\x1f\x8b"
ZIP_MAGICS = (b"PK\x03\x04", b"PK\x05\x06")
ARCHIVE_MAGICS = (GZIP_MAGIC, b"7z\xbc\xaf\x27\x1c", b"Rar!", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")
EPOCH = (1980, 1, 1, 0, 0, 0)  # the first moment a zip can name: the same rows give the same bytes


def is_workbook(names: list[str]) -> bool:
    """Say whether a zip's members are an Office document or alike."""
    return "[Content_Types].xml" in names or any(name.startswith("xl/") for name in names)


def open_zip(stream: IO[bytes], limits: Limits) -> zipfile.ZipFile:
    """Return the archive, its directory checked; damaged, encrypted and overlong ones are refused."""
    try:
        archive = zipfile.ZipFile(stream)
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError, EOFError) as error:
        raise FileRejected(
            say("The zip archive is damaged: its directory cannot be read. Send the file again.")
        ) from error
    members = archive.infolist()
    if len(members) > limits.archive_members:
        raise FileRejected(
            say_count(
                "The archive has {count} part; at most {archive_members:,} are read.",
                "The archive has {count:,} parts; at most {archive_members:,} are read.",
                len(members),
                archive_members=limits.archive_members,
            )
        )
    if any(member.flag_bits & 1 for member in members):
        raise FileRejected(say("The archive is protected by a password. Remove the password and send it again."))
    return archive


def files_in(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The files of an archive; what macOS and Windows put beside them unasked is none."""
    return [
        member
        for member in archive.infolist()
        if not member.is_dir()
        and not member.filename.startswith("__MACOSX/")
        and member.filename.rpartition("/")[2] not in {".DS_Store", "Thumbs.db", "desktop.ini"}
    ]


@contextmanager
def opened(stream: IO[bytes], limits: Limits, member: str = "") -> Iterator[tuple[str, str, IO[bytes]]]:
    """Yield (container, inner name, content) of a file that may be compressed; workbooks stay as they are.

    Of an archive with several files, `member` is the one that is wanted.
    """
    stream.seek(0)
    head = stream.read(8)
    stream.seek(0)
    if head.startswith(GZIP_MAGIC):
        with packing_errors(), gzip.GzipFile(fileobj=stream, mode="rb") as unpacked:
            yield "gzip", "", _checked(unpacked, _size(stream), limits)
    elif head.startswith(ZIP_MAGICS):
        archive = open_zip(stream, limits)
        names = [member.filename for member in files_in(archive)]
        if is_workbook(names):
            stream.seek(0)
            yield "", "", stream
            return
        if member in names:
            names = [member]
        if len(names) != 1:
            raise FileRejected(
                say_count(
                    "The zip archive holds {count} file. Send an archive with exactly one file.",
                    "The zip archive holds {count} files. Send an archive with exactly one file.",
                    len(names),
                )
            )
        with packing_errors(), archive.open(names[0]) as content:
            yield "zip", names[0], _checked(content, _size(stream), limits)
    else:
        yield "", "", stream


def _checked(content: IO[bytes] | gzip.GzipFile, packed_size: int, limits: Limits) -> IO[bytes]:
    capped = Capped(content, packed_size, limits)
    head = capped.read(8)
    nested_workbook = head.startswith(ZIP_MAGICS) and _is_workbook_inside(capped, limits)
    if head.startswith(ARCHIVE_MAGICS) or (head.startswith(ZIP_MAGICS) and not nested_workbook):
        raise FileRejected(say("The archive holds another archive. Unpack it and send the file inside."))
    capped.seek(0)
    return capped  # type: ignore[return-value]


def _is_workbook_inside(content: Capped, limits: Limits) -> bool:
    content.seek(0)
    return is_workbook(open_zip(content, limits).namelist())  # type: ignore[arg-type]


@contextmanager
def packing_errors() -> Iterator[None]:
    """Say FileRejected for what unpacking damaged content raises."""
    try:
        yield
    except (zlib.error, lzma.LZMAError, EOFError, zipfile.BadZipFile, gzip.BadGzipFile, NotImplementedError) as error:
        raise FileRejected(say("The compressed file is damaged or cut off. Compress and send it again.")) from error


def _size(stream: IO[bytes]) -> int:
    position = stream.tell()
    size = stream.seek(0, os.SEEK_END)
    stream.seek(position)
    return size


class Capped(io.RawIOBase):
    """Unpacked content that refuses to grow beyond the limits: what is read counts, not what the archive claims."""

    def __init__(self, content: IO[bytes] | gzip.GzipFile, packed_size: int, limits: Limits) -> None:
        self._content = content
        self._most = max(limits.expansion_bytes, packed_size * limits.expansion_ratio)
        self._ratio = limits.expansion_ratio
        self._read = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes, all there are without one."""
        if size is not None and size >= 0:
            return self._counted(self._content.read(size))
        pieces = []
        while piece := self._counted(self._content.read(MIB)):
            pieces.append(piece)
        return b"".join(pieces)

    def _counted(self, data: bytes) -> bytes:
        if self._content.tell() > self._most:
            raise FileRejected(
                say(
                    "The file unpacks to more than {ratio} times its size and over {most:,} MB. Send it unpacked.",
                    ratio=self._ratio,
                    most=self._most // MIB,
                )
            )
        return data

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move; going back unpacks again from the start, going to the end unpacks everything within the limits."""
        if whence == os.SEEK_END:
            while self.read(MIB):
                pass
        return self._content.seek(offset, whence)

    def tell(self) -> int:
        return self._content.tell()


@contextmanager
def packed(target: IO[bytes], compression: str, name: str) -> Iterator[IO[bytes]]:
    """Yield where to write so that `target` gets the compressed file; `name` is the member of a zip."""
    if compression == "gzip":
        with gzip.GzipFile(filename="", fileobj=target, mode="wb", mtime=0, compresslevel=6) as stream:
            yield stream  # type: ignore[misc]
    elif compression == "zip":
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive, new_member(archive, name) as stream:
            yield stream
    else:
        yield target


def new_member(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    """Open a new part of an archive for writing, without a moment of writing in it."""
    info = zipfile.ZipInfo(name, date_time=EPOCH)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o600 << 16
    return archive.open(info, "w", force_zip64=True)
