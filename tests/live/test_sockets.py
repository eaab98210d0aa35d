"""Whoever listens hears what is theirs to know, and nothing else."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth import get_user_model
from websockets.exceptions import InvalidStatus

from exporter.models import ExportJob
from importer import operations
from importer.models import ImportJob, ImportProfile, Visibility
from permissions import policy
from permissions.models import ApiToken
from servicevault.jobs import lifecycle
from servicevault.live import consumer, listener, seats, telling
from servicevault.notifications import telling as notifications
from servicevault.notifications.models import Kind
from servicevault.notifications.telling import News
from templates_registry.models import Template
from tests.conftest import person
from tests.live.conftest import Socket

Opened = Callable[..., Socket]
Browser = Callable[[Any], Any]
REFUSED = "permission_denied"
NEVER = 0.4  # seconds after which a frame that was to come would be here


@pytest.fixture
def cara(db: None) -> Any:
    """May use the import system, and sees her own jobs only."""
    return importer_named("cara")


@pytest.fixture
def dora(db: None) -> Any:
    """The same."""
    return importer_named("dora")


def importer_named(name: str) -> Any:
    user = person(name)
    user.grants.create(permission="system.import")
    return user


def job_of(user: Any, **fields: Any) -> ImportJob:
    """A job of the person's own restricted profile."""
    profile = ImportProfile.objects.create(
        name=f"Desk of {user.username}", host="127.0.0.1", port=9, database="d", username="r",
        source_key=f"desk-{user.username}", visibility=Visibility.RESTRICTED, created_by=user,
    )  # fmt: skip
    return ImportJob.objects.create(profile=profile, mode="upsert", created_by=user, **fields)


def told(job: ImportJob | ExportJob) -> None:
    """Something happens to the job that is told."""
    type(job).objects.filter(pk=job.pk).update(told_at=None)
    telling.progressed(type(job), job.pk)


@pytest.mark.req("L1", "L2", "L4", "L5", "L7", "L8", "L9", "L10")
def test_every_tab_of_hers_hears_how_her_job_stands_and_what_becomes_of_it(
    opened: Opened, cara: Any, logged_in: Browser
) -> None:
    job, browser = job_of(cara), logged_in(cara)
    channel, tabs = f"import.job.{job.pk}", [opened(browser), opened(browser)]
    for tab in tabs:
        answer, now = tab.subscribe(channel)
        assert answer == {"type": "subscribed", "channel": channel}
        assert (now["channel"], now["event"]) == (channel, "import.progress.updated")
        assert set(now["data"]) >= set(
            "job_id progress progress_percentage current_operation records_total records_processed records_imported "
            "records_updated records_unchanged records_skipped records_failed records_review average_confidence "
            "rows_per_second status estimated_completion timestamp sequence".split()
        )
    lifecycle.claim(ImportJob, job.pk)
    for tab in tabs:
        data = tab.hear()["data"]
        assert (data["event_type"], data["previous_status"], data["status"]) == ("job_started", "pending", "running")
        assert (data["profile_name"], data["errors"]) == ("Desk of cara", [])
    told(job)
    assert tabs[0].hear()["data"]["sequence"] > data["sequence"] > now["data"]["sequence"]
    answers = tabs[0].ask(action="unsubscribe", channel=channel), tabs[0].ask(action="ping", channel="x")
    assert [answer["type"] for answer in answers if answer["type"] != "error"] == ["unsubscribed", "pong"]
    told(job)
    assert tabs[0].hear(NEVER) is None


@pytest.mark.req("L2", "L3", "G11")
def test_nobody_hears_of_a_job_that_is_not_theirs_whatever_they_ask_for(
    opened: Opened, cara: Any, dora: Any, logged_in: Browser
) -> None:
    mine = UUID("11111111-2222-4333-8444-555555555550")
    hers = UUID("11111111-2222-4333-8444-555555555551")  # but for the last digit the same
    job_of(dora, id=mine)
    job = job_of(cara, id=hers)
    socket = opened(logged_in(dora))
    assert len(socket.subscribe(f"import.job.{mine}")) == 2
    unknown = UUID(int=7)
    guesses = [
        f"import.job.{hers}", f"import.job.{unknown}", f"import.job.{str(hers).upper()}", f"import.job.{hers.hex}",
        f"import.job.{{{hers}}}", f"import.job.urn:uuid:{hers}", f"import.job.{str(mine)[:8]}", "import.job.", "import.job.*",
        f"import.job.{mine}.{hers}", f"import.profile.{job.profile_id}", f"user.{cara.pk}", "user.", "import.global",
        "import.global.", f"export.job.{hers}", "", "nonsense", f"servicevault__group__import.job.{hers}",
    ]  # fmt: skip
    answers = [socket.ask(action="subscribe", channel=channel) for channel in guesses]
    assert [(answer["type"], answer["code"], answer["channel"]) for answer in answers] == [
        ("error", REFUSED, channel) for channel in guesses
    ]
    assert len({answer["message"] for answer in answers}) == 1  # none tells an unknown job from one that is hers
    told(job)
    lifecycle.claim(ImportJob, hers)
    assert socket.hear(NEVER) is None


