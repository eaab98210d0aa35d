"""What one file may cost. The defaults are F-087's and those of the threat model; a setting may narrow them."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True)
class Limits:
    """Caps of one reading. Bytes are bytes, times are seconds."""

    columns: int = 2_000
    cell_chars: int = 10 * MIB  # a longer cell is an error of its record
    record_chars: int = 32 * MIB  # a longer record of JSON, YAML or XML ends the file
    nesting: int = 50
    sheet_rows: int = 1_048_576  # Excel's own limit
    expansion_ratio: int = 100  # compressed input above this ratio ...
    expansion_bytes: int = 100 * MIB  # ... and above this size is refused
    archive_members: int = 10_000  # parts of a workbook
    alias_expansion: int = 10  # YAML aliases may repeat at most this many times the text read
    memory_bytes: int = 1024 * MIB  # address space of the child; Python and its libraries take about 150 MiB of it
    cpu_seconds: int = 900
    wait_seconds: float = 1_800.0  # summed time the parent waits for the child; a slow consumer does not count
    silence_seconds: float = 120.0  # longest wait for the next piece
    output_bytes: int = 8 * 1024 * MIB
    open_files: int = 64


DEFAULT = Limits()
