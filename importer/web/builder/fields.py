"""The fields block: one row for each field of the target, where its value comes from and how it is changed."""

from __future__ import annotations

import copy
import re
from collections import Counter
from dataclasses import dataclass, field

from django.http import QueryDict

from importer import operations
from importer.web.builder import transformations
from importer.web.builder.body import Body, columns_in, sources_of
from importer.web.builder.workbench import Ask, Change, Option, Workbench
from servicevault import catalog
from servicevault.wording import say

WRITE_RULES = {
    "overwrite": say("Always write it"),
    "if_empty": say("Only where ours is empty"),
    "never": say("Only on new rows"),
    "append": say("Add to what is there"),
}
EMPTY_VALUES = {
    "": say("As the source has them"),
    "write": say("Write empty values"),
    "keep": say("Keep ours when empty"),
}


@dataclass(frozen=True)
class Row:
    """A field of the target, mapped or not."""

    target: str
    label: str
    type: str
    help: str
    required: bool
    index: int | None  # its place among the query's fields; None when it is not mapped
    sources: list[str] = field(default_factory=list)
    source_type: str = ""
    separator: str = " "
    steps: list[transformations.Step] = field(default_factory=list)
    write_rule: str = "overwrite"
    empty_values: str = ""
    reference: str = ""  # what it points at
    choices: tuple[str, ...] = ()

    @property
    def is_mapped(self) -> bool:
        return self.index is not None and any(self.sources)

    @property
    def element(self) -> str:
        """The part of ids that names the row."""
        return _element(self.target)

    @property
    def short_type(self) -> str:
        return short_type(self.source_type)

    @property
    def note(self) -> str:
        return f"b-fields-{self.element}-note"


@dataclass(frozen=True)
class Table:
    """The rows in the order they are shown, and what there is to say about them together."""

    required: list[Row]
    mapped: list[Row]
    others: list[Row]
    missing: list[str]
    unused: list[Option]
    takes_custom: bool

    @property
    def count(self) -> int:
        return sum(row.is_mapped for row in (*self.required, *self.mapped))


def table_of(bench: Workbench) -> Table:
    """The rows of the target's fields, required ones first, then mapped ones, then the rest."""
    target = bench.target
    by_target = {
        _name(target, str(item.get("target") or "")): number for number, item in enumerate(bench.body["fields"])
    }
    needed = set(target.must_map if target else ())
    known = [item.name for item in target.fields] if target else []
    rows = [_row(bench, name, by_target.get(name), name in needed) for name in known]
    rows += [_row(bench, name, number, False) for name, number in by_target.items() if name not in known]
    required = [row for row in rows if row.required]
    mapped = [row for row in rows if not row.required and row.index is not None]
    return Table(
        required=required,
        mapped=mapped,
        others=[row for row in rows if not row.required and row.index is None],
        missing=[row.label for row in required if not row.is_mapped and not _is_derived(target, row.target, by_target)],
        unused=_unused(bench),
        takes_custom=bool(target and target.json_column),
    )


def _name(target: catalog.Target | None, written: str) -> str:
    found = target.field(written) if target else None
    return found.name if found else written


def _is_derived(target: catalog.Target | None, name: str, mapped: dict[str, int]) -> bool:
    groups = target.derived_needs.get(name, ()) if target else ()
    return any(all(part in mapped for part in group) for group in groups)


def _row(bench: Workbench, name: str, index: int | None, required: bool) -> Row:
    known = bench.target.field(name) if bench.target else None
    item: Body = bench.body["fields"][index] if index is not None else {}
    sources = sources_of(item) if item else []
    column = bench.column_of(sources[0]) if len(sources) == 1 else None
    reference = known.reference if known else None
    return Row(
        target=name,
        label=(known.label if known else "") or words(name),
        type=(known.sql_type or known.type) if known and known.type != "text" else "",
        help=_help(known),
        required=required,
        index=index,
        sources=sources,
        source_type=column.type if column else "",
        separator=str(item.get("separator", " ")),
        steps=transformations.steps_of(item),
        write_rule=item.get("write_rule") or "overwrite",
        empty_values=item.get("empty_values") or "",
        reference=catalog.spoken(reference.types) if reference else "",
        choices=known.choices if known else (),
    )


