"""`manage.py check --deploy`: silent with proper settings, and says what is wrong with others."""

from __future__ import annotations

from typing import Any

import pytest

from servicevault import embedded
from servicevault.checks import deployment


@pytest.fixture(autouse=True)
def production(settings: Any, tmp_path: Any) -> Any:
    settings.DEBUG = settings.EMBEDDED = settings.IMPORT_ALLOW_LOOPBACK = settings.WHITENOISE_USE_FINDERS = False
    settings.ALLOWED_HOSTS, settings.STATIC_ROOT = ["desk.example.com"], tmp_path
    settings.SECRET_KEY, settings.FIELD_ENCRYPTION_KEYS = "s" * 60, ["another key"]
    return settings


def ids() -> list[str]:
    return [str(message.id).removeprefix("servicevault.") for message in deployment(None)]


@pytest.mark.req("G39")
def test_it_is_silent_about_proper_settings() -> None:
    assert ids() == []


@pytest.mark.req("G39")
@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("DEBUG", True, "E001"),
        ("EMBEDDED", True, "E002"),
        ("ALLOWED_HOSTS", ["*"], "E003"),
        ("FIELD_ENCRYPTION_KEYS", ["s" * 60], "E006"),
        ("STATIC_ROOT", "/nowhere", "W001"),
        ("IMPORT_ALLOW_PRIVILEGED_SOURCE", True, "W002"),
        ("IMPORT_ALLOW_LOOPBACK", True, "W003"),
    ],
)
def test_it_names_what_is_fit_for_a_laptop_only(production: Any, name: str, value: Any, found: str) -> None:
    setattr(production, name, value)
    assert ids() == [found]


@pytest.mark.parametrize(("name", "found"), [("SECRET_KEY", "E004"), ("FIELD_ENCRYPTION_KEYS", "E005")])
def test_it_refuses_keys_generated_for_the_embedded_servers(
    production: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any, name: str, found: str
) -> None:
    monkeypatch.setenv("SERVICEVAULT_DATA_DIR", str(tmp_path))
    generated = embedded.secret(name)
    setattr(production, name, generated if name == "SECRET_KEY" else [generated])
    assert ids() == [found]
