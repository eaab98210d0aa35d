"""Which regular expressions people may have run over every value: those whose cost is bounded (M6).

PostgreSQL's engine does not backtrack once back-references are refused, but it writes counted repetitions out:
`(.{0,255}){0,40}` becomes 10,200 states and takes seconds a value. So the written-out size has a limit.
"""

from __future__ import annotations

import re

from importer.query.functions import pattern_fault
from servicevault.wording import say

MAX_SIZE = 300  # atoms after writing out; with 5,000 characters searched this stays below 100 ms
_PIECE = re.compile(
    r"(?P<atom>\\.|\[\^?\]?(?:\[[:.=].*?[:.=]\]|[^\]])*\]|[^\\\[(){}|*+?])|(?P<open>\((?:\?[:=!]|\?<[=!])?)|(?P<close>\))"
    r"|\{(?P<least>\d+)(?:,(?P<most>\d*))?\}|.",
    re.DOTALL,
)


def regex_fault(pattern: str) -> str:
    """What keeps a pattern from being used; "" when nothing does. Whether it can be read only the database knows."""
    if fault := pattern_fault(pattern):
        return fault
    if written_out(pattern) > MAX_SIZE:
        return say("repeats too much: written out it has more than {max_size} parts", max_size=MAX_SIZE)
    return ""


def written_out(pattern: str) -> int:
    """How many atoms the pattern has when every counted repetition is written out."""
    sizes, last = [0], 0
    for piece in _PIECE.finditer(pattern):
        if piece["atom"]:
            last = 1
            sizes[-1] += 1
        elif piece["open"]:
            sizes.append(0)
            last = 0
        elif piece["close"] and len(sizes) > 1:
            last = sizes.pop()
            sizes[-1] += last
        elif piece["least"]:
            times = max(1, int(piece["least"]), int(piece["most"] or 0))
            sizes[-1] += last * (times - 1)
            last *= times
    return sum(sizes)
