"""`/import` and `/import/jobs/<id>`: start, watch, cancel, resume."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone
from kombu.exceptions import OperationalError

from importer import tasks
from importer.models import ImportJob, ImportProfile, ImportRecord, JobKind
from servicevault.jobs.models import JobStatus


@pytest.fixture
def browser(logged_in: Callable[[Any], Any], alice: Any) -> Any:
    return logged_in(alice)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ids of the jobs that workers were told about; stands for the broker."""
    ids: list[str] = []
    monkeypatch.setattr(tasks.run_job, "delay", ids.append)
    return ids


def start(browser: Any, profile: Any, **form: str) -> Any:
    return browser.post(reverse("profile_start", args=[profile.pk]), form)


def shown(browser: Any, job: Any, **headers: str) -> str:
    return browser.get(reverse("job", args=[job.pk]), headers=headers).content.decode()


@pytest.mark.req("U12", "J16")
def test_it_shows_a_profile_as_a_card(browser: Any, finished_job: Any) -> None:
    text = browser.get("/import").content.decode()
    for words in ("Old desk", "127.0.0.1:9", "Completed with 1 failure", "8</b> created"):
        assert words in text


@pytest.mark.req("P13", "U13")
def test_a_card_has_a_menu_to_edit_and_delete(browser: Any, profile: Any, logged_in: Any, bob: Any) -> None:
    menu = browser.get("/import").content.decode().split("Menu of Old desk", 1)[1].split("</details>", 1)[0]
    for name, words in (("profile_edit", "Edit profile"), ("profile_delete", "Delete profile…")):
        assert f'href="{reverse(name, args=[profile.pk])}"' in menu
        assert words in menu
    assert "Delete profile" not in logged_in(bob).get("/import").content.decode()


@pytest.mark.req("U26", "X12")
def test_a_dialog_shows_the_real_state_from_the_first_second(browser: Any, profile: Any) -> None:
    text = browser.post(reverse("profile_start", args=[profile.pk]), follow=True).content.decode()
    job = profile.jobs.get()
    dialog = text.split("<dialog", 1)[1].split("</dialog>", 1)[0]
    for words in ("The job is being started.", "Pending", "<progress", "Waiting for a worker", "created", "every 1s"):
        assert words in dialog
    assert "data-starting" in dialog
    assert "Close" not in dialog

    def inside(**fields: Any) -> str:
        ImportJob.objects.filter(pk=job.pk).update(**fields)
        answer = browser.get(reverse("job_progress", args=[job.pk]), headers={"hx-request": "true"})
        return " ".join(answer.content.decode().split())

    now = timezone.now()
    assert "Close" in inside(created_at=now - timedelta(seconds=2))
    job.runs.create(
        key="t", name="T", target_type="tickets", source_table="t", position=0, status="running", total=400, read=100,
        created=100,
    )  # fmt: skip
    running = inside(status=JobStatus.RUNNING, started_at=now - timedelta(seconds=10), current_operation="Reading T")
    for words in ("Rows come in.", 'value="25"', "Reading T", "100 / 400 records", "left", "<b>100</b> created"):
        assert words in running
    assert "View import jobs" not in running
    done = inside(status=JobStatus.COMPLETED, completed_at=now)
    assert f"Job {job.number}" in done
    assert f"{job.pk}</code>: 100 records" in done
    assert f'href="{reverse("import_jobs")}"' in done
    assert "every 1s" not in done
    failed = inside(status=JobStatus.FAILED, error_code="source_lost", error_message="The source went away.")
    for words in (
        "The source went away.",
        "(source_lost)",
        "then resume: it goes on where it stopped",
        "View import jobs",
    ):
        assert words in failed


