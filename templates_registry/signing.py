"""Who made a pack (N-153): Ed25519 over the list of its files and their SHA-256 values."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from importer.errors import PackError
from servicevault.wording import say
from templates_registry.files import SIGNATURE, PackFiles


@dataclass(frozen=True)
class Signature:
    """A signature that was checked."""

    signed_by: str
    key: str  # base64 of the public key
    valid: bool


def statement(files: PackFiles) -> bytes:
    """What is signed: each file's SHA-256 and path, in the order of paths."""
    lines = [
        f"{hashlib.sha256(text.encode()).hexdigest()}  {path}\n"
        for path, text in sorted(files.texts.items())
        if path != SIGNATURE
    ]
    return "".join(lines).encode()


def sign(files: PackFiles, private_key: str, signed_by: str) -> str:
    """The text of the pack's `signature`. Raises PackError for a text that is no Ed25519 key in PEM."""
    try:
        key = serialization.load_pem_private_key(private_key.encode(), password=None)
    except (ValueError, TypeError):
        raise PackError(
            say("This is no private key in PEM without a password."), hint=say("Make one: pack sign --new-key.")
        ) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise PackError(say("This is no Ed25519 key."), hint=say("Make one: pack sign --new-key."))
    return (
        json.dumps(
            {
                "signed_by": signed_by,
                "key": base64.b64encode(key.public_key().public_bytes_raw()).decode(),
                "signature": base64.b64encode(key.sign(statement(files))).decode(),
            },
            indent=1,
            ensure_ascii=False,
        )
        + "\n"
    )


def new_key() -> str:
    """A fresh private key in PEM."""
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return pem.decode()


def check(files: PackFiles) -> Signature | None:
    """The pack's signature and whether it is valid; None for an unsigned pack."""
    text = files.texts.get(SIGNATURE)
    if text is None:
        return None
    try:
        found = json.loads(text)
        key, made, signed_by = (str(found[name]) for name in ("key", "signature", "signed_by"))
        Ed25519PublicKey.from_public_bytes(base64.b64decode(key, validate=True)).verify(
            base64.b64decode(made, validate=True), statement(files)
        )
    except (ValueError, KeyError, TypeError, binascii.Error, InvalidSignature, RecursionError):
        return Signature("", "", valid=False)
    return Signature(signed_by[:255], key, valid=True)
