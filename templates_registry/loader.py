"""The packs we ship, from `packs/<name>/` into the table of templates (T12)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from django.db import transaction

from importer.errors import PackError
from servicevault.wording import say
from templates_registry import notation
from templates_registry.definition import parse_definition
from templates_registry.files import MAIN, PackFiles, read_folder
from templates_registry.models import Template
from templates_registry.pack import Definition

PACKS = Path(__file__).resolve().parent / "packs"


@dataclass(frozen=True)
class Pack:
    """A pack read from its folder."""

    files: PackFiles
    data: dict[str, Any]
    definition: Definition


@dataclass(frozen=True)
class Loaded:
    """What became of one pack."""

    platform: str
    name: str
    version: str
    outcome: Literal["created", "updated", "unchanged"]


def read_pack(folder: Path) -> Pack:
    """The pack in a folder. Raises PackError with the folder's and the file's name."""
    try:
        files = read_folder(folder)
        data = notation.read(files.main, MAIN).data
        return Pack(files, data, parse_definition(data))
    except (PackError, OSError) as error:
        message = error.message if isinstance(error, PackError) else say("it cannot be read.")
        hint, where = (error.hint, error.where) if isinstance(error, PackError) else ("", "")
        raise PackError(f"{folder.name}: {message}", hint=hint, where=where) from error


def shipped() -> list[Pack]:
    """All packs that come with the project."""
    return [read_pack(path.parent) for path in sorted(PACKS.glob(f"*/{MAIN}"))]


@transaction.atomic
def load_packs(folder: Path | None = None) -> list[Loaded]:
    """Install or update the shipped packs; profiles keep their copies. All or none: a faulty pack changes nothing."""
    return [_load(read_pack(path.parent)) for path in sorted((folder or PACKS).glob(f"*/{MAIN}"))]


def _load(pack: Pack) -> Loaded:
    definition = pack.definition
    fields = template_fields(pack.files, pack.data, definition)
    template = Template.objects.select_for_update().filter(platform=definition.platform, is_system=True).first()
    if template is None:
        Template.objects.create(platform=definition.platform, is_system=True, **fields)
        return Loaded(definition.platform, definition.name, definition.version, "created")
    if all(getattr(template, name) == value for name, value in fields.items()):
        return Loaded(definition.platform, definition.name, definition.version, "unchanged")
    for name, value in fields.items():
        setattr(template, name, value)
    template.save(update_fields=[*fields, "updated_at"])
    return Loaded(definition.platform, definition.name, definition.version, "updated")


def template_fields(files: PackFiles, data: dict[str, Any], definition: Definition) -> dict[str, Any]:
    """The columns of a template that come from its pack."""
    return {
        "name": definition.name,
        "description": definition.description,
        "version": definition.version,
        "definition": data,
        "source": files.main,
        "files": files.others,
    }
