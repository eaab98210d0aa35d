"""Profiles by the functions that pages, API and commands call."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connections

from importer import crypto, operations
from importer.errors import HostNotAllowed
from importer.models import ImportJob, ImportProfile
from importer.sources.params import ConnectionParams
from permissions.policy import Denied
from servicevault.jobs.models import JobStatus

pytestmark = pytest.mark.django_db


@pytest.mark.req("P1", "P2", "P3")
def test_a_profile_is_stored_when_its_connection_works(connection_values: dict[str, Any], alice: Any) -> None:
    profile = operations.create_profile(connection_values, by=alice)
    profile.refresh_from_db()
    assert (profile.name, profile.import_mode, profile.ssl_mode, profile.is_active) == (
        "Shop",
        "upsert",
        "prefer",
        True,
    )
    assert profile.created_by == alice
    assert profile.last_test_result["success"] is True
    assert connection_values["password"].encode() not in bytes(profile.secret)
    assert crypto.reveal(profile.secret, owner=profile.pk) == connection_values["password"]


@pytest.mark.req("P2", "P16")
def test_a_connection_that_fails_is_not_stored_unless_asked(connection_values: dict[str, Any], alice: Any) -> None:
    values = connection_values | {"password": "wrong"}
    with pytest.raises(operations.ConnectionTestFailed) as failed:
        operations.create_profile(values, by=alice)
    assert failed.value.stage == "login"
    assert failed.value.hint
    assert "wrong" not in str(failed.value)
    assert not ImportProfile.objects.exists()
    untested = operations.create_profile(values, by=alice, skip_test=True)
    assert untested.last_test_result is None


@pytest.mark.req("P1", "P4")
@pytest.mark.parametrize(
    ("change", "member", "words"),
    [
        ({"name": ""}, "name", "blank"),
        ({"name": "x" * 256}, "name", "255"),
        ({"name": "two\nlines"}, "name", "Control characters"),
        ({"port": 0}, "port", "65535"),
        ({"host": ""}, "host", "1 to 255"),
        ({"password": ""}, "password", "needed"),
        ({"password": "x" * 1025}, "password", "1,024"),
        ({"ssl_mode": "maybe"}, "ssl_mode", "one of"),
        ({"database_type": "mysql"}, "database_type", "staging copy"),
        ({"database_type": "sqlite"}, "database_type", "staging copy"),
        ({"database_type": "oracle"}, "database_type", "postgresql"),
        ({"source_timezone": "Berlin"}, "source_timezone", "time zone"),
        ({"import_mode": "replace"}, "import_mode", "upsert"),
        ({"matching": {"treshold": 3}}, "matching", "matching"),
        ({"description": "x" * 10_001}, "description", "10000"),
        ({"visibility": "secret"}, "visibility", "secret"),
    ],
)
def test_a_value_that_cannot_be_right_is_named(
    connection_values: dict[str, Any], alice: Any, change: dict[str, Any], member: str, words: str
) -> None:
    with pytest.raises(operations.InvalidFields) as invalid:
        operations.create_profile(connection_values | change, by=alice, skip_test=True)
    assert words in " ".join(invalid.value.errors[member])
    assert not ImportProfile.objects.exists()


@pytest.mark.req("P1", "P9")
def test_a_name_is_free_again_when_its_profile_is_deleted(connection_values: dict[str, Any], alice: Any) -> None:
    first = operations.create_profile(connection_values, by=alice)
    with pytest.raises(operations.InvalidFields, match="already"):
        operations.create_profile(connection_values | {"name": "SHOP"}, by=alice)
    operations.delete_profile(first, by=alice)
    first.refresh_from_db()
    assert first.secret is None
    operations.create_profile(connection_values | {"name": "SHOP"}, by=alice)


@pytest.mark.req("P9")
def test_a_profile_with_an_unfinished_job_is_not_deleted(shop: ImportProfile, alice: Any) -> None:
    job = ImportJob.objects.create(profile=shop, mode="upsert", created_by=alice)
    with pytest.raises(operations.ProfileBusy) as busy:
        operations.delete_profile(shop, by=alice)
    job.refresh_from_db()
    assert busy.value.running_jobs == [job.number]
    ImportJob.objects.update(status=JobStatus.COMPLETED)
    operations.delete_profile(shop, by=alice)
    assert ImportJob.objects.filter(profile=shop).exists()


@pytest.mark.req("P8")
def test_an_empty_password_keeps_the_stored_one(shop: ImportProfile, shop_params: ConnectionParams, alice: Any) -> None:
    operations.update_profile(shop, {"name": "Shop 2", "password": "", "host": shop.host}, by=alice)
    shop.refresh_from_db()
    assert shop.name == "Shop 2"
    assert crypto.reveal(shop.secret, owner=shop.pk) == shop_params.password


@pytest.mark.req("P8")
@pytest.mark.parametrize("change", [{"host": "other.example"}, {"port": 1}, {"database": "x"}, {"username": "y"}])
def test_a_stored_password_is_never_sent_elsewhere(shop: ImportProfile, alice: Any, change: dict[str, Any]) -> None:
    with pytest.raises(operations.InvalidFields, match="password again"):
        operations.update_profile(shop, change, by=alice)


@pytest.mark.req("C10")
def test_an_old_version_does_not_overwrite_a_newer(shop: ImportProfile, alice: Any, root: Any) -> None:
    seen = shop.version
    operations.update_profile(shop, {"notes": "first"}, by=root, version=seen)
    with pytest.raises(operations.VersionConflict) as conflict:
        operations.update_profile(shop, {"notes": "second"}, by=alice, version=seen)
    assert conflict.value.changed_by == str(root)
    assert conflict.value.changed_at
    shop.refresh_from_db()
    assert shop.notes == "first"


@pytest.mark.req("E40")
def test_choosing_a_time_zone_confirms_it(shop: ImportProfile, alice: Any) -> None:
    changed = operations.update_profile(shop, {"source_timezone": "Europe/Berlin"}, by=alice)
    assert changed.timezone_confirmed


@pytest.mark.req("D1", "D2", "D3", "D4", "D5")
def test_a_copy_has_the_queries_and_the_login_and_no_history(
    shop: ImportProfile, people_query: dict[str, Any], alice: Any, root: Any
) -> None:
    operations.save_query(shop, people_query, by=alice)
    operations.try_profile(shop, by=alice)
    ImportJob.objects.create(profile=shop, mode="upsert", status=JobStatus.COMPLETED)
    copy = operations.duplicate_profile(shop, "Shop copy", by=root, description="For tests")
    assert (copy.created_by, copy.source_key, copy.last_tested_at) == (root, shop.source_key, None)
    assert not copy.jobs.exists()
    assert operations.try_profile(copy, by=root).success  # the password came along, sealed for the copy
    operations.delete_profile(shop, by=alice)
    assert operations.save_query(copy, people_query | {"filters": []}, by=root).is_new is False
    own = operations.duplicate_profile(copy, "Shop alone", by=root, new_source=True)
    assert own.source_key != copy.source_key
    with pytest.raises(operations.InvalidFields, match="already"):
        operations.duplicate_profile(copy, "shop COPY", by=root)


@pytest.mark.req("P11", "P22")
def test_a_test_of_a_stored_profile_is_remembered(shop: ImportProfile, alice: Any) -> None:
    test = operations.try_profile(shop, by=alice)
    shop.refresh_from_db()
    assert test.success
    assert shop.last_test_result["checked_by"] == str(alice)
    assert shop.last_tested_at


@pytest.mark.req("P12")
def test_a_profile_that_is_switched_off_shows_nothing_of_its_rows(
    shop: ImportProfile, people_query: dict[str, Any], alice: Any
) -> None:
    operations.update_profile(shop, {"is_active": False}, by=alice)
    shop.refresh_from_db()
    for call in (
        lambda: operations.preview_query(shop, people_query, by=alice),
        lambda: operations.preview_table(shop, "people", by=alice),
        lambda: operations.start_import(shop, by=alice),
    ):
        with pytest.raises(operations.Conflict) as refused:
            call()
        assert refused.value.code == "profile_inactive"
    operations.save_query(shop, people_query, by=alice)  # editing goes on


@pytest.mark.req("P23", "G14")
def test_our_own_database_is_never_a_source(settings: Any) -> None:
    """By whatever name it is reached: what counts is the running server and the database it answers with."""
    ours = connections["default"].settings_dict
    settings.IMPORT_ALLOW_PRIVILEGED_SOURCE = True
    for host in ("127.0.0.1", "localhost"):
        params = ConnectionParams(
            host=host, port=int(ours["PORT"]), database=ours["NAME"], username=ours["USER"], password=ours["PASSWORD"]
        )
        tried = operations.try_connection(params)
        assert not tried.success
        assert "keeps its own data" in repr(tried)
        mine, _ = operations.profile_named("Ours", params)
        with pytest.raises(HostNotAllowed, match="keeps its own data"):
            operations.source_map(mine)


@pytest.mark.req("J22", "G1")
def test_who_needs_consent_cannot_do_away_with_it(connection_values: dict[str, Any], alice: Any) -> None:
    profile = operations.create_profile(connection_values | {"requires_approval": True}, by=alice)
    with pytest.raises(Denied, match=r"import\.approve"):
        operations.update_profile(profile, {"requires_approval": False}, by=alice)
    alice.grants.create(permission="import.approve")
    again = type(alice).objects.get(pk=alice.pk)
    assert not operations.update_profile(profile, {"requires_approval": False}, by=again).requires_approval


@pytest.mark.req("E23", "G9")
def test_the_key_of_somebody_elses_source_is_not_taken(
    connection_values: dict[str, Any], profile: ImportProfile, alice: Any, root: Any
) -> None:
    theirs = operations.create_profile(
        connection_values | {"name": "Theirs", "source_key": "theirs", "visibility": "restricted"}, by=root
    )
    with pytest.raises(operations.InvalidFields, match="may not change"):
        operations.update_profile(profile, {"source_key": theirs.source_key}, by=alice)
    with pytest.raises(operations.InvalidFields, match="may not change"):
        operations.create_profile(connection_values | {"name": "Third", "source_key": "theirs"}, by=alice)
    assert operations.update_profile(profile, {"source_key": "own-two"}, by=alice).source_key == "own-two"
