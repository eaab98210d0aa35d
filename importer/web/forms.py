"""Forms of the import pages: what people may type; what it means is the operations' business."""

from __future__ import annotations

from typing import Any
from zoneinfo import available_timezones

from django import forms

from importer.models import SSLMode
from importer.modes import AccountStrategy, AgentStrategy, Mode, Strategy
from servicevault.wording import say, say_count

BATCH_SIZES = [
    ("", say("Automatic")),
    *((str(size), say_count("{count} row", "{count} rows", size)) for size in (25, 50, 100, 250)),
]
SSL_WORDS = {
    SSLMode.DISABLE: say("disable: never encrypted"),
    SSLMode.ALLOW: say("allow: encrypted only if the server insists"),
    SSLMode.PREFER: say("prefer: encrypted if possible, nobody is verified"),
    SSLMode.REQUIRE: say("require: encrypted, the server is not verified"),
    SSLMode.VERIFY_CA: say("verify-ca: encrypted, certificate verified"),
    SSLMode.VERIFY_FULL: say("verify-full: encrypted, certificate and host verified"),
}


class StartForm(forms.Form):
    """How a profile is to be run; an empty mode means the profile's own."""

    mode = forms.ChoiceField(
        label=say("Mode"),
        choices=[("", say("The profile's own")), *Mode.choices],
        required=False,
        error_messages={"invalid_choice": say("Choose one of the modes offered.")},
    )
    strategy = forms.ChoiceField(
        label=say("Strategy"),
        choices=[("", say("The profile's own")), *Strategy.choices],
        required=False,
        error_messages={"invalid_choice": say("Choose one of the strategies offered.")},
    )
    batch_size = forms.IntegerField(
        min_value=1,
        max_value=50_000,
        required=False,
        label=say("Batch size"),
        error_messages=dict.fromkeys(("min_value", "max_value", "invalid"), say("A batch has 1 to 50,000 rows.")),
    )
    on_error = forms.ChoiceField(
        label=say("On error"),
        choices=[("", say("Go on, keep each bad row aside")), ("stop", say("Stop at the first bad row"))],
        required=False,
    )
    max_errors = forms.IntegerField(
        label=say("Max errors"),
        min_value=0,
        required=False,
        error_messages=dict.fromkeys(("min_value", "invalid"), say("Give a number of bad rows.")),
    )
    rehearse = forms.BooleanField(label=say("Rehearse"), required=False)

    def options(self) -> dict[str, Any]:
        """The job's options beside its mode."""
        given = self.cleaned_data
        options: dict[str, Any] = {}
        if given["batch_size"]:
            options["batch_size"] = given["batch_size"]
        if given["strategy"]:
            options["matching"] = {"strategy": given["strategy"]}
        policy = {"on_error": given["on_error"] or None, "max_errors": given["max_errors"]}
        if any(value is not None for value in policy.values()):
            options["error_policy"] = {name: value for name, value in policy.items() if value is not None}
        return options


class StyledForm(forms.Form):
    """A form whose controls look like the site's."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            widget = field.widget
            if isinstance(widget, forms.CheckboxInput):
                widget.attrs.setdefault("class", "form-check-input")
            elif isinstance(widget, forms.Select):
                widget.attrs.setdefault("class", "form-select")
            else:
                widget.attrs.setdefault("class", "form-control")


class ConnectionForm(StyledForm):
    """A profile: where the source is, how to log in, and what is true of it."""

    name = forms.CharField(label=say("Profile name"), max_length=255)
    host = forms.CharField(label=say("Host"), max_length=255)
    port = forms.IntegerField(label=say("Port"), min_value=1, max_value=65_535, initial=5432)
    database = forms.CharField(label=say("Database"), max_length=255)
    username = forms.CharField(
        label=say("Username"), max_length=255, widget=forms.TextInput(attrs={"autocomplete": "off"})
    )
    password = forms.CharField(
        label=say("Password"),
        max_length=1024,
        required=False,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password", "hx-preserve": "true"}),
    )
    ssl_mode = forms.ChoiceField(
        label=say("TLS mode"),
        choices=[(mode.value, words) for mode, words in SSL_WORDS.items()],
        initial=SSLMode.PREFER,
        help_text=say(
            "“prefer” encrypts when the server can, but does not notice an impostor. "
            "Across a network choose verify-full."
        ),
    )
    ssl_root_cert = forms.CharField(
        label=say("CA certificate"),
        required=False,
        max_length=100_000,
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false"}),
        help_text=say("PEM text, or “system” for this machine's own store; needed by verify-ca and verify-full."),
    )
    source_timezone = forms.CharField(
        label=say("Time zone of the source"),
        max_length=64,
        initial="UTC",
        widget=forms.TextInput(attrs={"list": "zones"}),
        help_text=say("In which its timestamps without a zone are written, such as Europe/Berlin."),
    )
    account_strategy = forms.ChoiceField(
        label=say("Accounts of customers"),
        choices=AccountStrategy.choices,
        initial=AccountStrategy.COMPANY,
        help_text=say("Where a customer's account comes from when no query fills accounts."),
    )
    agent_strategy = forms.ChoiceField(
        label=say("Agents nobody here matches"),
        choices=AgentStrategy.choices,
        initial=AgentStrategy.CREATE,
        help_text=say("Agents are matched by their address. “Match only” holds back new ones."),
    )
    source_key = forms.SlugField(
        label=say("Source key"),
        required=False,
        max_length=64,
        help_text=say("Profiles with the same key recognise each other's rows. Empty: made from the name."),
    )
    description = forms.CharField(
        label=say("Description"), required=False, max_length=10_000, widget=forms.Textarea(attrs={"rows": 2})
    )
    notes = forms.CharField(
        label=say("Notes"),
        required=False,
        max_length=10_000,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=say("For your colleagues."),
    )
    is_active = forms.BooleanField(label=say("Active"), required=False, initial=True)
    version = forms.IntegerField(required=False, widget=forms.HiddenInput)

    PLACE = ("host", "port", "database", "username", "password")
    SAFETY = ("ssl_mode", "ssl_root_cert")
    MEANING = ("source_timezone", "account_strategy", "agent_strategy", "source_key")
    WORDS = ("description", "notes")

    def values(self) -> dict[str, Any]:
        """What was typed, as the operations take it."""
        given = {name: value for name, value in self.cleaned_data.items() if name != "version"}
        if not given["source_key"]:
            del given["source_key"]  # made from the name, or kept
        return given


def zones() -> list[str]:
    """Names to propose for a time zone."""
    return sorted(zone for zone in available_timezones() if "/" in zone and not zone.startswith(("Etc/", "posix")))
