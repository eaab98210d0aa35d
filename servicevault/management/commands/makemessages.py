"""Django's makemessages, which also finds what Python says (docs/adr/0007)."""

from __future__ import annotations

from django.core.management.commands import makemessages


class Command(makemessages.Command):
    xgettext_options = [*makemessages.Command.xgettext_options, "--keyword=say", "--keyword=say_count:1,2"]
