"""A running job is heard of: over the socket, as a stream, by polling, and not at all while Valkey is away."""

from __future__ import annotations

import http.client
import itertools
import json
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import redis
from channels.layers import channel_layers
from django.db import connection, transaction
from django.test import Client

from importer import runner
from importer.models import ImportJob
from permissions.models import ApiToken
from servicevault.jobs import lifecycle
from servicevault.live import publishing, seats, stream, telling
from tests.importer.desk import Desk
from tests.live.conftest import Site, Socket

Opened = Callable[..., Socket]
ROWS = 3000


@pytest.fixture
def ledger(desk: Desk, alice: Any) -> Desk:
    desk.execute("CREATE TABLE c (id int PRIMARY KEY, name text)")
    desk.execute("INSERT INTO c SELECT i, 'Company ' || i FROM generate_series(1, %s) i", [ROWS])
    desk.query("accounts", "c", {"external_id": "id", "name": "name"})
    return desk


@pytest.fixture
def token(alice: Any) -> str:
    return ApiToken.objects.make(alice, "t")[1]


class Events:
    """A stream that is read in the background."""

    def __init__(self, site: Site, job: ImportJob, token: str) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=20)
        headers = {"Authorization": f"Bearer {token}", "Accept": "text/event-stream"}
        self.connection.request("GET", f"/api/v1/data/import/{job.pk}/events", headers=headers)
        self.socket = self.connection.sock
        self.answer = self.connection.getresponse()
        self.frames: list[Any] = []
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        while line := self.answer.readline():
            if line.startswith(b"data: "):
                self.frames.append(json.loads(line[6:]))

    def hang_up(self) -> None:
        self.socket.shutdown(socket.SHUT_RDWR)

    def to_the_end(self) -> list[Any]:
        self.thread.join(20)
        assert not self.thread.is_alive(), "the stream did not end"
        return self.frames


@pytest.mark.req("L4", "L5", "L7", "L10", "L16", "F-060")
def test_a_job_is_followed_to_its_end_by_socket_and_stream(
    *, opened: Opened, site: Site, ledger: Desk, alice: Any, token: str, logged_in: Any
) -> None:
    job = ledger.start(options={"batch_size": 50}, by=alice)
    channel, tab = f"import.job.{job.pk}", opened(logged_in(alice))
    tab.subscribe(channel)
    events = Events(site, job, token)
    began = time.monotonic()
    runner.work(job.pk)
    took = time.monotonic() - began
    frames = tab.until(lambda frame: frame.get("data", {}).get("event_type") == "job_completed")
    data = [frame["data"] for frame in frames]
    assert {frame["channel"] for frame in frames} == {channel}
    assert [each["event_type"] for each in data if "event_type" in each] == ["job_started", "job_completed"]
    numbers = [each["sequence"] for each in data]
    assert numbers == sorted(set(numbers))
    read = [each["records_processed"] for each in data]
    assert read == sorted(read)
    assert any(0 < count < ROWS for count in read)
    assert len(frames) <= 4 * took + 4
    told_at = [time.mktime(time.strptime(each["timestamp"][:19], "%Y-%m-%dT%H:%M:%S")) for each in data]
    assert all(later - earlier <= 3 for earlier, later in itertools.pairwise(told_at[1:]))  # to the second: two and one
    end = data[-1]
    assert (end["records_imported"], end["progress"], end["previous_status"]) == (ROWS, 100, "running")
    streamed = events.to_the_end()
    assert streamed[0]["event"] == "import.progress.updated"  # how things stood
    assert {frame["channel"] for frame in streamed} == {channel}
    assert streamed[-1]["data"]["event_type"] == "job_completed"
    assert streamed[-1]["data"]["records_imported"] == ROWS
    told = Client().get(f"/api/import/jobs/{job.pk}/status", headers={"Authorization": f"Bearer {token}"}).json()
    _, now = opened(logged_in(alice)).subscribe(channel)  # a reload: the polling answer and the frame are the same
    for name, value in now["data"].items():
        assert name == "timestamp" or told[name] == value


@pytest.mark.req("L16")
def test_a_stream_holds_no_connection_and_ends_with_the_job_or_the_token(
    site: Site, ledger: Desk, alice: Any, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "LOOK_SECONDS", 0.2)
    job = ledger.start(by=alice)
    streams = [Events(site, job, token) for _ in range(3)]
    wait_until(lambda: all(each.frames for each in streams))
    wait_until(lambda: connections_here() <= 1)  # the test's own; a look comes and goes
    assert {each.answer.headers["Content-Type"] for each in streams} == {"text/event-stream"}
    ApiToken.objects.get().revoke()
    for each in streams:
        each.to_the_end()
    refused = Events(site, job, token)
    assert (refused.answer.status, refused.answer.headers["Content-Type"]) == (401, "application/json")


