"""docs/performance.md: one section per benchmark, replaced by each run."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "docs" / "performance.md"


def write(name: str, text: str) -> None:
    """Put `text` between the markers of the benchmark; prose around them stays."""
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    page = PAGE.read_text() if PAGE.exists() else "# Performance\n"
    block = f"{begin}\n{text}\n{end}"
    if begin in page:
        page = re.sub(re.escape(begin) + ".*?" + re.escape(end), lambda _: block, page, flags=re.S)
    else:
        page = f"{page.rstrip()}\n\n## {name}\n\n{block}\n"
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page)
    print(f"written: {PAGE}")
