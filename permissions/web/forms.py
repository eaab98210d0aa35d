"""What people may type about rights on tables; what it means is granting's business."""

from __future__ import annotations

from typing import Any

from django import forms

from permissions.granting import EDITABLE, LARGEST
from servicevault.wording import say

FORMATS = [
    ("csv", "CSV"), ("json", "JSON"), ("jsonl", "JSON Lines"), ("excel", "Excel"), ("xml", "XML"), ("yaml", "YAML"),
]  # fmt: skip


def _flag(label: str) -> forms.BooleanField:
    return forms.BooleanField(
        label=label, required=False, widget=forms.CheckboxInput(attrs={"class": "form-check-input"})
    )


def _number(label: str, *, required: bool = True, help_text: str = "") -> forms.IntegerField:
    return forms.IntegerField(
        label=label,
        min_value=0,
        max_value=LARGEST,
        required=required,
        help_text=help_text,
        widget=forms.NumberInput(attrs={"class": "form-control"}),
    )


def _choices(label: str, *, required: bool, help_text: str = "") -> forms.MultipleChoiceField:
    return forms.MultipleChoiceField(
        label=label,
        required=required,
        help_text=help_text,
        widget=forms.CheckboxSelectMultiple(attrs={"class": "form-check-input"}),
    )


class GrantForm(forms.Form):
    """Shared by both kinds; the tables are asked for when the address names none."""

    kind: str
    tables = _choices(say("Tables"), required=True)
    can_preview = _flag(say("May see previews"))
    allowed_formats = _choices(say("Formats"), required=False)
    allowed_columns = _choices(
        say("Columns"), required=False, help_text=say("None chosen: all that are not sensitive.")
    )
    requires_approval = _flag(say("Needs an approval each time"))

    def __init__(self, *args: Any, tables: list[str], columns: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if kept := [name for name in self.initial.get("allowed_formats", []) if name in ("xlsx", "xls")]:
            others = [name for name in self.initial["allowed_formats"] if name not in kept]
            self.initial["allowed_formats"] = [*others, "excel"]
        self.fields["allowed_formats"].choices = FORMATS  # type: ignore[attr-defined]
        for name, choices in (("tables", tables), ("allowed_columns", columns)):
            self.fields[name].choices = [(each, each) for each in choices]  # type: ignore[attr-defined]
            if not choices:
                del self.fields[name]

    def values(self) -> dict[str, Any]:
        """The members that were asked for; what the form does not show stays as it is."""
        return {name: value for name, value in self.cleaned_data.items() if name in EDITABLE[self.kind]}

    @property
    def flags(self) -> list[Any]:
        return [field for field in self if isinstance(field.field, forms.BooleanField)]

    @property
    def numbers(self) -> list[Any]:
        return [field for field in self if isinstance(field.field, forms.IntegerField)]

    @property
    def choices(self) -> list[Any]:
        return [field for field in self if isinstance(field.field, forms.MultipleChoiceField)]


_PACE = say("Empty: no limit of its own.")


class ImportForm(GrantForm):
    kind = "import"
    can_import = _flag(say("May import"))
    can_validate = _flag(say("May validate files"))
    max_file_size_mb = _number(say("Largest file in MB"))
    max_rows_per_import = _number(say("Most rows of one import"))
    max_imports_per_hour = _number(say("Imports an hour"), required=False, help_text=_PACE)
    max_imports_per_day = _number(say("Imports a day"), required=False, help_text=_PACE)
    field_order = ("tables", "can_import", "can_validate", "can_preview", "requires_approval")


class ExportForm(GrantForm):
    kind = "export"
    can_export = _flag(say("May export"))
    max_rows_per_export = _number(say("Most rows of one export"))
    file_retention_hours = _number(
        say("Hours a file is kept"), required=False, help_text=say("Empty: as long as all others.")
    )
    max_exports_per_hour = _number(say("Exports an hour"), required=False, help_text=_PACE)
    max_exports_per_day = _number(say("Exports a day"), required=False, help_text=_PACE)
    field_order = ("tables", "can_export", "can_preview", "requires_approval")


FORMS: dict[str, type[GrantForm]] = {"import": ImportForm, "export": ExportForm}
