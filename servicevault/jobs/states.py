"""The states of a job as people read them: word, icon and colour."""

from __future__ import annotations

from dataclasses import dataclass

from servicevault.jobs.models import JobStatus
from servicevault.wording import say


@dataclass(frozen=True)
class State:
    word: str
    icon: str
    colour: str  # a class of static/css/app.css


STATES = {
    JobStatus.PENDING: State(say("Pending"), "clock", "yellow"),
    JobStatus.AWAITING_APPROVAL: State(say("Awaiting approval"), "user-check", "violet"),
    JobStatus.RUNNING: State(say("Running"), "player-play", "blue"),
    JobStatus.COMPLETED: State(say("Completed"), "circle-check", "green"),
    JobStatus.FAILED: State(say("Failed"), "circle-x", "red"),
    JobStatus.CANCELLED: State(say("Cancelled"), "ban", "grey"),
}
STOPPING = State(say("Stopping"), "hourglass", "blue")