@pytest.mark.req("L15", "L16")
def test_a_stream_that_nobody_reads_any_more_gives_its_seat_back(
    site: Site, ledger: Desk, alice: Any, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = ledger.start(by=alice)
    left, seat = Events(site, job, token), f"live:seats:{alice.pk}"
    wait_until(lambda: bool(left.frames))
    assert seats._server().zcard(seat) == 1
    left.hang_up()
    wait_until(lambda: seats._server().zcard(seat) == 0)
    monkeypatch.setattr(seats, "MOST_SEATS", 0)
    assert Events(site, job, token).to_the_end() == [{"code": "rate_limited"}]


@pytest.mark.req("L16")
def test_a_stream_that_ended_is_not_asked_for_again(site: Site, alice: Any, token: str, finished_job: Any) -> None:
    (frame,) = Events(site, finished_job, token).to_the_end()
    assert (frame["data"]["status"], frame["data"]["records_processed"]) == ("completed", 10)
    told = {"Authorization": f"Bearer {token}", "Last-Event-ID": "0"}
    assert Client().get(f"/api/v1/data/import/{finished_job.pk}/events", headers=told).status_code == 204


@pytest.mark.req("L17")
def test_without_valkey_jobs_go_on_unhurt_and_nobody_is_promised_live_frames(
    *, opened: Opened, site: Site, ledger: Desk, alice: Any, logged_in: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from servicevault.live import consumer

    monkeypatch.setattr(consumer, "LOOK_SECONDS", 0.1)
    open_before = opened(logged_in(alice))
    assert open_before.ask(action="ping")["type"] == "pong"
    nowhere = "redis://127.0.0.1:1/0"
    monkeypatch.setattr(seats, "_server", lambda: redis.Redis.from_url(nowhere))
    assert open_before.closed_with(3) == 1013
    assert opened(logged_in(alice)).closed_with(3) == 1013
    monkeypatch.setattr(publishing, "_publisher", None)
    away = {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer", "CONFIG": {"hosts": [nowhere]}}
    with channel_layers_of(away):
        job = ledger.run(options={"batch_size": 500}, by=alice)
    assert (job.status, job.counters()["created"]) == ("completed", ROWS)
    page = logged_in(alice).get(f"/import/jobs/{job.pk}")
    assert page.status_code == 200


def test_a_forked_worker_sends_its_hints_itself(ledger: Desk, opened: Opened, alice: Any, logged_in: Any) -> None:
    job = ledger.start(by=alice)
    tab = opened(logged_in(alice))
    tab.subscribe(f"import.job.{job.pk}")
    parent = publishing.Publisher()
    parent.process = -1  # as a child finds it: the thread did not come along
    publishing._publisher = parent
    lifecycle.claim(ImportJob, job.pk)
    assert tab.hear()["data"]["event_type"] == "job_started"
    assert publishing._publisher is not parent


@pytest.mark.req("L7", "L17")
def test_what_is_not_committed_is_not_told_and_telling_fails_no_job(
    ledger: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    hints: list[Any] = []
    monkeypatch.setattr(telling, "publish", lambda channels, hint: hints.append(hint))
    job = ledger.start()
    hints.clear()
    with transaction.atomic():
        lifecycle.wait(ImportJob, job.pk, "Waiting for a job")
        lifecycle.claim(ImportJob, job.pk)
        assert hints == []
    assert [hint.get("event_type") for hint in hints][-1] == "job_started"
    monkeypatch.setattr(telling, "publish", lambda channels, hint: 1 / 0)
    lifecycle.tell(ImportJob, job.pk, "Working")
    assert lifecycle.fail(ImportJob, job.pk, code="timeout", message="Too long.")
    job.refresh_from_db()
    assert (job.status, job.error_code) == ("failed", "timeout")


@pytest.mark.req("L7")
def test_progress_is_told_four_times_a_second_at_most_however_many_work_on_the_job(
    ledger: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    hints: list[tuple[float, Any]] = []
    monkeypatch.setattr(telling, "publish", lambda channels, hint: hints.append((time.monotonic(), hint)))
    job = ledger.start()
    lifecycle.claim(ImportJob, job.pk)
    hints.clear()
    began = time.monotonic()
    while time.monotonic() - began < 1.1:
        telling.progressed(ImportJob, job.pk)
    assert 4 <= len(hints) <= 5
    assert runner.HEARTBEAT_SECONDS < 2  # what the worker's other thread tells while no slice is committed


def connections_here() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'service-vault'"
        )
        return int(cursor.fetchone()[0])


class channel_layers_of:  # noqa: N801 - reads as a sentence
    def __init__(self, layer: dict[str, Any]) -> None:
        self.layer = layer

    def __enter__(self) -> None:
        self.kept = channel_layers.backends.pop("default", None)
        self.configs = channel_layers.configs
        channel_layers.__dict__["configs"] = {"default": self.layer}

    def __exit__(self, *_: object) -> None:
        channel_layers.__dict__["configs"] = self.configs
        channel_layers.backends.pop("default", None)
        if self.kept is not None:
            channel_layers.backends["default"] = self.kept


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)
