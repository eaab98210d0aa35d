"""XML: repeating elements as records. No DTD, no entities, nothing fetched."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import IO, Any
from xml.sax.saxutils import escape, quoteattr

from lxml import etree

from servicevault.tabular.contract import Format, Head, with_notices
from servicevault.tabular.errors import FileRejected, RowNotWritable
from servicevault.tabular.limits import Limits
from servicevault.tabular.options import ReadOptions, WriteOptions
from servicevault.tabular.records import Detection, Notice, Reading, RecordPath
from servicevault.tabular.text_output import encoded
from servicevault.tabular.trees import WHOLE, Element, plain_path, read_tree
from servicevault.tabular.values import render
from servicevault.wording import say

CHUNK = 256 * 1024
XSI = "http://www.w3.org/2001/XMLSchema-instance"
NIL = f"{{{XSI}}}nil"
DECLARED = re.compile(r"""<\?xml[^>]*?encoding\s*=\s*["']([\w.-]+)["']""")
DOCTYPE = re.compile(r"(?:<\?.*?\?>|<!--.*?-->|\s)*<!(?:DOCTYPE|ENTITY)", re.S | re.I)
SCRIPT = re.compile(r"<(?:\w+:)?script[\s>]|<html[\s>]|<\?xml-stylesheet", re.I)
FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")
NOT_IN_NAMES = re.compile(r"[^\w.-]")
SEARCHED_DEPTH = 6  # records lie no deeper


class Xml(Format):
    """XML with records as repeating elements."""

    name = "xml"
    label = "XML"
    extensions = ("xml",)
    media_type = "application/xml"

    def recognise(self, head: Head) -> str:
        """An angle bracket that opens a declaration, a comment or an element."""
        return say("it begins with <") if re.match(r"\s*<[?!A-Za-z_]", head.text) else ""

    def inspect(self, stream: IO[bytes], options: ReadOptions, limits: Limits, found: Detection) -> Detection:
        """Find the encoding it declares and the elements that repeat."""
        stream.seek(0)
        head = stream.read(64 * 1024).decode(found.encoding, "replace")
        if DOCTYPE.match(head.lstrip("\ufeff")):
            raise FileRejected(say("The XML has a document type (DTD) or entities. Send it without <!DOCTYPE ...>."))
        declared = DECLARED.search(head)
        if declared and not options.encoding and "mark" not in found.encoding_reason:
            found = replace(found, encoding=declared[1].lower(), encoding_reason=say("the XML declaration says so"))
        if options.record_path is not None:
            return replace(found, record_path=plain_path(options.record_path) or WHOLE)
        return _with_paths(_Elements(stream, found.encoding, limits), found)

    def read(self, stream: IO[bytes], options: ReadOptions, limits: Limits) -> Reading:
        """Read record by record; what is read is removed from the tree."""
        wanted = plain_path(options.record_path) or WHOLE
        elements = _Elements(stream, options.encoding, limits).records(wanted)
        return read_tree(elements, replace(options, record_path=wanted), limits)

    def write(
        self, target: IO[bytes], columns: Sequence[str], rows: Iterable[Sequence[Any]], options: WriteOptions
    ) -> int:
        """Write an element a row; NULL is xsi:nil, names that XML forbids are cleaned."""
        text = encoded(target, options)
        root, record = element_name(options.root_name), element_name(options.record_name)
        names = _distinct(element_name(column) for column in columns)
        start, end = (
            (f"  <{record}>", f"  </{record}>\n") if options.pretty_print else (f"<{record}>", f"</{record}>\n")
        )
        indent, after = ("\n    ", "\n") if options.pretty_print else ("", "")
        charset = options.encoding.removesuffix("-sig")
        text.write(0, f'<?xml version="1.0" encoding="{charset}"?>\n<{root} xmlns:xsi={quoteattr(XSI)}>\n')
        number = 0
        for number, row in enumerate(rows, start=1):
            cells = (_cell(name, value, number, options) for name, value in zip(names, row, strict=True))
            text.write(number, start + "".join(indent + cell for cell in cells) + after + end)
        text.write(number, f"</{root}>\n")
        text.close()
        return number


def _cell(name: str, value: Any, number: int, options: WriteOptions) -> str:
    text = render(value, options)
    if text is None:
        return f'<{name} xsi:nil="true"/>'
    if found := FORBIDDEN.search(text):
        if options.encoding_errors != "replace":
            character = f"U+{ord(found[0]):04X}"
            raise RowNotWritable(
                say(
                    "Row {number:,}, column `{name}`: XML cannot hold {character}. Choose JSON or CSV.",
                    number=number,
                    name=name,
                    character=character,
                )
            )
        text = FORBIDDEN.sub("\ufffd", text)
    # A bare CR would be read back as a line feed.
    return f"<{name}>{escape(text, {chr(13): '&#13;'})}</{name}>"


def element_name(text: str) -> str:
    """Return a name XML allows: other characters become underscores."""
    name = NOT_IN_NAMES.sub("_", text) or "_"
    return name if re.match(r"[^\W\d]", name) and not name.lower().startswith("xml") else f"_{name}"


def _distinct(names: Iterable[str]) -> list[str]:
    taken: list[str] = []
    for name in names:
        free, number = name, 2
        while free in taken:
            free, number = f"{name}_{number}", number + 1
        taken.append(free)
    return taken


def _with_paths(elements: _Elements, found: Detection) -> Detection:
    counts, are_plain, has_script = elements.count()
    if has_script:
        raise FileRejected(say("The XML holds a script or a style sheet that runs one. Send the data alone."))
    root = next(iter(counts))
    # Records repeat in a place that exists once; a lone one is an element with fields.
    lists = {
        path: count
        for path, count in counts.items()
        if "." in path and counts[path.rpartition(".")[0]] == 1 and (count > 1 or path not in are_plain)
    }
    if not lists or (all(path in are_plain for path in lists if lists[path] == 1) and max(lists.values()) == 1):
        return replace(found, record_path=WHOLE, record_paths=(RecordPath(WHOLE, 1),))
    ranked = sorted(lists.items(), key=lambda item: (item[0] in are_plain, -item[1], item[0].count(".")))
    if len(ranked) == 1 or ranked[0][1] > 1:
        ranked = [item for item in ranked if item[1] > 1] or ranked
    elif any(path.count(".") == 1 and path in are_plain for path in counts):
        # The root has fields of its own: it is the record.
        return replace(found, record_path=WHOLE, record_paths=(RecordPath(WHOLE, counts[root]),))
    paths = tuple(RecordPath(path, count) for path, count in ranked)
    found = replace(found, record_path=paths[0].path, record_paths=paths)
    if len(paths) == 1:
        return found
    others = ", ".join(f"`{each.path}` ({each.count:,})" for each in paths[1:6])
    message = say(
        "Records are read from `{path}` ({count:,}). Also there: {others}.",
        path=paths[0].path,
        count=paths[0].count,
        others=others,
    )
    return with_notices(found, Notice("several_record_paths", message))


class _Elements:
    """A document parsed piece by piece."""

    def __init__(self, stream: IO[bytes], encoding: str, limits: Limits) -> None:
        self._stream = stream
        self._encoding = {"utf-8-sig": "utf-8"}.get(encoding, encoding)
        self._limits = limits

    def _events(self) -> Iterator[tuple[str, Any, list[str]]]:
        """Yield ("start" or "end", element, path); the caller clears what it has read."""
        names: list[str] = []
        for event, element in _parsed(self._stream, self._encoding):
            if not isinstance(element.tag, str):
                if element.tag is etree.Entity:
                    raise FileRejected(
                        say(
                            "The XML uses an entity in line {sourceline}. Send it without.",
                            sourceline=element.sourceline,
                        )
                    )
                continue
            if event == "start":
                if not names and element.getroottree().docinfo.doctype:
                    raise FileRejected(say("The XML has a document type (DTD). Send it without <!DOCTYPE ...>."))
                names.append(_local(element.tag))
                if len(names) > self._limits.nesting:
                    message = say("The XML is nested deeper than {nesting} levels.", nesting=self._limits.nesting)
                    raise FileRejected(message, line=element.sourceline or 0)
                yield event, element, names
            else:
                yield event, element, names
                names.pop()

    def count(self) -> tuple[Counter[str], set[str], bool]:
        """Return how often each path occurs, which are texts without fields, and whether something is a script."""
        counts: Counter[str] = Counter()
        are_plain: set[str] = set()
        has_script = False
        for event, element, names in self._events():
            if event == "start":
                has_script = has_script or names[-1].lower() in {"script", "html"}
                if len(names) <= SEARCHED_DEPTH:
                    path = ".".join(names)
                    counts[path] += 1
                    if counts[path] == 1 and not element.attrib:
                        are_plain.add(path)
                    are_plain.discard(path.rpartition(".")[0])
                    if len(counts) > self._limits.columns * 10:
                        raise FileRejected(
                            say(
                                "The XML has too many different elements to be a table. Send rows with the same elements."
                            )
                        )
            else:
                _forget(element)
        return counts, are_plain, has_script

    def records(self, wanted: str) -> Iterator[Element]:
        """Yield (path, fields) of each element at the wanted path."""
        path = [] if wanted == WHOLE else wanted.split(".")
        depth = len(path) or 1
        for event, element, names in self._events():
            if event == "end":
                if len(names) == depth and (not path or names == path):
                    value = _value(element)
                    # A root with nothing in it is an empty list, not a record.
                    if path or not isinstance(value, str) or value.strip():
                        yield wanted, value
                if len(names) <= depth:
                    _forget(element)


def _parsed(stream: IO[bytes], encoding: str) -> Iterator[tuple[str, Any]]:
    """Yield parser events; nothing is resolved or fetched, texts over 10 million characters are refused."""
    stream.seek(0)
    try:
        parser = etree.XMLPullParser(
            events=("start", "end"),
            encoding=encoding,
            resolve_entities=False,
            no_network=True,
            load_dtd=False,
            huge_tree=False,
            remove_comments=True,
            remove_pis=True,
        )
        while data := stream.read(CHUNK):
            parser.feed(data)
            yield from parser.read_events()
        parser.close()
        yield from parser.read_events()
    except LookupError as error:
        raise FileRejected(
            say(
                "The XML says its encoding is {encoding}, which nobody knows. Save it as UTF-8 and send that.",
                encoding=encoding,
            )
        ) from error
    except etree.XMLSyntaxError as error:
        line = error.lineno or 0
        cause = re.sub(r"\s+", " ", error.msg or "it ends too early")[:200]
        raise FileRejected(
            say("The XML cannot be read at line {line}: {cause}.", line=line, cause=cause), line=line
        ) from error


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def _forget(element: Any) -> None:
    """Free what was read: the element's content and its finished siblings."""
    element.clear(keep_tail=False)
    parent = element.getparent()
    if parent is not None:
        while element.getprevious() is not None:
            del parent[0]


def _value(element: Any) -> Any:
    """Return an element as fields: attributes as @name, children by local name, repeated ones as a list."""
    fields: dict[str, Any] = {}
    is_nil = False
    for name, value in element.attrib.items():
        if name == NIL:
            is_nil = value in {"true", "1"}
        else:
            fields[f"@{_local(name)}"] = value
    repeated: set[str] = set()
    for child in element:
        if not isinstance(child.tag, str):
            continue
        name, value = _local(child.tag), _value(child)
        if name in repeated:
            fields[name].append(value)
        elif name in fields:
            fields[name] = [fields[name], value]
            repeated.add(name)
        else:
            fields[name] = value
    if is_nil:
        return fields or None
    text = element.text or ""
    if not fields:
        return text
    if text.strip():
        fields["#text"] = text
    return fields