def test_it_tells_a_worker_after_the_commit_and_imports_nothing_itself(
    browser: Any, profile: Any, sent: list[str], django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks() as callbacks:
        answer = start(browser, profile, mode="update")
    job = profile.jobs.get()
    assert answer["Location"] == reverse("job_progress", args=[job.pk])
    assert (job.mode, job.kind, job.status, job.runs.count()) == ("update", JobKind.IMPORT, JobStatus.PENDING, 0)
    assert sent == []
    for tell in callbacks:  # who watches, and a worker
        tell()
    assert sent == [str(job.pk)]


def test_it_rehearses(browser: Any, profile: Any) -> None:
    start(browser, profile, rehearse="true")
    assert profile.jobs.get().kind == JobKind.REHEARSAL


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_it_keeps_the_job_when_the_broker_is_away(browser: Any, profile: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(job_id: str) -> None:
        raise OperationalError("no broker")

    monkeypatch.setattr(tasks.run_job, "delay", refuse)
    assert start(browser, profile).status_code == 302
    assert profile.jobs.get().status == JobStatus.PENDING


@pytest.mark.req("X11")
def test_it_says_why_a_busy_profile_does_not_start(browser: Any, profile: Any, pending_job: Any) -> None:
    answer = browser.post(reverse("profile_start", args=[profile.pk]), follow=True)
    text = answer.content.decode()
    assert f"has an unfinished job: {pending_job.number}" in text
    assert "Wait for it, cancel it, or resume it." in text
    assert profile.jobs.count() == 1


def test_it_says_why_an_inactive_profile_does_not_start(browser: Any, profile: Any) -> None:
    ImportProfile.objects.update(is_active=False)
    text = browser.post(reverse("profile_start", args=[profile.pk]), follow=True).content.decode()
    assert "is switched off. Activate it first." in text


def test_it_refuses_a_mode_that_does_not_exist(browser: Any, profile: Any) -> None:
    answer = browser.post(reverse("profile_start", args=[profile.pk]), {"mode": "destroy"}, follow=True)
    assert "Choose one of the modes offered." in answer.content.decode()
    assert not profile.jobs.exists()


@pytest.mark.req("U4", "J18")
def test_it_polls_only_while_the_job_is_active(browser: Any, finished_job: Any, pending_job: Any) -> None:
    assert 'hx-trigger="live, every 3s"' in shown(browser, pending_job)
    ImportJob.objects.filter(pk=pending_job.pk).update(status=JobStatus.RUNNING, started_at=timezone.now())
    assert 'hx-trigger="live, every 3s"' in shown(browser, pending_job, **{"hx-request": "true"})
    whole = shown(browser, finished_job)
    assert re.findall('hx-trigger="([^"]+)"', whole) == [
        "news from:body",
        "load, live",
    ]  # the bell; the monitor, once and when told
    assert "hx-trigger" not in shown(browser, finished_job, **{"hx-request": "true"})


def test_it_answers_htmx_with_the_fragment_the_page_includes(browser: Any, finished_job: Any) -> None:
    fragment = shown(browser, finished_job, **{"hx-request": "true"})
    assert fragment.lstrip().startswith('<div id="job-live"')
    assert "<html" not in fragment
    assert "<html" in shown(browser, finished_job, **{"hx-request": "true", "hx-boosted": "true"})
    assert "<html" in shown(browser, finished_job, **{"hx-request": "true", "hx-history-restore-request": "true"})


@pytest.mark.req("U31", "U32", "J18")
def test_it_sums_up_a_finished_job(browser: Any, finished_job: Any) -> None:
    text = shown(browser, finished_job)
    assert "Finished in 6 min 12 s: 8 created, 1 waits for you, 1 failed." in text
    assert "10 read = 8 created + 1 review + 1 failed" in text
    assert "The sum is right." in text
    for words in ("created_at", "31.02.2024", "This is not a date.", "ambiguous", "2</b> warnings"):
        assert words in text


def test_it_shows_the_share_of_rows_that_are_done(browser: Any, pending_job: Any, finished_job: Any) -> None:
    ImportJob.objects.filter(pk=pending_job.pk).update(status=JobStatus.RUNNING, started_at=timezone.now())
    run = finished_job.runs.get()
    pending_job.runs.create(
        key="a", name="A", target_type="tickets", entity=run.entity, position=0, status="running", total=40, read=10, created=10
    )  # fmt: skip
    text = shown(browser, pending_job)
    assert 'value="25"' in text
    assert f"Job {pending_job.number}: running, 20 percent" in text  # announced at every tenth only
    pending_job.runs.create(key="b", name="B", target_type="tickets", entity=run.entity, position=1)
    assert "the rest is not counted yet" in shown(browser, pending_job)


def test_it_lists_records_by_outcome(browser: Any, finished_job: Any) -> None:
    text = browser.get(reverse("job_records", args=[finished_job.pk]) + "?action=review").content.decode()
    assert "ambiguous" in text
    assert "31.02.2024" not in text


def test_it_says_why_a_row_waits(browser: Any, finished_job: Any) -> None:
    doubt = {"by": "unique_conflict", "field": "email", "candidates": []}
    ImportRecord.objects.filter(action="review").update(code="unique_conflict", matching=doubt)
    text = browser.get(reverse("job_records", args=[finished_job.pk]) + "?action=review").content.decode()
    assert "email" in text
    assert "already has this value" in text


def test_it_cancels_a_waiting_job(browser: Any, pending_job: Any) -> None:
    browser.post(reverse("job_cancel", args=[pending_job.pk]))
    pending_job.refresh_from_db()
    assert pending_job.status == JobStatus.CANCELLED


def test_it_asks_before_it_cancels(browser: Any, pending_job: Any) -> None:
    text = shown(browser, pending_job)
    assert '<details class="sv-confirm"' in text
    assert "What is written stays" in text


def test_it_says_why_a_finished_job_cannot_be_cancelled(browser: Any, finished_job: Any) -> None:
    answer = browser.post(reverse("job_cancel", args=[finished_job.pk]), follow=True)
    assert "is already completed" in answer.content.decode()


def test_it_resumes_a_cancelled_job(
    browser: Any, pending_job: Any, sent: list[str], django_capture_on_commit_callbacks: Any
) -> None:
    ImportJob.objects.filter(pk=pending_job.pk).update(status=JobStatus.CANCELLED)
    assert "Resume" in shown(browser, pending_job)
    with django_capture_on_commit_callbacks(execute=True):
        browser.post(reverse("job_resume", args=[pending_job.pk]))
    pending_job.refresh_from_db()
    assert (pending_job.status, sent) == (JobStatus.PENDING, [str(pending_job.pk)])


@pytest.mark.req("U14")
def test_it_invites_to_the_first_profile(browser: Any) -> None:
    text = browser.get("/import").content.decode()
    ways = ("Migrate a help desk", "Connect any PostgreSQL", "Import a file", "Try with the demo database")
    assert [words for words in ways if words not in text] == []
    assert "Nothing was imported yet" in browser.get("/import/jobs").content.decode()
    assert "No row waits for you" in browser.get("/import/review").content.decode()


@pytest.mark.req("U13")
def test_it_offers_what_can_be_done_with_a_profile_and_says_why_not(browser: Any, profile: Any) -> None:
    text = browser.get("/import").content.decode()
    for name in ("template", "preview", "edit", "access", "duplicate", "delete", "start"):
        assert reverse(f"profile_{name}", args=[profile.pk]) in text
    profile.queries.all().delete()
    text = browser.get("/import").content.decode()
    assert "The profile has no query yet." in text
    assert reverse("profile_start", args=[profile.pk]) not in text


def test_it_finds_profiles_by_name_and_host(browser: Any, profile: Any) -> None:
    assert "Old desk" in browser.get("/import?q=127.0").content.decode()
    assert "No profile matches" in browser.get("/import?q=zammad").content.decode()


@pytest.mark.req("U15")
@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ("status=completed", True),
        ("status=failed", False),
        ("kind=rehearsal", False),
        ("from=2001-01-01", True),
        ("to=2001-01-01", False),
        ("q=old+desk", True),
        ("q=nothing", False),
        ("profile=not-an-id&from=yesterday&status=%00", True),  # what cannot be right is left out
    ],
)
def test_it_filters_jobs_by_the_address(browser: Any, finished_job: Any, filters: str, found: bool) -> None:
    text = browser.get(f"/import/jobs?{filters}").content.decode()
    assert (reverse("job", args=[finished_job.pk]) in text) is found