@pytest.mark.req("L2", "L5")
def test_each_channel_carries_what_it_is_for(opened: Opened, cara: Any, root: Any, logged_in: Browser) -> None:
    job = job_of(cara)
    profile = job.profile
    export = ExportJob.objects.create(table_name="tickets", export_format="csv", created_by=cara, estimated_rows=10)
    hers, all_of_them = opened(logged_in(cara)), opened(logged_in(root))
    for channel in (f"import.profile.{profile.pk}", f"user.{cara.pk}", f"export.job.{export.pk}"):
        assert hers.subscribe(channel)[0]["type"] == "subscribed"
    assert all_of_them.subscribe("import.global")[1]["data"]["job_id"] == str(job.pk)
    lifecycle.await_approval(ImportJob, job.pk, "Waiting")
    frames = [hers.hear(), hers.hear()]
    assert {frame["channel"] for frame in frames} == {f"import.profile.{profile.pk}", f"user.{cara.pk}"}
    assert {frame["data"]["event_type"] for frame in [*frames, all_of_them.hear()]} == {"job_awaiting_approval"}
    told(job)
    assert hers.hear()["channel"] == f"import.profile.{profile.pk}"  # progress is not for the person's own channel
    assert all_of_them.hear()["event"] == "import.progress.updated"
    told(export)
    frame = hers.hear()
    assert (frame["event"], frame["data"]["estimated_rows"]) == ("export.progress.updated", 10)
    lifecycle.request_cancel(ExportJob, export.pk)
    frames = [hers.hear(), hers.hear()]
    assert {frame["channel"] for frame in frames} == {f"export.job.{export.pk}", f"user.{cara.pk}"}
    assert {frame["event"] for frame in frames} == {"export.job.status.changed"}
    operations.update_profile(profile, {"description": "Old."}, by=cara)
    frame = hers.hear()
    assert frame["event"] == "import.profile.updated"
    assert frame["data"] == {
        "profile_id": str(profile.pk), "changed_by": {"id": str(cara.pk), "name": "Cara"}, "version": profile.version + 1
    }  # fmt: skip
    template = Template.objects.filter(is_system=True).first()
    assert template is not None
    ImportProfile.objects.filter(pk=profile.pk).update(template=template, template_version="9.1")
    telling.happened("import.template.applied", profile, [profile.channel])
    frame = hers.hear()
    assert frame["event"] == "import.template.applied"
    assert frame["data"] == {"profile_id": str(profile.pk), "template_id": str(template.pk), "version": "9.1"}
    assert all_of_them.hear(NEVER) is None  # exports and profiles are not for all


@pytest.mark.req("L2")
def test_a_right_that_is_taken_away_ends_the_frames(opened: Opened, cara: Any, dora: Any, logged_in: Browser) -> None:
    job = job_of(cara)
    policy.set_holders(job.profile, ["view_importprofile"], {dora: ["view_importprofile"]})
    socket = opened(logged_in(dora))
    assert len(socket.subscribe(f"import.job.{job.pk}")) == 2
    told(job)
    assert socket.hear()["event"] == "import.progress.updated"
    policy.set_holders(job.profile, ["view_importprofile"], {})
    told(job)
    lifecycle.claim(ImportJob, job.pk)
    assert socket.hear(NEVER) is None
    assert socket.ask(action="ping")["type"] == "pong"  # it is open: she may hear other things


