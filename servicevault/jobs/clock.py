"""The database's clock, for leases that several machines must agree on."""

from __future__ import annotations

from django.db.models import DateTimeField, Func, Value


class InSeconds(Func):
    """The instant so many seconds from now, as the statement runs."""

    template = "clock_timestamp() + make_interval(secs => %(expressions)s)"
    output_field = DateTimeField()

    def __init__(self, seconds: float) -> None:
        super().__init__(Value(seconds))
