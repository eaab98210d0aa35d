"""A setting that cannot be right refuses the start and says what is allowed (F-142, G40)."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from servicevault.tabular.formats import FORMATS

CHECK = "import servicevault.settings"


def start(**environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", CHECK], env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


@pytest.mark.req("F-142", "G40")
@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("IMPORT_MAX_FILE_SIZE", "1001", "from 1 to 1000"),
        ("EXPORT_FILE_RETENTION_HOURS", "0", "from 1 to 8760"),
        ("IMPORT_FILE_BATCH_SIZE", "5", "from 10 to 50000"),
        ("IMPORT_READ_AHEAD", "0", "from 1 to 10000"),
        ("IMPORT_ALLOWED_EXTENSIONS", "csv,docx", "allowed are csv, json"),
        ("RATE_LIMITS", "login=often", "name=requests/seconds"),
        ("DATA_SENSITIVE_COLUMNS", "price", "table.column"),
        ("LOG_LEVEL_IMPORT", "LOUD", "DEBUG, INFO"),
        ("IMPORT_SCAN_CONTENT", "perhaps", "true and false"),
        ("METRICS_TOKEN", "short", "16 characters"),
        ("LANGUAGES", "de,klingon", "such as de, fr"),
    ],
)
def test_a_wrong_value_refuses_the_start(name: str, value: str, allowed: str) -> None:
    found = start(**{name: value})
    assert found.returncode != 0
    last = found.stderr.strip().splitlines()[-1]
    assert "ImproperlyConfigured" in last
    assert name in last
    assert allowed in last


@pytest.mark.req("F-137", "G30")
def test_limits_are_changed_by_name() -> None:
    code = "import servicevault.settings as s; print(s.RATE_LIMITS)"
    environment = {**os.environ, "RATE_LIMITS": "builder=5/60, login=3/3600"}
    told = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "{'builder': (5, 60), 'login': (3, 3600)}"


def test_every_format_may_be_named(settings: object) -> None:
    assert sorted(FORMATS) == sorted(settings.IMPORT_ALLOWED_EXTENSIONS)  # type: ignore[attr-defined]
