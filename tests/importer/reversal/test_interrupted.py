"""A rollback that is killed, cancelled or shared by workers ends as one that nobody disturbed."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from importer import runner
from importer.models import ImportJob, JobKind, Reversal
from importer.operations import jobs, rollbacks
from importer.operations.failures import Conflict
from importer.pipeline import faults
from servicevault.jobs import lifecycle
from tests.importer.pipeline.ledger import AfterSlice, in_a_process
from tests.importer.reversal.conftest import Office, buckets, program_of, verdicts

pytestmark = pytest.mark.usefixtures("committed_db")


@pytest.mark.req("R19", "J12")
@pytest.mark.parametrize("point", ["after_stage:5", "before_commit:9", "after_commit:12"])
def test_a_killed_rollback_goes_on_exactly(office: Office, point: str) -> None:
    before = office.picture()
    job = office.run()
    rollback = rollbacks.start_rollback(job, understood=True, batch_size=5)

    def killed() -> None:
        faults.arm(point)
        runner.work(rollback.pk)

    pid = in_a_process(killed)
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL
    assert Reversal.objects.filter(run__job=rollback, bucket="").exists()
    workers = [in_a_process(lambda: runner.work(rollback.pk) and None) for _ in range(2)]
    assert [os.waitpid(pid, 0)[1] for pid in workers] == [0, 0]
    rollback.refresh_from_db()
    assert rollback.status == "completed", rollback.error_message
    assert set(buckets(rollback)) == {"reversed"}
    assert office.picture() == before


@pytest.mark.req("R19", "J5")
def test_a_cancelled_rollback_keeps_what_is_done_and_can_go_on_or_be_undone(office: Office) -> None:
    before = office.picture()
    job = office.run()
    imported = office.picture()
    rollback = rollbacks.start_rollback(job, understood=True, batch_size=5)
    cancel = AfterSlice(lambda: lifecycle.request_cancel(ImportJob, rollback.pk))
    assert runner.work(rollback.pk, sink=cancel) == "cancelled"
    rollback.refresh_from_db()
    assert buckets(rollback) == {"reversed": 5}
    with pytest.raises(Conflict, match="rolled back"):
        jobs.resume(job)
    office.undo(rollback)
    assert office.picture() == imported

    again = rollbacks.start_rollback(job, understood=True, batch_size=5)
    assert runner.work(again.pk, sink=AfterSlice(lambda: lifecycle.request_cancel(ImportJob, again.pk))) == "cancelled"
    jobs.resume(again)
    assert runner.work(again.pk) == "completed"
    assert office.picture() == before
    assert verdicts(again)


@pytest.mark.req("J5")
def test_cancelling_with_undo_takes_back_what_was_written(office: Office, broom: Any, sent: list[str]) -> None:
    before = office.picture()
    job = office.desk.start(by=broom, options={"batch_size": 10})
    rolled: list[ImportJob] = []

    def cancelled() -> None:
        answer = program_of(broom).post(f"/jobs/{job.pk}/cancel", {"undo": True})
        assert answer.status_code == 200, answer.content
        rolled.append(ImportJob.objects.get(pk=answer.json()["rollback_id"]))
        assert runner.work(rolled[0].pk, patient=False) == "pending"  # the import is not at its end

    assert runner.work(job.pk, sink=AfterSlice(cancelled)) == "cancelled"
    assert rolled[0].kind == JobKind.ROLLBACK
    assert runner.work(rolled[0].pk, patient=False) == "completed"
    assert office.picture() == before