_SHORT = {
    "character varying": "varchar",
    "timestamp without time zone": "timestamp",
    "timestamp with time zone": "timestamptz",
    "double precision": "double",
}


def short_type(name: str) -> str:
    """A type as people write it."""
    whole = re.sub(r"\(\d+(,\d+)?\)", "", name)
    return next((short for long, short in _SHORT.items() if whole.startswith(long)), whole)


def _element(target: str) -> str:
    return "".join(letter if letter.isalnum() and letter.isascii() else f"-{ord(letter)}" for letter in target)


def element_of(bench: Workbench, written: str) -> str:
    """The part of ids that names the row of a field, whichever of its names the query uses."""
    return _element(_name(bench.target, written))


def words(name: str) -> str:
    """A field's name as people read it."""
    plain = name.removeprefix("custom_fields.").replace("_", " ").strip()
    return (plain[:1].upper() + plain[1:]).replace(" id", " ID") or name


def _help(known: catalog.Field | None) -> str:
    if known is None:
        return ""
    parts = [known.help]
    if known.reference:
        parts.append(
            say(
                "The old id of one of: {types}.",
                types=", ".join(str(catalog.get(kind).label).lower() for kind in known.reference.types),
            )
        )
    if known.choices:
        parts.append(say("One of {choices}.", choices=", ".join(known.choices)))
    if known.max_length:
        parts.append(say("At most {max_length} characters.", max_length=known.max_length))
    if known.not_empty:
        parts.append(say("It must not be empty."))
    return " ".join(str(part) for part in parts if part)


def _unused(bench: Workbench) -> list[Option]:
    used = {
        (bench.owner(column), column.name)
        for item in bench.body["fields"]
        for text in sources_of(item)
        for column in columns_in(text)
    }
    ignored = set(bench.body.get("ignored_columns") or [])
    return [
        option for option in bench.options if (option.group, option.name) not in used and option.text not in ignored
    ]


# -- changes -----------------------------------------------------------------------------------------------------


def set_target(bench: Workbench, post: QueryDict) -> Body:
    """Another kind of thing; mappings stay where it has the field, the others are named first."""
    name = post.get("target_type", "")
    operations.require_target(name, bench.user)
    try:
        target = catalog.get(name)
    except catalog.UnknownTarget as error:
        raise operations.InvalidFields({"target_type": [str(error.args[0])]}) from None
    body = copy.deepcopy(bench.body)
    fits = [item for item in body["fields"] if target.field(str(item.get("target") or ""))]
    lost = [
        say("the mapping {sources} → {target}", sources=" + ".join(sources_of(item)), target=item.get("target"))
        for item in body["fields"]
        if item not in fits
    ]
    if lost and not post.get("confirmed"):
        raise Ask(say("{target} have no such fields. These mappings are dropped:", target=target.label), lost)
    return body | {"target_type": name, "fields": fits}


def set_field(bench: Workbench, post: QueryDict) -> Body:
    """Where one field's value comes from, and how it is changed and written; nothing typed takes the mapping away."""
    body, target = copy.deepcopy(bench.body), _target_of(post)
    index = _index(bench, body, target)
    item = body["fields"][index] if index is not None else {"target": target, "transformation": []}
    given = [text.strip() for text in post.getlist("source")]
    texts = [text for text in given if text]
    if not texts:
        body["fields"] = [other for number, other in enumerate(body["fields"]) if number != index]
        return body
    if len(texts) == 1:
        item.pop("sources", None)
        item.pop("separator", None)
        item["source"] = texts[0]
    else:
        item.pop("source", None)
        item |= {"sources": texts, "separator": post.get("separator", item.get("separator", " "))}
    item["transformation"] = transformations.read(item, post)
    if post.get("write_rule") in WRITE_RULES:
        item["write_rule"] = post["write_rule"]
    if post.get("empty_values") in EMPTY_VALUES:
        item["empty_values"] = post["empty_values"] or None
    if index is None:
        body["fields"].append(item)
    return body


