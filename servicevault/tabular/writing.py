"""Writing rows to a file of any format, compressed or not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import IO, Any

from servicevault.tabular import formats
from servicevault.tabular.containers import packed
from servicevault.tabular.options import WriteOptions


def write(
    target: IO[bytes],
    format_name: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    options: WriteOptions | None = None,
    *,
    name: str = "data",
) -> int:
    """Write all rows in constant memory and return their number; the same rows give the same bytes.

    Values are Python's: None, str, bool, int, float, Decimal, date, datetime, time, UUID, bytes, list, dict.
    `name` is what a zip's member is called, without extension. Raises OptionRefused and RowNotWritable.
    """
    options = options or WriteOptions()
    format_ = formats.writable(format_name)
    # A workbook is a compressed archive already.
    compression = options.compression if format_.is_text else "none"
    with packed(target, compression, f"{name}.{format_.extensions[0]}") as stream:
        return format_.write(stream, columns, rows, options)
