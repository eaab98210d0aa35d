"""Honest files, each spoiled in twenty ways that disks, editors, mail gateways and attackers know; no chance in it."""

from __future__ import annotations

import gzip
import io
import random
from collections.abc import Callable

from servicevault.tabular.options import WriteOptions
from servicevault.tabular.writing import write
from tests.servicevault.tabular.files import EXCEL_97, zipped

COLUMNS = ["id", "name", "note", "amount", "since"]
ROWS = [[n, f"Zoë {n}", f'a, "b"\n<c> & =1+{n}', f"{n}.50", f"2024-02-{n:02}"] for n in range(1, 29)]


def _written(format_name: str) -> bytes:
    target = io.BytesIO()
    write(target, format_name, COLUMNS, ROWS, WriteOptions())
    return target.getvalue()


def _utf_16() -> bytes:
    return _written("csv").decode().encode("utf-16")


HONEST: dict[str, Callable[[], bytes]] = {
    **{name: (lambda name=name: _written(name)) for name in ("csv", "json", "jsonl", "xml", "yaml", "xlsx")},
    "csv.utf-16": _utf_16,
    "csv.latin-1": lambda: _written("csv").decode().encode("latin-1"),
    "csv.gz": lambda: gzip.compress(_written("csv"), mtime=0),
    "json.zip": lambda: zipped(**{"rows.json": _written("json")}),
    "xml.gz": lambda: gzip.compress(_written("xml"), mtime=0),
    "xls": EXCEL_97.read_bytes,
}


def _at(data: bytes, part: float) -> int:
    return int(len(data) * part)


def _flipped(data: bytes, seed: int, most: int) -> bytes:
    found, chance = bytearray(data), random.Random(seed)
    for _ in range(most):
        found[chance.randrange(len(found))] ^= 1 << chance.randrange(8)
    return bytes(found)


def _shuffled(data: bytes, seed: int) -> bytes:
    pieces = [data[at : at + 64] for at in range(0, len(data), 64)]
    random.Random(seed).shuffle(pieces)
    return b"".join(pieces)


def _repeated(data: bytes, part: float, times: int) -> bytes:
    at = _at(data, part)
    return data[:at] + data[at : at + 40] * times + data[at:]


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "first byte only": lambda data: data[:1],
    "cut after a tenth": lambda data: data[: _at(data, 0.1)],
    "cut in half": lambda data: data[: _at(data, 0.5)],
    "last byte gone": lambda data: data[:-1],
    "head gone": lambda data: data[7:],
    "middle gone": lambda data: data[: _at(data, 0.4)] + data[_at(data, 0.6) :],
    "one bit": lambda data: _flipped(data, 1, 1),
    "ten bits": lambda data: _flipped(data, 2, 10),
    "a bit in a hundred bytes": lambda data: _flipped(data, 3, max(len(data) // 100, 1)),
    "noise": lambda data: _flipped(data, 4, len(data) * 4),
    "blocks in another order": lambda data: _shuffled(data, 5),
    "twice": lambda data: data + data,
    "a part a thousand times": lambda data: _repeated(data, 0.5, 1_000),
    "head a thousand times": lambda data: _repeated(data, 0.0, 1_000),
    "NULs within": lambda data: data[: _at(data, 0.5)] + bytes(64) + data[_at(data, 0.5) :],
    "NULs behind": lambda data: data + bytes(4_096),
    "control characters within": lambda data: data.replace(b"o", b"\x1b", 3).replace(b"a", b"\x0c", 3),
    "broken UTF-8 within": lambda data: data[: _at(data, 0.3)] + b"\xed\xa0\x80\xff\xfe" + data[_at(data, 0.3) :],
    "lone carriage returns": lambda data: data.replace(b"\n", b"\r"),
    "quotes doubled and halved": lambda data: data.replace(b'"', b'"""', 3).replace(b"'", b'"'),
    "brackets opened": lambda data: data[: _at(data, 0.5)] + b"[{<(" * 2_000 + data[_at(data, 0.5) :],
    "a program behind": lambda data: data + b"MZ\x90\0" + bytes(200),
}