@pytest.mark.req("L1")
def test_a_program_says_who_it_is_and_a_stranger_is_shown_out(
    opened: Opened, cara: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, (_, text) = job_of(cara), ApiToken.objects.make(cara, "t")
    program = opened()
    assert program.ask(action="subscribe", channel=f"import.job.{job.pk}")["code"] == "authentication_required"
    program.say(action="authenticate", token=text)
    assert len(program.subscribe(f"import.job.{job.pk}")) == 2
    guesser = opened()
    guesser.say(action="authenticate", token="sv_guessed")
    assert guesser.closed_with() == 4401
    assert consumer.AUTHENTICATE_SECONDS == 5
    monkeypatch.setattr(consumer, "AUTHENTICATE_SECONDS", 0.1)
    assert opened().closed_with() == 4401


@pytest.mark.req("L1")
@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1.evil.example", "http://127.0.0.1:1"]
)
def test_a_page_of_another_site_gets_no_socket(opened: Opened, origin: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        opened(origin=origin)
    assert refused.value.response.status_code == 403


@pytest.mark.req("L1")
def test_a_cookie_without_an_origin_is_no_way_in(
    opened: Opened, cara: Any, logged_in: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "AUTHENTICATE_SECONDS", 0.1)
    assert opened(logged_in(cara), origin=None).closed_with() == 4401


@pytest.mark.req("L15")
@pytest.mark.parametrize("end", ["log out", "deactivate", "revoke"])
def test_sockets_close_when_their_person_is_to_go(
    end: str, opened: Opened, cara: Any, logged_in: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert listener.LOOK_SECONDS <= 5  # within ten, also when one look fails to be in time
    monkeypatch.setattr(consumer, "LOOK_SECONDS", 0.2)
    job, browser = job_of(cara), logged_in(cara)
    token, text = ApiToken.objects.make(cara, "t")
    socket = opened() if end == "revoke" else opened(browser)
    if end == "revoke":
        socket.say(action="authenticate", token=text)
    assert len(socket.subscribe(f"import.job.{job.pk}")) == 2
    if end == "log out":
        browser.post("/logout")
    elif end == "deactivate":
        get_user_model().objects.filter(pk=cara.pk).update(is_active=False)
    else:
        token.revoke()
    told(job)  # between the end and the next look nothing is told any more
    assert socket.closed_with(3) == 4401


@pytest.mark.req("L15")
def test_a_person_holds_so_many_sockets_and_subscriptions_and_says_so_much(
    opened: Opened, cara: Any, logged_in: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (seats.MOST_SEATS, listener.MOST_CHANNELS) == (10, 50)
    browser, job = logged_in(cara), job_of(cara)
    sockets = [opened(browser) for _ in range(10)]
    for socket in sockets:
        assert socket.ask(action="ping")["type"] == "pong"
    too_many = opened(browser)
    assert too_many.hear()["code"] == "rate_limited"
    assert too_many.closed_with() == 4429
    sockets[0].connection.close()
    wait_until(lambda: opened(browser).ask(action="subscribe", channel="x")["code"] == REFUSED)  # the seat is free
    monkeypatch.setattr(consumer, "MOST_CHANNELS", 1)
    assert sockets[1].subscribe(f"user.{cara.pk}")[0]["type"] == "subscribed"
    assert sockets[1].subscribe(f"import.job.{job.pk}")[0]["code"] == "rate_limited"
    for _ in range(consumer.MOST_FRAMES + 1):
        sockets[2].say(action="ping")
    assert sockets[2].closed_with() == 4429
    sockets[3].connection.send("{" * 20_000)
    assert sockets[3].hear()["code"] == "malformed_request"


@pytest.mark.req("L14", "L5")
def test_a_failed_row_is_told_by_place_and_reason_never_by_what_it_held(
    opened: Opened, alice: Any, logged_in: Browser, finished_job: Any
) -> None:
    ImportJob.objects.filter(pk=finished_job.pk).update(status="running", completed_at=None)
    socket = opened(logged_in(alice))
    socket.subscribe(f"import.job.{finished_job.pk}")
    lifecycle.fail(ImportJob, finished_job.pk, code="error_threshold", message="1 of 10 rows failed.")
    data = socket.hear()["data"]
    assert data["errors"] == [
        {"code": "error_threshold", "message": "1 of 10 rows failed."},
        {"query": "tickets", "code": "not_a_date", "field": "created_at"},
    ]
    assert (data["error_code"], data["records_failed"], data["records_imported"]) == ("error_threshold", 1, 8)
    assert "31.02.2024" not in json.dumps(data)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)


@pytest.mark.req("L2")
def test_a_notification_is_heard_by_whom_it_is_for(opened: Opened, cara: Any, dora: Any, logged_in: Browser) -> None:
    hers, theirs = opened(logged_in(cara)), opened(logged_in(dora))
    hers.subscribe(f"user.{cara.pk}")
    theirs.subscribe(f"user.{dora.pk}")
    notifications.tell([cara], News(Kind.JOB_FAILED, "Import of “Old desk”: failed", "/import", "The source hung up."))
    frame = hers.until(lambda frame: frame.get("event") == "notification.created")[-1]
    told = cara.notifications.get()
    assert frame["data"] == {
        "id": str(told.pk), "kind": "job_failed", "title": told.title, "body": "The source hung up.", "url": "/import",
    }  # fmt: skip
    notifications.tell([dora], News(Kind.JOB_COMPLETED, "Hers", "/"))
    heard = theirs.until(lambda frame: frame.get("event") == "notification.created")
    assert [frame["data"]["title"] for frame in heard if "data" in frame] == ["Hers"]
