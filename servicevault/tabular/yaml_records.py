"""YAML, read as events: scalars stay text, aliases are counted, tags beyond the core set are refused."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import IO, Any, NoReturn

import yaml
from yaml import events

from servicevault.tabular.contract import Format, Head
from servicevault.tabular.encoding import open_text
from servicevault.tabular.errors import FileRejected
from servicevault.tabular.json_records import escaped, json_value
from servicevault.tabular.limits import Limits
from servicevault.tabular.options import ReadOptions, WriteOptions
from servicevault.tabular.records import Detection, Reading
from servicevault.tabular.text_output import TextOutput
from servicevault.tabular.trees import WHOLE, Element, inspect_tree, mapping_of, plain_path, read_tree
from servicevault.tabular.values import Numeral, to_json
from servicevault.wording import say

CORE = {f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "timestamp", "seq", "map")}
NULLS = {"", "~", "null", "Null", "NULL"}
BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")
BEGINS_YAML = re.compile(
    r"(?:\s*(?:#[^\n]*)?\n)*(%YAML|---(?:\s|$)|- (?=[\w\"' ]+:\s|[?&*!{\[])|-\s*\n\s|[\w\"']+:(?:\s*\n\s*- | [&*!{\[]))"
)
ALIAS_ALLOWANCE = 10_000  # small files may repeat a little more
# What YAML does not print, and what JSON would leave to a reader of YAML to misread.
UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")
SAFE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
LONGEST_NAME = 1000  # a reader looks for the colon of a name in its first 1,024 characters, YAML 1.2 7.4.2
WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}
Node = tuple[Any, int]  # a value and its size when every alias is written out


class Yaml(Format):
    """YAML: a list, a mapping with a list, several documents."""

    name = "yaml"
    label = "YAML"
    extensions = ("yaml", "yml")
    aliases = ("yml",)
    media_type = "application/yaml"
    also_reads = frozenset({"json", "jsonl", "csv"})

    def recognise(self, head: Head) -> str:
        """A document mark, a list of mappings, or a name followed by an indented list."""
        found = BEGINS_YAML.match(head.text)
        return say("it begins with {line}", line=found[1].strip().splitlines()[0]) if found else ""

    def inspect(self, stream: IO[bytes], options: ReadOptions, limits: Limits, found: Detection) -> Detection:
        """Find where records repeat."""
        if options.record_path is not None:
            return replace(found, record_path=plain_path(options.record_path) or "")
        return inspect_tree(_Documents(stream, found.encoding, limits).elements(None), found)

    def read(self, stream: IO[bytes], options: ReadOptions, limits: Limits) -> Reading:
        """Read record by record; memory holds one and the anchored values."""
        documents = _Documents(stream, options.encoding, limits)
        return read_tree(documents.elements(plain_path(options.record_path)), options, limits)

    def write(
        self, target: IO[bytes], columns: Sequence[str], rows: Iterable[Sequence[Any]], options: WriteOptions
    ) -> int:
        """Write a list of mappings; every text is quoted, so none looks like another type."""
        text = TextOutput(target, "utf-8", "strict")
        names = [f"  {_named(_name(column), line=True)}: " for column in columns]
        if names:
            names[0] = "- " + names[0][2:]
        number = 0
        for number, row in enumerate(rows, start=1):
            values = (_printable(_value(value, options)) for value in row)
            text.write(number, "".join(name + value + "\n" for name, value in zip(names, values, strict=True)))
        if number == 0:
            text.write(0, "[]\n")
        text.close()
        return number


def _name(column: str) -> str:
    if SAFE_NAME.fullmatch(column) and column.lower() not in WORDS:
        return column
    return _printable(json_value(column, WriteOptions()))


def _named(name: str, *, line: bool = False) -> str:
    """The name before its colon; a long one is announced by a question mark, for no reader looks so far for the colon."""
    if len(name) <= LONGEST_NAME:
        return name
    return f"? {name}\n  " if line else f"? {name} "


def _value(value: Any, options: WriteOptions) -> str:
    """A value as JSON, which YAML reads too but for long names."""
    return escaped(_document(value)) if isinstance(value, dict | list | tuple) else json_value(value, options)


def _document(value: Any) -> str:
    if isinstance(value, dict):
        members = (f"{_named(_printable(to_json(str(key))))}: {_document(each)}" for key, each in value.items())
        return "{" + ", ".join(members) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_document, value)) + "]"
    return to_json(value)


def _printable(text: str) -> str:
    return UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


class _Documents:
    """The documents of a stream as one sequence of events."""

    def __init__(self, stream: IO[bytes], encoding: str, limits: Limits) -> None:
        self._events: Iterator[events.Event] = self._parsed(stream, encoding)
        self._limits = limits
        self._anchors: dict[str, Node] = {}
        self._expanded = 0

    def _parsed(self, stream: IO[bytes], encoding: str) -> Iterator[events.Event]:
        try:
            yield from yaml.parse(open_text(stream, encoding), Loader=yaml.CSafeLoader)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line = mark.line + 1 if mark else 0
            problem = getattr(error, "problem", None) or getattr(error, "reason", None) or say("it is no YAML")
            raise FileRejected(
                say("The YAML cannot be read at line {line}: {problem}.", line=line, problem=problem), line=line
            ) from error

    def elements(self, wanted: str | None) -> Iterator[Element]:
        """Yield each element of each list that is reached through mappings, and the mapping at the wanted path."""
        for event in self._events:
            if isinstance(event, events.DocumentStartEvent):
                self._anchors = {}
                yield from self._walk(next(self._events), "", wanted, 0)

    def _walk(self, event: events.Event, path: str, wanted: str | None, depth: int) -> Iterator[Element]:
        self._check(event, depth)
        is_wanted = wanted in ({path} if path else {WHOLE})
        if isinstance(event, events.SequenceStartEvent) and not event.anchor:
            while not isinstance(event := next(self._events), events.SequenceEndEvent):
                yield path, self._build(event, depth + 1)[0]
        elif isinstance(event, events.MappingStartEvent) and not event.anchor and not is_wanted:
            while not isinstance(event := next(self._events), events.MappingEndEvent):
                key = self._key(event)
                yield from self._walk(next(self._events), f"{path}.{key}" if path else key, wanted, depth + 1)
        else:
            value = self._build(event, depth)[0]
            if isinstance(value, list):
                yield from ((path, each) for each in value)
            elif is_wanted or depth == 0:
                yield wanted or path or WHOLE, value

    def _build(self, event: events.Event, depth: int) -> Node:
        self._check(event, depth)
        if isinstance(event, events.AliasEvent):
            return self._repeated(event)
        anchor = getattr(event, "anchor", None)
        if isinstance(event, events.ScalarEvent):
            node = _scalar(event), len(event.value) + 1
        elif isinstance(event, events.SequenceStartEvent):
            node = self._list(depth)
        else:
            node = self._mapping(depth)
        if anchor:
            self._anchors[anchor] = node
        return node

    def _list(self, depth: int) -> Node:
        values, size = [], 1
        while not isinstance(event := next(self._events), events.SequenceEndEvent):
            value, inner = self._build(event, depth + 1)
            values.append(value)
            size += inner
        return values, size

    def _mapping(self, depth: int) -> Node:
        pairs: list[tuple[str, Any]] = []
        defaults: dict[str, Any] = {}
        size = 1
        while not isinstance(event := next(self._events), events.MappingEndEvent):
            is_merge = isinstance(event, events.ScalarEvent) and event.value == "<<" and event.implicit[0]
            key = self._key(event)
            value, inner = self._build(next(self._events), depth + 1)
            size += len(key) + inner
            if is_merge and isinstance(value, dict):
                defaults.update(value)
            else:
                pairs.append((key, value))
        found = mapping_of(pairs)
        for key, value in defaults.items():
            found.setdefault(key, value)
        return found, size

    def _key(self, event: events.Event) -> str:
        self._check(event, 0)
        if isinstance(event, events.AliasEvent):
            return str(self._repeated(event)[0])
        if not isinstance(event, events.ScalarEvent):
            self._refuse(event, say("a name is a list or a mapping"))
        if event.anchor:
            self._anchors[event.anchor] = event.value, len(event.value)
        return str(event.value)

    def _repeated(self, event: events.AliasEvent) -> Node:
        anchor = event.anchor or ""
        if anchor not in self._anchors:
            self._refuse(event, say("the alias *{anchor} names nothing before it", anchor=anchor))
        value, size = self._anchors[anchor]
        read = event.end_mark.index if event.end_mark else 0
        self._expanded += size
        if self._expanded > ALIAS_ALLOWANCE + self._limits.alias_expansion * read:
            self._refuse(
                event,
                say(
                    "its aliases repeat more than {alias_expansion} times its size",
                    alias_expansion=self._limits.alias_expansion,
                ),
            )
        return value, size

    def _check(self, event: events.Event, depth: int) -> None:
        if depth > self._limits.nesting:
            self._refuse(event, say("it is nested deeper than {nesting} levels", nesting=self._limits.nesting))
        tag = getattr(event, "tag", None)
        if tag is not None and tag != "!" and tag not in CORE:
            self._refuse(event, say("the tag {tag} is none of the core types", tag=tag))

    def _refuse(self, event: events.Event, cause: str) -> NoReturn:
        line = event.start_mark.line + 1 if event.start_mark else 0
        raise FileRejected(say("The YAML is refused at line {line}: {cause}.", line=line, cause=cause), line=line)


def _scalar(event: events.ScalarEvent) -> Any:
    """Return a scalar: null, true, false and JSON's numbers where unquoted; `NO`, `01234`, `12:30` are text."""
    text = event.value
    if not event.implicit[0] and event.tag not in {"tag:yaml.org,2002:int", "tag:yaml.org,2002:float"}:
        return text
    if text in NULLS:
        return None
    if text in BOOLEANS:
        return BOOLEANS[text]
    return Numeral(text) if NUMBER.fullmatch(text) else text