def _target_of(post: QueryDict) -> str:
    target = post.get("target", "").strip()
    if not target:
        raise operations.InvalidFields({"target": [say("Say which field is filled.")]})
    return target


def _index(bench: Workbench, body: Body, name: str) -> int | None:
    """Where the field of this name stands, whichever of its names the query uses."""
    wanted = _name(bench.target, name)
    names = [_name(bench.target, str(item.get("target") or "")) for item in body["fields"]]
    return names.index(wanted) if wanted in names else None


def remove_field(bench: Workbench, post: QueryDict) -> Body:
    body = copy.deepcopy(bench.body)
    index = _index(bench, body, _target_of(post))
    body["fields"] = [item for number, item in enumerate(body["fields"]) if number != index]
    return body


def keep_as_custom(bench: Workbench, post: QueryDict) -> Body:
    """A column nobody reads yet, kept under its own name."""
    body, source = copy.deepcopy(bench.body), _suffix(post)
    option = next((item for item in bench.options if item.text == source), None)
    if option is None:
        raise operations.InvalidFields({"source": [say("This column is gone.")]})
    taken = Counter(item.get("target") for item in body["fields"])
    name = f"custom_fields.{option.name}"[:63]
    if taken[name]:
        name = f"custom_fields.{option.group}_{option.name}"[:63]
    body["fields"].append({"source": source, "target": name, "transformation": [], "write_rule": "overwrite"})
    return body


def _suffix(post: QueryDict) -> str:
    """What a button says behind its action."""
    return post.getlist("action")[-1].partition(":")[2]


def ignore(bench: Workbench, post: QueryDict) -> Body:
    ignored = dict.fromkeys([*(bench.body.get("ignored_columns") or []), _suffix(post)])
    return copy.deepcopy(bench.body) | {"ignored_columns": list(ignored)}


def add_step(bench: Workbench, post: QueryDict) -> Body:
    body, item = _mapped(bench, post)
    name = post.get("transformation", "")
    if name not in dict(transformations.choices()):
        raise operations.InvalidFields({"transformation": [say("Choose a transformation.")]})
    item["transformation"].append(transformations.added(name))
    return body


def remove_step(bench: Workbench, post: QueryDict) -> Body:
    body, item = _mapped(bench, post)
    item["transformation"] = [
        step
        for number, step in enumerate(item["transformation"])
        if number != _place(post, len(item["transformation"]))
    ]
    return body


def raise_step(bench: Workbench, post: QueryDict) -> Body:
    """One place earlier."""
    body, item = _mapped(bench, post)
    steps, number = item["transformation"], _place(post, len(item["transformation"]))
    if number > 0:
        steps[number - 1], steps[number] = steps[number], steps[number - 1]
    return body


def _mapped(bench: Workbench, post: QueryDict) -> tuple[Body, Body]:
    """The body with what the form says of the field, and the field in it."""
    body = set_field(bench, post)
    index = _index(bench, body, _target_of(post))
    if index is None:
        raise operations.InvalidFields({"source": [say("Choose a source first.")]})
    return body, body["fields"][index]


def _place(post: QueryDict, length: int) -> int:
    text = _suffix(post)
    if not text.isdecimal() or int(text) >= length:
        raise operations.InvalidFields({"transformation": [say("This transformation is gone.")]})
    return int(text)


CHANGES: dict[str, Change] = {
    "target.set": set_target,
    "fields.set": set_field,
    "fields.remove": remove_field,
    "fields.keep": keep_as_custom,
    "fields.ignore": ignore,
    "fields.step": add_step,
    "fields.unstep": remove_step,
    "fields.raise": raise_step,
}
