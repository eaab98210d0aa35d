"""One import and one export against the running service, as a program would do them (F-145)."""

from __future__ import annotations

import csv
import io
import json
import secrets
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from servicevault.wording import say

PATIENCE_SECONDS = 60.0
LOOK_AGAIN_SECONDS = 0.3
ROWS = [
    ("1", "Äpfel; süß", "1.50", "true"),
    ("2", 'Quote " and, comma', "0.00", "false"),
    ("3", "two\nlines", "99999.99", "true"),
    ("4", "=1+1", "-3.25", "true"),
]
COLUMNS = ("id", "name", "price", "active")


class SelftestFailed(Exception):
    """What the service did otherwise than it must."""


@dataclass
class Service:
    """The running service, spoken to with a token."""

    url: str
    token: str

    def call(self, method: str, path: str, body: bytes | None = None, content_type: str = "application/json") -> bytes:
        """The body of an answer. Raises SelftestFailed with what the service says."""
        request = urllib.request.Request(  # noqa: S310 - the address is the operator's
            f"{self.url.rstrip('/')}/api/v1/data{path}",
            data=body,
            method=method,
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": content_type},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            said = error.read().decode("utf-8", "replace")[:500]
            raise SelftestFailed(
                say("{method} {path} was answered {code}: {said}", method=method, path=path, code=error.code, said=said)
            ) from None
        except OSError as error:
            raise SelftestFailed(
                say("{url} does not answer: {error}. Is it running? manage.py up", url=self.url, error=error)
            ) from None

    def json(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        data = None if method == "GET" else json.dumps(body or {}).encode()
        found: dict[str, Any] = json.loads(self.call(method, path, data))
        return found


def run(service: Service, table: str, tell: Callable[[str], None]) -> None:
    """Import four awkward rows into an empty table, export them, compare. Raises SelftestFailed."""
    job = json.loads(service.call("POST", "/import/upload", *_form(table)))["job_id"]
    report = service.json("POST", f"/import/{job}/validate")
    if not report["isValid"]:
        raise SelftestFailed(say("The validation found errors: {errors}", errors=report["errors"][:3]))
    service.json("POST", f"/import/{job}/start")
    status = _awaited(service, f"/import/{job}/status")
    if status["created_rows"] != len(ROWS):
        raise SelftestFailed(
            say("{created_rows} of {rows} rows were created.", created_rows=status["created_rows"], rows=len(ROWS))
        )
    tell(say("Imported {rows} rows as job {id}.", rows=len(ROWS), id=status["id"]))
    wanted = {"table_name": table, "export_format": "csv", "sort": [{"column": "id"}]}
    export = service.json("POST", "/export/create", wanted)["job_id"]
    made = _awaited(service, f"/export/{export}/status")
    text = service.call("GET", f"/export/{export}/download").decode("utf-8-sig")
    found = [tuple(row) for row in csv.reader(io.StringIO(text, newline=""))]
    # The guard writes a mark before a formula, and only there; an import takes it away again (F-174).
    guarded = [tuple(f"'{cell}" if cell.startswith("=") else cell for cell in row) for row in ROWS]
    expected = [COLUMNS, *guarded]
    if [_plain(row) for row in found] != [_plain(row) for row in expected]:
        raise SelftestFailed(
            say("The exported file differs.\nexpected: {expected}\nfound:    {found}", expected=expected, found=found)
        )
    service.call("DELETE", f"/export/{export}")
    tell(say("Exported them as job {id}; the file is what was imported.", id=made["id"]))


def _plain(row: tuple[str, ...]) -> tuple[str, ...]:
    """Booleans are written t and f by some, true and false by others."""
    return tuple({"t": "true", "f": "false"}.get(cell, cell) for cell in row)


def _awaited(service: Service, path: str) -> dict[str, Any]:
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        found = service.json("GET", path)
        if found["status"] == "completed":
            return found
        if found["status"] in ("failed", "cancelled", "awaiting_approval"):
            raise SelftestFailed(
                say(
                    "The job is {status}: {error_message}",
                    status=found["status"],
                    error_message=found.get("error_message") or say("no reason given"),
                )
            )
        time.sleep(LOOK_AGAIN_SECONDS)
    raise SelftestFailed(
        say(
            "The job is still {status} after {patience_seconds:.0f} seconds. Does a worker run?",
            status=found["status"],
            patience_seconds=PATIENCE_SECONDS,
        )
    )


def _form(table: str) -> tuple[bytes, str]:
    """A multipart body with the file, and its content type."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    writer.writerows(ROWS)
    boundary = secrets.token_hex(16)
    parts = [("table_name", "", table), ("file", '; filename="selftest.csv"', text.getvalue())]
    body = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n{value}\r\n'
        for name, more, value in parts
    )
    return f"{body}--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"