def test_it_finds_a_job_by_its_number(browser: Any, finished_job: Any, pending_job: Any) -> None:
    text = browser.get(f"/import/jobs?q={pending_job.number}").content.decode()
    assert reverse("job", args=[pending_job.pk]) in text
    assert reverse("job", args=[finished_job.pk]) not in text


def test_it_renews_the_jobs_only_while_one_is_at_work(browser: Any, finished_job: Any) -> None:
    assert "every 15s" not in browser.get("/import/jobs").content.decode()
    ImportJob.objects.filter(pk=finished_job.pk).update(status=JobStatus.RUNNING)
    assert "every 15s" in browser.get("/import/jobs", headers={"hx-request": "true"}).content.decode()


def test_it_leads_to_the_rows_that_wait(browser: Any, finished_job: Any, bob: Any, logged_in: Any) -> None:
    link = reverse("job_review", args=[finished_job.pk])
    assert link in browser.get("/import/review").content.decode()
    seen_by_bob = logged_in(bob).get("/import/review").content.decode()
    assert link not in seen_by_bob
    assert "Ask Alice Ng" in seen_by_bob


@pytest.mark.req("G5")
def test_it_asks_the_database_no_more_often_for_more_rows(
    logged_in: Callable[[Any], Any], root: Any, finished_job: Any, django_assert_max_num_queries: Any
) -> None:
    entity = finished_job.runs.get().entity
    for number in range(20):
        profile = ImportProfile.objects.create(
            name=f"P{number}", host="h", database="d", username="u", source_key=f"p{number}"
        )
        job = ImportJob.objects.create(profile=profile, mode="upsert", status=JobStatus.COMPLETED)
        for position in range(4):
            job.runs.create(key=str(position), name="R", target_type="tickets", entity=entity, position=position)
    browser = logged_in(root)
    with django_assert_max_num_queries(14):
        browser.get("/import")


def test_it_bounds_the_queries_of_a_card_that_was_shared(
    browser: Any, profile: Any, django_assert_max_num_queries: Any
) -> None:
    for number in range(12):
        ImportProfile.objects.create(
            name=f"P{number}", host="h", database="d", username="u", source_key=f"p{number}"
        ).queries.create(key="q", name="Q", entity="e", target_type="tickets", spec={})
    with django_assert_max_num_queries(30):  # nine cards a page, one look each at the right to start
        browser.get("/import")


def test_it_bounds_the_queries_of_a_poll(browser: Any, finished_job: Any, django_assert_max_num_queries: Any) -> None:
    with django_assert_max_num_queries(14):
        shown(browser, finished_job, **{"hx-request": "true"})


@pytest.mark.req("J16")
def test_rows_that_only_wait_for_a_person_are_no_failures(browser: Any, finished_job: Any) -> None:
    finished_job.runs.update(failed=0, review=2)
    text = browser.get("/import").content.decode()
    assert "Completed, some rows wait" in text
    assert "Completed with" not in text
