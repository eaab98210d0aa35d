"""Forms of the import pages."""

from __future__ import annotations

from django import forms

from importer.modes import Mode


class StartForm(forms.Form):
    """How a profile is to be run; an empty mode means the profile's own."""

    mode = forms.ChoiceField(choices=[("", "The profile's own"), *Mode.choices], required=False)
    rehearse = forms.BooleanField(required=False)
