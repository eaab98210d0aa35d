"""Mails about scheduled exports: a link, never the file (F-107)."""

from __future__ import annotations

import logging
from smtplib import SMTPException
from typing import Any

from django.conf import settings
from django.core.mail import send_mail
from django.urls import reverse

from exporter.errors import ExportError
from exporter.models import ScheduledRun
from exporter.operations.downloads import LINKS, make_link
from permissions import policy
from servicevault.wording import say

logger = logging.getLogger("servicevault.exports")


def tell_ready(run: ScheduledRun) -> None:
    """Send each recipient the way to the file: the owner to the page, others a link of their own."""
    job, owner = run.job, run.schedule.created_by
    if job is None:
        return
    for person in run.schedule.recipients.filter(is_active=True):
        address = reverse("exports")
        if person != owner:
            if owner is None or not policy.has(owner, LINKS):
                continue
            try:
                _, secret = make_link(job, by=owner, expires_in=None, single_use=False)
            except ExportError:
                continue
            address = reverse("api_export_link", args=[secret])
        _send(
            person,
            say("Export ready: {template}", template=run.schedule.template.name),
            say(
                "{filename} with {processed_rows:,} rows is ready until {expires_at:%Y-%m-%d %H:%M} UTC:\n"
                "{site_url}{address}\n",
                filename=job.filename,
                processed_rows=job.processed_rows,
                expires_at=job.expires_at,
                site_url=settings.SITE_URL,
                address=address,
            ),
        )


def tell_failed(run: ScheduledRun) -> None:
    """Tell the owner what went wrong, once."""
    reason = run.error_message or (run.job.error_message if run.job else "") or run.status
    _send(
        run.schedule.created_by,
        say("Export failed: {template}", template=run.schedule.template.name),
        say(
            "Planned for {planned_at:%Y-%m-%d %H:%M} UTC: {reason}\n{site_url}{path}\n",
            planned_at=run.planned_at,
            reason=reason,
            site_url=settings.SITE_URL,
            path=reverse("exports"),
        ),
    )


def _send(person: Any, subject: str, text: str) -> None:
    if person is None or not person.email:
        return
    try:
        send_mail(subject[:200], text, None, [person.email])
    except (SMTPException, OSError):
        logger.warning("the mail “%s” could not be sent", subject)
