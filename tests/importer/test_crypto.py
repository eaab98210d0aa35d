"""Passwords of sources: sealed for one profile, readable with old keys, and never sent the wrong way (P5)."""

from __future__ import annotations

import struct

import pytest
from cryptography.fernet import Fernet
from django.test import override_settings

from importer import crypto, gateway
from importer.crypto import SecretUnreadable
from importer.errors import SourceError
from importer.models import ImportProfile
from importer.sources.handshake import connect
from importer.sources.params import ConnectionParams, SourceLimits
from tests.importer.desk import Desk
from tests.importer.sources import rogue

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()
ONE, TWO = ImportProfile(name="one"), ImportProfile(name="two")


@pytest.mark.req("P5")
@pytest.mark.parametrize("password", ["", "secret", "a" * 1024, "snow ☃ 😀 \\ \" ' %s {}", "line\nbreak"])
def test_it_gives_back_what_was_sealed(password: str) -> None:
    assert crypto.reveal(crypto.seal(password, owner=ONE.pk), owner=ONE.pk) == password


@pytest.mark.req("P5")
def test_it_hides_the_password_and_seals_it_differently_each_time() -> None:
    first, second = (crypto.seal("open sesame", owner=ONE.pk) for _ in range(2))
    assert b"open sesame" not in first
    assert first != second


@pytest.mark.req("P5")
def test_it_refuses_a_secret_that_was_moved_to_another_profile() -> None:
    with pytest.raises(SecretUnreadable, match="another profile"):
        crypto.reveal(crypto.seal("secret", owner=ONE.pk), owner=TWO.pk)


@pytest.mark.req("P5")
def test_it_refuses_a_secret_that_was_tampered_with() -> None:
    sealed = bytearray(crypto.seal("secret", owner=ONE.pk))
    sealed[len(sealed) // 2] ^= 1
    with pytest.raises(SecretUnreadable):
        crypto.reveal(bytes(sealed), owner=ONE.pk)


@pytest.mark.req("P5", "G40")
def test_it_reads_with_every_key_and_seals_with_the_first() -> None:
    with override_settings(FIELD_ENCRYPTION_KEYS=[OLD]):
        sealed = crypto.seal("secret", owner=ONE.pk)
    with override_settings(FIELD_ENCRYPTION_KEYS=[NEW, OLD]):
        assert crypto.reveal(sealed, owner=ONE.pk) == "secret"
        again = crypto.seal("secret", owner=ONE.pk)
    with override_settings(FIELD_ENCRYPTION_KEYS=[NEW]):
        assert crypto.reveal(again, owner=ONE.pk) == "secret"


@pytest.mark.req("P5", "G40")
def test_it_says_what_to_do_when_the_key_is_gone() -> None:
    with override_settings(FIELD_ENCRYPTION_KEYS=[OLD]):
        sealed = crypto.seal("secret", owner=ONE.pk)
    with override_settings(FIELD_ENCRYPTION_KEYS=[NEW]), pytest.raises(SecretUnreadable) as caught:
        crypto.reveal(sealed, owner=ONE.pk)
    assert caught.value.code == "conflict"
    assert "FIELD_ENCRYPTION_KEYS" in caught.value.hint
    assert "secret" not in str(caught.value)


@pytest.mark.usefixtures("committed_db")
@pytest.mark.req("P5")
def test_a_secret_copied_between_rows_of_the_database_opens_no_source(desk: Desk) -> None:
    other = ImportProfile.objects.create(
        name="Other", source_key="other", host="127.0.0.1", database="x", username="x", secret=desk.profile.secret
    )
    with pytest.raises(SecretUnreadable):
        gateway.params_of(other)


@pytest.mark.usefixtures("committed_db")
@pytest.mark.req("P5", "J13")
def test_a_job_whose_password_cannot_be_read_fails_with_the_reason_and_can_be_resumed(desk: Desk) -> None:
    desk.execute("CREATE TABLE c (id int PRIMARY KEY, name text); INSERT INTO c VALUES (1, 'Acme')")
    desk.query("accounts", "c", {"external_id": "id", "name": "name"})
    with override_settings(FIELD_ENCRYPTION_KEYS=[NEW]):
        job = desk.run()
    assert job.status == "failed"
    assert "FIELD_ENCRYPTION_KEYS" in job.error_message


@pytest.mark.usefixtures("committed_db")
@pytest.mark.req("P5")
def test_a_source_may_use_whatever_method_when_none_is_required(desk: Desk) -> None:
    desk.execute("CREATE TABLE c (id int PRIMARY KEY, name text); INSERT INTO c VALUES (1, 'Acme')")
    desk.query("accounts", "c", {"external_id": "id", "name": "name"})
    with override_settings(IMPORT_SOURCE_REQUIRE_AUTH=""):
        job = desk.run()
    assert desk.outcomes(job) == {"read": 1, "created": 1}


@pytest.mark.req("P5")
@pytest.mark.parametrize(
    ("demand", "proof"),
    [(struct.pack("!I", 5) + b"salt", b"md5"), (struct.pack("!I", 3), b"wanted-only-here")],
    ids=["md5", "password in clear"],
)
def test_only_without_a_required_method_a_weak_one_is_answered(demand: bytes, proof: bytes) -> None:
    with rogue.rogue(rogue.answers(rogue.message(b"R", demand))) as server:
        params = ConnectionParams("127.0.0.1", server.port, "desk", "reader", "wanted-only-here")
        for required, sent in (("scram-sha-256", False), ("", True)):
            limits = SourceLimits(connect_timeout_seconds=2, require_auth=required)
            with pytest.raises(SourceError):
                connect(params, address="127.0.0.1", limits=limits, application_name="service-vault/test")
            assert (proof in server.received) is sent
