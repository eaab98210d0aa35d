"""`/settings/import`: what super admins change while the site runs (F-147)."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from permissions import policy, preferences
from servicevault.web.pages import PageRequest, members_only
from servicevault.wording import say

PAGE = "pages.settings.import"


class PreferenceForm(forms.Form):
    """A field for each setting; those the environment sets are shown and cannot be typed into."""

    reason = forms.CharField(
        label=say("Reason"),
        required=False,
        max_length=preferences.REASON_CHARACTERS,
        help_text=say("Goes into the audit log."),
        widget=forms.TextInput(attrs={"class": "form-control", "autocomplete": "off"}),
    )

    def __init__(self, data: Any, *, may_change: bool) -> None:
        super().__init__(data, initial=preferences.values())
        for setting in preferences.SETTINGS.values():
            self.fields[setting.name] = field = _field(setting)
            field.disabled = not may_change or preferences.is_locked(setting.name)
            if preferences.is_locked(setting.name):
                field.help_text = say("Set by the environment variable {setting}.", setting=setting.name)
        self.order_fields(preferences.SETTINGS)

    def changes(self) -> dict[str, Any]:
        return {name: self.cleaned_data[name] for name in preferences.SETTINGS if not self.fields[name].disabled}

    @property
    def numbers(self) -> list[Any]:
        return [field for field in self if isinstance(field.field, forms.IntegerField)]

    @property
    def flags(self) -> list[Any]:
        return [field for field in self if isinstance(field.field, forms.BooleanField)]

    @property
    def choices(self) -> list[Any]:
        return [field for field in self if isinstance(field.field, forms.MultipleChoiceField)]


def _field(setting: preferences.Setting) -> forms.Field:
    told: dict[str, Any] = {"label": setting.label, "help_text": setting.help}
    if setting.high:
        number = forms.NumberInput(attrs={"class": "form-control"})
        return forms.IntegerField(min_value=setting.low, max_value=setting.high, widget=number, **told)
    check: dict[str, Any] = {"class": "form-check-input"}
    if setting.choices:
        many = forms.CheckboxSelectMultiple(attrs=check)
        return forms.MultipleChoiceField(choices=[(each, each) for each in setting.choices], widget=many, **told)
    return forms.BooleanField(required=False, widget=forms.CheckboxInput(attrs=check), **told)


@members_only
@require_http_methods(["GET", "HEAD", "POST"])
def preferences_page(request: PageRequest) -> HttpResponse:
    """The settings as they count now; a POST of a super admin changes them."""
    policy.require(request.user, PAGE)
    may_change = request.user.is_superuser
    if request.method == "POST" and not may_change:
        raise policy.Denied("superuser")
    form = PreferenceForm(request.POST or None, may_change=may_change)
    if form.is_bound and form.is_valid():
        changed = preferences.change(form.changes(), by=request.user, reason=form.cleaned_data["reason"])
        words = say(
            "Changed: {changed}.", changed=", ".join(str(preferences.SETTINGS[name].label).lower() for name in changed)
        )
        messages.success(request, words if changed else say("Nothing was different."))
        return redirect("settings_import")
    context = {"form": form, "may_change": may_change}
    return render(request, "permissions/preferences.html", context, status=422 if form.is_bound else 200)
