"""The packs we ship, from `packs/*.yaml` into the table of templates (T12)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from django.db import transaction

from importer.errors import PackError
from templates_registry.definition import parse_definition
from templates_registry.models import Template
from templates_registry.pack import Definition

PACKS = Path(__file__).resolve().parent / "packs"


class PackYaml(yaml.SafeLoader):
    """Safe YAML in which only true and false are booleans, as in YAML 1.2: a join's `on` stays a word."""


PackYaml.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
PackYaml.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"true|false", re.IGNORECASE), list("tTfF"))


@dataclass(frozen=True)
class Loaded:
    """What became of one pack."""

    platform: str
    name: str
    version: str
    outcome: Literal["created", "updated", "unchanged"]


def read_pack(path: Path) -> tuple[dict[str, Any], Definition]:
    """A pack file's content as JSON values, and what it means. Raises PackError with the file's name."""
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=PackYaml)  # noqa: S506 - a SafeLoader
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise PackError(f"{path.name} cannot be read as YAML.", where=path.name) from error
    try:
        definition = parse_definition(data)
    except PackError as error:
        raise PackError(f"{path.name}: {error.message}", hint=error.hint, where=error.where) from error
    return _json(data), definition


@transaction.atomic
def load_packs(folder: Path | None = None) -> list[Loaded]:
    """Install or update the shipped packs; profiles keep their copies. All or none: a faulty pack changes nothing."""
    return [_load(*read_pack(path)) for path in sorted((folder or PACKS).glob("*.yaml"))]


def _load(data: dict[str, Any], definition: Definition) -> Loaded:
    fields = {
        "name": definition.name,
        "description": definition.description,
        "version": definition.version,
        "definition": data,
    }
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


def _json(value: Any) -> Any:
    """YAML's values as JSON has them: codes used as keys become texts."""
    if isinstance(value, dict):
        return {str(key): _json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_json(item) for item in value]
    return value
