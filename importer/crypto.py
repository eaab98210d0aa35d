"""Passwords of sources at rest: encrypted with keys of their own, bound to the row they belong to (P5)."""

from __future__ import annotations

import json
from uuid import UUID

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

from importer.errors import ImporterError
from servicevault.wording import say


class SecretUnreadable(ImporterError):
    """No key decrypts the value, or it belongs to another row."""

    code = "conflict"


def seal(password: str, *, owner: UUID) -> bytes:
    """Encrypt a password for one profile; the first of FIELD_ENCRYPTION_KEYS is used."""
    return _keys().encrypt(json.dumps({"owner": str(owner), "password": password}).encode())


def reveal(sealed: bytes | memoryview | None, *, owner: UUID) -> str:
    """The password. Raises SecretUnreadable when no key fits or the value was moved from another profile."""
    if sealed is None:
        return ""
    try:
        content = json.loads(_keys().decrypt(bytes(sealed)))
    except InvalidToken:
        raise SecretUnreadable(
            say("The saved password cannot be decrypted: the encryption key was changed."),
            hint=say("Restore the old key in FIELD_ENCRYPTION_KEYS, or type the password again."),
        ) from None
    if content["owner"] != str(owner):
        raise SecretUnreadable(
            say("The saved password belongs to another profile."), hint=say("Type the password again.")
        )
    password: str = content["password"]
    return password


def _keys() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in settings.FIELD_ENCRYPTION_KEYS])
