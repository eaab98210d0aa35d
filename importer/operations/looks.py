"""Words, icons and colours of outcomes, buckets and queries, and what to do about a job that failed (U9)."""

from __future__ import annotations

from importer.models import RunStatus
from importer.modes import Bucket, Outcome
from servicevault.jobs.states import State
from servicevault.wording import say

REMEDIES = {  # by the code of a failed job (C16)
    "timeout": say("Resume it with a longer timeout."),
    "source_lost": say("See that the source runs and can be reached, then resume: it goes on where it stopped."),
    "source_limit": say("Narrow the query with a filter, or ask for a higher limit."),
    "query_failed": say("Mend the query in the builder, then start again."),
    "error_threshold": say("Look at the failed rows, mend mapping or source, then retry them."),
    "drift_detected": say("The source was changed: look at the queries, then start again."),
    "counter_mismatch": say("Tell whoever runs this installation: the counts do not add up."),
    "target_unavailable": say("See that this installation's database runs, then resume."),
    "storage_full": say("Make room on the disk of this installation, then resume."),
    "permission_denied": say("Ask for the permission that is missing, then start again."),
    "internal_error": say("Resume it. If it fails again, tell whoever runs this installation the number of the job."),
}

COMPLETED_WITH_REVIEW = State(say("Completed, some rows wait"), "user-check", "violet")
RUN_STATES = {
    RunStatus.PENDING: State(say("Waiting"), "clock", "grey"),
    RunStatus.RUNNING: State(say("Running"), "player-play", "blue"),
    RunStatus.DONE: State(say("Done"), "check", "green"),
    RunStatus.FAILED: State(say("Failed"), "circle-x", "red"),
    RunStatus.OFF: State(say("Off"), "ban", "grey"),
}
OUTCOMES = {
    Outcome.CREATED: State(say("created"), "plus", "green"),
    Outcome.UPDATED: State(say("updated"), "pencil", "blue"),
    Outcome.UNCHANGED: State(say("unchanged"), "equal", "grey"),
    Outcome.SKIPPED: State(say("skipped"), "player-skip-forward", "yellow"),
    Outcome.REVIEW: State(say("review"), "user-check", "violet"),
    Outcome.FAILED: State(say("failed"), "circle-x", "red"),
}
BUCKETS = {  # of a rollback and its undo, under the counters that count them
    Bucket.REVERSED: State(say("reversed"), "rotate-clockwise", "green"),
    Bucket.KEPT_EDITED: State(say("kept, edited"), "pencil", "blue"),
    Bucket.BLOCKED: State(say("blocked"), "ban", "yellow"),
    Bucket.ERROR: State(say("error"), "circle-x", "red"),
}
