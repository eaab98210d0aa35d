"""What each format offers: recognising content, inspecting, reading and writing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import IO, Any, ClassVar

from servicevault.tabular.limits import Limits
from servicevault.tabular.options import ReadOptions, WriteOptions
from servicevault.tabular.records import Detection, Notice, Reading


@dataclass(frozen=True)
class Head:
    """The beginning of a file, by which formats recognise their content."""

    data: bytes
    text: str  # decoded, without byte order mark; empty for binary content
    stream: IO[bytes]
    limits: Limits


class Format(ABC):
    """One file format. A new one is a subclass and an entry in `formats.FORMATS`."""

    name: ClassVar[str]
    label: ClassVar[str]
    extensions: ClassVar[tuple[str, ...]]
    aliases: ClassVar[tuple[str, ...]] = ()
    media_type: ClassVar[str] = "application/octet-stream"
    is_text: ClassVar[bool] = True
    also_reads: ClassVar[frozenset[str]] = frozenset()  # formats whose content may be read as this one when declared
    can_write: ClassVar[bool] = True

    @abstractmethod
    def recognise(self, head: Head) -> str:
        """Return what in the content shows this format, or empty text."""

    def inspect(self, stream: IO[bytes], options: ReadOptions, limits: Limits, found: Detection) -> Detection:
        """Return `found` completed with what only this format has: delimiter, sheets, record paths."""
        return found

    @abstractmethod
    def read(self, stream: IO[bytes], options: ReadOptions, limits: Limits) -> Reading:
        """Open the file for reading; `options` are settled, nothing is left to find out."""

    def write(
        self, target: IO[bytes], columns: Sequence[str], rows: Iterable[Sequence[Any]], options: WriteOptions
    ) -> int:
        """Write all rows in constant memory and return their number."""
        raise NotImplementedError(f"{self.label} is only read, not written.")


def with_notices(found: Detection, *notices: Notice) -> Detection:
    """Return the detection with more notices."""
    return replace(found, notices=found.notices + notices)
