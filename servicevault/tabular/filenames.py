"""Names of files: what people send is a label to store and show, never a path (F-088)."""

from __future__ import annotations

import re
import unicodedata

MOST_CHARS = 150
FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\"'<>|:*?;`$&\u200b-\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def cleaned(name: str, fallback: str = "file") -> str:
    """Return the last part of a name without quotes, control and direction characters, 150 characters at most."""
    last = re.split(r"[/\\]", unicodedata.normalize("NFC", name))[-1]
    plain = FORBIDDEN.sub("", last).strip(" .")
    if len(plain) > MOST_CHARS:
        stem, dot, extension = plain.rpartition(".")
        keep = MOST_CHARS - len(extension) - 1
        plain = f"{stem[:keep]}.{extension}" if dot and 0 < len(extension) < 10 else plain[:MOST_CHARS]
    return plain or fallback
