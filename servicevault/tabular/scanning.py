"""What no table begins or ends with (F-085): programs, scripts, pictures, and files that are two things at once."""

from __future__ import annotations

from typing import IO

from servicevault.tabular.errors import FileRejected
from servicevault.wording import say

SIGNATURES = {
    b"\x7fELF": say("a program"),
    b"\xca\xfe\xba\xbe": say("a program"),
    b"\xcf\xfa\xed\xfe": say("a program"),
    b"\xfe\xed\xfa\xce": say("a program"),
    b"#!": say("a script"),
    b"<?php": say("a script"),
    b"%PDF": say("a PDF document"),
    b"%!PS": say("a PostScript document"),
    b"\x89PNG\r\n": say("a picture"),
    b"GIF8": say("a picture"),
    b"\xff\xd8\xff": say("a picture"),
    b"{\\rtf": say("a text document (RTF)"),
    b"SQLite format 3\x00": say("a database"),
    b"PGDMP": say("a database dump"),
    b"PAR1": say("a Parquet file"),
    b"7z\xbc\xaf\x27\x1c": say("a 7z archive"),
    b"Rar!": say("a RAR archive"),
    b"BZh": say("a bzip2 archive"),
    b"\xfd7zXZ": say("an xz archive"),
    b"\x28\xb5\x2f\xfd": say("a Zstandard archive"),
    b"\x00asm": say("a program"),
}
END_OF_ZIP = b"PK\x05\x06"
END_OF_ZIP_BYTES = 22


def refuse_foreign(stream: IO[bytes]) -> None:
    """Refuse content that is no table, whatever it is called."""
    stream.seek(0)
    head = stream.read(1024)
    for signature, what in SIGNATURES.items():
        if head.startswith(signature):
            raise FileRejected(
                say("The file is {what}, not a table. Send CSV, JSON, XML, YAML or a workbook.", what=what)
            )
    if head.startswith(b"MZ") and (b"\0" in head or b"DOS mode" in head):
        raise FileRejected(say("The file is a program, not a table. Send CSV, JSON, XML, YAML or a workbook."))
    if head[:2048].lstrip()[:14].lower().startswith((b"<!doctype html", b"<html")):
        raise FileRejected(say("The file is a web page, not a table. Save the data itself and send that."))


def refuse_hidden_archive(stream: IO[bytes]) -> None:
    """Refuse a file with a zip archive behind something else, and a zip with something behind it."""
    size = stream.seek(0, 2)
    stream.seek(0)
    begins_as_zip = stream.read(2) == b"PK"
    stream.seek(max(0, size - 65_536 - END_OF_ZIP_BYTES))
    tail = stream.read()
    at = tail.rfind(END_OF_ZIP)
    if at < 0 or len(tail) - at < END_OF_ZIP_BYTES:
        return
    end = tail[at : at + END_OF_ZIP_BYTES]
    comment = int.from_bytes(end[20:22], "little")
    directory_bytes, directory_at = int.from_bytes(end[12:16], "little"), int.from_bytes(end[16:20], "little")
    ends_there = at + END_OF_ZIP_BYTES + comment == len(tail)
    if not begins_as_zip and ends_there:
        raise FileRejected(
            say("The file has an archive hidden behind its content. Save the table alone and send that.")
        )
    if begins_as_zip and not ends_there:
        raise FileRejected(say("The archive is followed by other content. Send the archive alone."))
    if begins_as_zip and directory_at != 0xFFFFFFFF and directory_at + directory_bytes > size:
        raise FileRejected(say("The zip archive is damaged or cut off. Compress and send it again."))
