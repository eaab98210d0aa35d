"""Files made to kill, fill or fool their reader. Each is small here; what it claims or unpacks to is not."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Callable

from tests.servicevault.tabular.files import changed_part, rows_workbook, zipped

BOOK = rows_workbook(["a", "b"], [1, "x"])
SHEET = "xl/worksheets/sheet1.xml"
CELLS = "<sheetData>"
BILLION = (
    "<!DOCTYPE l [<!ENTITY a0 'lol'>"
    + "".join(f"<!ENTITY a{n} '{f'&a{n - 1};' * 10}'>" for n in range(1, 10))
    + "]><l><r><c>&a9;</c></r></l>"
)


def sheet(change: Callable[[str], str]) -> bytes:
    return changed_part(BOOK, SHEET, change)


def with_cells(cells: str) -> bytes:
    return sheet(lambda text: text[: text.index(CELLS)] + f"{CELLS}{cells}</sheetData></worksheet>")


def zeros(count: int) -> bytes:
    """Return a gzip of so many MiB of zeros in about a thousandth of it."""
    target = io.BytesIO()
    with gzip.GzipFile(fileobj=target, mode="wb", mtime=0) as stream:
        for _ in range(count):
            stream.write(bytes(1024 * 1024))
    return target.getvalue()


def lying_zip() -> bytes:
    """Return a zip whose directory says that its 3 MB are 10 bytes."""
    data = bytearray(zipped(**{"a.csv": b"a,b\n" + b"1,2\n" * 750_000}))
    at = data.rfind(b"PK\x01\x02")
    data[at + 24 : at + 28] = (10).to_bytes(4, "little")
    return bytes(data)


def encrypted_zip() -> bytes:
    data = bytearray(zipped(**{"a.csv": b"a,b\n1,2\n"}))
    data[6] |= 1
    data[data.rfind(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


def ole(stream_name: str) -> bytes:
    return bytes.fromhex("d0cf11e0a1b11ae1") + bytes(504) + stream_name.encode("utf-16-le") + bytes(2048)


def aliases(levels: int, width: int) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, levels)]
    return "\n".join(lines)


# name → file, refused as a whole with a sentence that matches
REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    # archives
    "gzip-bomb": (lambda: zeros(120), "unpacks to more than"),
    "gzip-in-gzip": (lambda: gzip.compress(gzip.compress(b"a,b\n1,2\n")), "another archive"),
    "gzip-truncated": (lambda: gzip.compress(b"a,b\n" + bytes(range(256)) * 400)[:-90], "damaged|cut off"),
    "gzip-damaged": (lambda: gzip.compress(b"a,b\n1,2\n")[:12] + b"\xff" * 20, "damaged"),
    "gzip-empty": (lambda: gzip.compress(b""), "empty"),
    "zip-bomb": (lambda: zipped(**{"a.csv": bytes(110 * 1024 * 1024)}), "unpacks to more than"),
    "zip-two-files": (lambda: zipped(**{"a.csv": b"a\n1", "b.csv": b"a\n1"}), "2 files"),
    "zip-no-files": (zipped, "0 files"),
    "zip-in-zip": (lambda: zipped(**{"a.zip": zipped(**{"a.csv": b"a"})}), "another archive"),
    "zip-encrypted": (encrypted_zip, "password"),
    "zip-lies-about-size": (lying_zip, "damaged"),
    "zip-truncated": (lambda: zipped(**{"a.csv": b"a,b\n1,2\n"})[:-30], "damaged"),
    "zip-with-tail": (lambda: zipped(**{"a.csv": b"a\n1"}) + b"x" * 50, "followed"),
    "zip-many-members": (lambda: zipped(**{f"xl/{n}": b"" for n in range(10_001)}), "10,001 parts"),
    "polyglot-csv-zip": (lambda: b"a,b\n1,2\n" + zipped(**{"a.csv": b"a"}), "hidden"),
    "polyglot-gif-zip": (lambda: b"GIF89a" + zipped(**{"a.csv": b"a"}), "hidden|picture"),
    "7z": (lambda: b"7z\xbc\xaf\x27\x1c" + bytes(100), "7z"),
    # other things
    "elf": (lambda: b"\x7fELF" + bytes(200), "program"),
    "exe": (lambda: b"MZ\x90\0" + bytes(200), "program"),
    "shell": (lambda: b"#!/bin/sh\nrm -rf /\n", "script"),
    "php": (lambda: b"<?php system($_GET['c']); ?>", "script"),
    "pdf": (lambda: b"%PDF-1.7\n", "PDF"),
    "png": (lambda: b"\x89PNG\r\n\x1a\n" + bytes(50), "picture"),
    "html": (lambda: b"<!DOCTYPE html><html><script>alert(1)</script></html>", "web page"),
    "binary": (lambda: bytes(range(1, 256)) * 40, "none of the known formats"),
    "nothing": (lambda: b"", "empty"),
    "only-nul": (lambda: bytes(5000), "empty"),
    # XML
    "xml-billion-laughs": (BILLION.encode, "DTD|DOCTYPE"),
    "xml-quadratic": (
        lambda: b"<!DOCTYPE l [<!ENTITY a '" + b"x" * 50_000 + b"'>]><l><r>" + b"&a;" * 50_000 + b"</r></l>",
        "DTD|DOCTYPE",
    ),
    "xml-external": (
        lambda: b"<!DOCTYPE l [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><l><r><c>&x;</c></r></l>",
        "DTD|DOCTYPE",
    ),
    "xml-dtd-utf-16": (lambda: '<?xml version="1.0"?><!DOCTYPE l><l/>'.encode("utf-16"), "DTD|DOCTYPE"),
    "xml-dtd-after-comment": (lambda: b"<?xml version='1.0'?><!-- " + b"x" * 70_000 + b" --><!DOCTYPE l><l/>", "DTD"),
    "xml-parameter-entity": (lambda: b"<!DOCTYPE l SYSTEM 'http://127.0.0.1:1/x.dtd' [%e;]><l/>", "DTD|DOCTYPE"),
    "xml-unknown-entity": (lambda: b"<l><r><c>&nosuch;</c></r></l>", "cannot be read|entity"),
    "xml-deep": (lambda: b"<a>" * 100_000 + b"</a>" * 100_000, "nested|depth"),
    "xml-deep-record": (lambda: b"<l><r>" + b"<a>" * 60 + b"</a>" * 60 + b"</r></l>", "nested"),
    "xml-long-attribute": (lambda: b"<l><r a='" + b"x" * 11_000_000 + b"'/></l>", "cannot be read"),
    "xml-long-text": (lambda: b"<l><r><c>" + b"x" * 11_000_000 + b"</c></r></l>", "cannot be read"),
    "xml-truncated": (lambda: b"<l><r><c>1</c></r><r><c>", "cannot be read"),
    "xml-script": (lambda: b"<svg xmlns='http://www.w3.org/2000/svg'><script>x</script></svg>", "script"),
    "xml-columns": (
        lambda: b"<l><r>" + b"".join(b"<c%d>1</c%d>" % (n, n) for n in range(2_001)) + b"</r><r/></l>",
        "columns",
    ),
    "xml-unknown-encoding": (lambda: b"<?xml version='1.0' encoding='nosuch'?><l><r>1</r></l>", "encoding"),
    # YAML
    "yaml-alias-bomb": (lambda: aliases(10, 9).encode(), "aliases repeat"),
    "yaml-alias-itself": (lambda: b"- &a [*a]\n- x: 1\n", "names nothing"),
    "yaml-python-tag": (lambda: b"- a: !!python/object/apply:os.system ['true']\n", "tag"),
    "yaml-own-tag": (lambda: b"- a: !secret x\n", "tag"),
    "yaml-deep": (lambda: b"- a: " + b"[" * 1_000_000, "nested|cannot be read|broke down"),
    "yaml-deep-mapping": (lambda: b"- a: " + b"{a: " * 100_000, "nested|cannot be read|broke down"),
    "yaml-key-list": (lambda: b"- ? [a, b]\n  : c\n- x: 1\n", "name is a list"),
    "yaml-control": (lambda: b"- a: x\x01y\n- a: 1\n", "cannot be read"),
    "yaml-truncated": (lambda: b'- a: "open\n- b: 1\n', "cannot be read"),
    # JSON
    "json-deep": (lambda: b'[{"a": ' + b"[" * 100_000, "nested"),
    "json-deep-objects": (lambda: b'{"a": ' * 100_000, "nested"),
    "json-truncated": (lambda: b'[{"a": 1}, {"a": ', "cannot be read"),
    "json-two": (lambda: b'[{"a": 1}] [{"a": 2}]', "more text"),
    "json-columns": (lambda: json.dumps([{f"c{n}": 1 for n in range(2_001)}]).encode(), "columns"),
    "json-growing-columns": (lambda: json.dumps([{f"c{n}": 1} for n in range(2_001)]).encode(), "columns"),
    # delimited
    "csv-columns": (lambda: b"," * 1_000_000 + b"\n1\n", "columns"),
    # workbooks
    "xlsx-far-column": (
        lambda: with_cells('<row r="1"><c r="A1"><v>1</v></c><c r="XFD1"><v>1</v></c></row>'),
        "column",
    ),
    "xlsx-impossible-column": (lambda: with_cells('<row r="1"><c r="ZZZZ1"><v>1</v></c></row>'), "column"),
    "xlsx-far-row": (lambda: with_cells('<row r="1"><c><v>1</v></c></row><row r="99999999"/>'), "row"),
    "xlsx-rows-backwards": (lambda: with_cells('<row r="5"><c><v>1</v></c></row><row r="2"/>'), "row"),
    "xlsx-bad-reference": (lambda: with_cells('<row r="1"><c r="1A"><v>1</v></c></row>'), "no cell"),
    "xlsx-big-cell": (
        lambda: with_cells(f'<row r="1"><c t="inlineStr"><is><t>{"x" * 11_000_000}</t></is></c></row>'),
        "damaged|huge",
    ),
    "xlsx-entities": (lambda: sheet(lambda text: BILLION.replace("<l>", "<worksheet>")), "DTD|damaged"),
    "xlsx-doctype": (lambda: sheet(lambda text: "<!DOCTYPE worksheet>" + text[text.index("<worksheet") :]), "DTD"),
    "xlsx-no-workbook": (lambda: zipped(**{"[Content_Types].xml": b"<Types/>"}), "no xl/workbook.xml"),
    "xlsx-truncated-sheet": (lambda: sheet(lambda text: text[: len(text) // 2]), "damaged"),
    "xlsx-macro": (lambda: _with_part("xl/vbaProject.bin"), "macros"),
    "xlsx-encrypted": (lambda: ole("EncryptedPackage"), "password"),
    "xls-macro": (lambda: ole("Workbook_VBA_PROJECT"), "macros"),
    "xls-broken": (lambda: ole("Workbook"), "damaged"),
    "ole-word": (lambda: ole("WordDocument"), "no Excel workbook"),
}


def _with_part(name: str) -> bytes:
    target = io.BytesIO(BOOK)
    with zipfile.ZipFile(target, "a") as archive:
        archive.writestr(name, b"x")
    return target.getvalue()


# name → file, read with a problem of one record, the others whole
DOUBTFUL: dict[str, tuple[Callable[[], bytes], str]] = {
    "csv-nul": (lambda: b"a,b\n1,\0\n2,x\n", "nul_byte"),
    "csv-unclosed": (lambda: b'a,b\n1,"x\n' + b"2,y\n" * 2_000, "unclosed_quote"),
    "csv-long-row": (lambda: b"a,b\n" + b"1," * 50_000 + b"\n2,x\n", "too_many_columns"),
    "csv-big-cell": (lambda: b"a,b\n1," + b"x" * 11_000_000 + b"\n2,y\n", "cell_too_big"),
    "jsonl-deep": (lambda: b'{"a": 1}\n{"a": ' + b"[" * 100_000 + b'\n{"a": 2}\n', "too_deep"),
    "jsonl-nested": (lambda: b'{"a": 1}\n{"a": ' + b"[" * 60 + b"]" * 60 + b'}\n{"a": 2}\n', "too_deep"),
    "json-surrogate": (lambda: b'[{"a": "\\ud83d"}, {"a": "x"}]', "lone_surrogate"),
    "json-nul": (lambda: b'[{"a": "\\u0000"}, {"a": "x"}]', "nul_byte"),
    "json-twice": (lambda: b'[{"a": 1, "a": 2}, {"a": 3}]', "duplicate_key"),
    "yaml-twice": (lambda: b"- {a: 1, a: 2}\n- {a: 3}\n", "duplicate_key"),
    "xlsx-missing-text": (
        lambda: with_cells(
            '<row r="1"><c><v>1</v></c></row><row r="2"><c t="s"><v>99</v></c></row><row r="3"><c><v>3</v></c></row>'
        ),
        "missing_text",
    ),
    "xlsx-error": (
        lambda: with_cells(
            '<row r="1"><c><v>1</v></c></row><row r="2"><c t="e"><v>#REF!</v></c></row><row r="3"><c><v>3</v></c></row>'
        ),
        "cell_error",
    ),
}

# name → file, read as it stands
HARMLESS: dict[str, Callable[[], bytes]] = {
    "json-big-number": lambda: b'[{"a": ' + b"9" * 100_000 + b"}]",
    "json-exponent": lambda: b'[{"a": 1e1000000}]',
    "yaml-big-number": lambda: b"- a: " + b"9" * 10_000 + b"\n",
    "csv-mixed-encodings": lambda: b"a,b\n\xc3\xa9,\xe9\n",
    "csv-bom-then-latin": lambda: b"\xef\xbb\xbfa,b\n\xe9,1\n",
    "xlsx-claims-rows": lambda: sheet(lambda text: text.replace('ref="A1:B2"', 'ref="A1:XFD1048576"')),
    "xlsx-huge-date": lambda: with_cells('<row r="1"><c><v>1</v></c></row><row r="2"><c><v>1e308</v></c></row>'),
    "xml-xinclude": lambda: (
        b"<l xmlns:xi='http://www.w3.org/2001/XInclude'><r><xi:include href='file:///etc/passwd'/></r><r><c>1</c></r></l>"
    ),
    "xml-processing": lambda: b"<l><?php system('x') ?><r><c>1</c></r><r><c>2</c></r></l>",
    "xml-cdata": lambda: b"<l><r><c><![CDATA[<script>x</script>]]></c></r><r><c>2</c></r></l>",
}
