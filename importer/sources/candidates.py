"""Which columns may point at which keys, judged by names and types alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from importer.sources import naming
from importer.sources.naming import NameMatch, Stem, Words
from importer.sources.polymorphic import type_column_of
from importer.sources.schema import Column, SourceSchema, Table
from servicevault.wording import say

NUMBERS = frozenset({"smallint", "integer", "bigint", "numeric"})
TEXTS = frozenset({"text", "character varying", "character", "citext", "public.citext", "name"})
# Names so common that sharing one says nothing.
GENERIC = frozenset(
    [
        "id",
        "uuid",
        "guid",
        "name",
        "title",
        "email",
        "slug",
        "code",
        "token",
        "key",
        "number",
        "hash",
        "username",
        "login",
        "phone",
        "label",
        "value",
        "type",
        "url",
        "path",
        "position",
        "description",
        "message_id",
        "external_id",
        "reference",
        "alias",
        "domain",
    ]
)
SHARED_KEY = 0.8
OTHER_SCHEMA = 0.1  # taken from the score when the parent lies in another schema


@dataclass(frozen=True)
class Candidate:
    """Columns of `child` that may point at `keys` of `parent`."""

    child: Table
    columns: tuple[str, ...]
    parent: Table
    keys: tuple[str, ...]
    name_score: float  # 0 to 1
    reason: str
    declared_key: bool  # the keys are a primary or unique key of the parent
    explicit: bool  # the name is that of a reference (x_id), not a bare word
    as_text: bool = False

    @property
    def place(self) -> tuple[str, str, tuple[str, ...]]:
        return self.child.schema, self.child.name, self.columns

    @property
    def indexed(self) -> bool:
        """Whether an index of the child begins with these columns."""
        wanted = set(self.columns)
        return any(set(index.columns[: len(wanted)]) == wanted for index in self.child.indexes)


def family(column: Column) -> str:
    """Types whose values can be compared have one family."""
    base = column.base_type
    if base in NUMBERS:
        return "number"
    return "text" if base in TEXTS else base


class Candidates:
    """All candidates of a schema."""

    def __init__(self, schema: SourceSchema) -> None:
        self._schema = schema

    def all(self) -> Iterator[Candidate]:
        """Yield single columns first, then composite keys."""
        for child in self._schema.tables:
            for column in child.columns:
                yield from self._of_column(child, column)
        for child in self._schema.tables:
            yield from self._composite(child)

    @cached_property
    def _prefix(self) -> str:
        return naming.common_prefix([table.name for table in self._schema.tables])

    @cached_property
    def _words(self) -> dict[str, Words]:
        return {table.full_name: naming.table_words(table.name, self._prefix) for table in self._schema.tables}

    @cached_property
    def _people(self) -> list[Words]:
        return [parts for parts in self._words.values() if naming.is_people_table(parts)]

    @cached_property
    def _persons(self) -> list[Table]:
        people = set(self._people)
        return [table for table in self._schema.tables if self._words[table.full_name] in people]

    @cached_property
    def _keyed_by(self) -> dict[str, list[Table]]:
        """Tables by the name of a column that alone identifies their rows."""
        found: dict[str, list[Table]] = {}
        for table in self._schema.tables:
            for name in table.single_keys():
                found.setdefault(name, []).append(table)
        return found

    @cached_property
    def _composite_keys(self) -> dict[str, list[tuple[Table, tuple[str, ...]]]]:
        """Keys of several columns, by each of those; keys of link tables are nobody's target."""
        found: dict[str, list[tuple[Table, tuple[str, ...]]]] = {}
        for table in self._schema.tables:
            for keys in (table.primary_key, *table.unique_keys):
                if len(keys) > 1 and not self._is_link(keys):
                    for key in keys:
                        found.setdefault(key, []).append((table, keys))
        return found

    @cached_property
    def _by_word(self) -> dict[str, list[Table]]:
        """Tables by every form of their last word, and of all their words together."""
        found: dict[str, list[Table]] = {}
        for table in self._schema.tables:
            parts = self._words[table.full_name]
            for form in naming.forms(parts[-1]) | naming.forms("".join(parts)) if parts else ():
                found.setdefault(form, []).append(table)
        return found

    def _near(self, stem: Words) -> list[Table]:
        """Tables whose name can have to do with a stem; the only ones worth a closer look among thousands."""
        keys = naming.forms(stem[-1]) | naming.forms("".join(stem)) if stem else frozenset()
        return list({table.full_name: table for key in keys for table in self._by_word.get(key, ())}.values())

    def _of_column(self, child: Table, column: Column) -> Iterator[Candidate]:
        if naming.words(column.name) in ((), ("id",), ("uuid",), ("guid",)) or family(column) not in (
            "number",
            "text",
            "uuid",
        ):
            return
        if child.primary_key == (column.name,) and self._is_named_after(child, column.name):
            return
        if type_column_of(child, column.name) is not None and not self._is_table(column.name):
            return
        seen = set()
        for stem in naming.stems(column.name):
            for parent in (child, *self._near(stem.words), *self._persons):
                found = self._by_name(child, column, parent, stem) if parent.full_name not in seen else None
                if found is not None:
                    seen.add(parent.full_name)
                    yield found
        for parent in self._keyed_by.get(column.name, ()):
            found = self._by_shared_key(child, column, parent) if parent.full_name not in seen else None
            if found is not None:
                yield found

    def _by_name(self, child: Table, column: Column, parent: Table, stem: Stem) -> Candidate | None:
        match = naming.match_names(
            stem, self._words[child.full_name], self._words[parent.full_name], people=self._people
        )
        if match is None:
            return None
        key = _key_for(stem, column, parent)
        if key is None or (child is parent and key.name == column.name):
            return None
        explicit = bool(stem.suffix)
        if not explicit and self._points_back(parent, child):
            return None
        return self._candidate(child, column, parent, key, match=match, explicit=explicit)

    def _by_shared_key(self, child: Table, column: Column, parent: Table) -> Candidate | None:
        """A key with a telling name, found again elsewhere: sku, isbn, customer_number."""
        if child is parent or column.name.lower() in GENERIC or column.name in child.single_keys():
            return None
        key = parent.column(column.name)
        if key is None or column.name not in parent.single_keys() or family(key) != family(column):
            return None
        match = NameMatch(SHARED_KEY, say("the key has the same name there"))
        return self._candidate(child, column, parent, key, match=match, explicit=True)

    def _candidate(
        self, child: Table, column: Column, parent: Table, key: Column, *, match: NameMatch, explicit: bool
    ) -> Candidate:
        return Candidate(
            child=child,
            columns=(column.name,),
            parent=parent,
            keys=(key.name,),
            name_score=match.score - (OTHER_SCHEMA if child.schema != parent.schema else 0),
            reason=match.reason,
            declared_key=(key.name,) == parent.primary_key or (key.name,) in parent.unique_keys,
            explicit=explicit,
            as_text=family(column) == "text",
        )

    def _composite(self, child: Table) -> Iterator[Candidate]:
        """Keys of several columns the child has too, by the same names or as <table>_<column>."""
        near = {
            (parent.full_name, keys): parent
            for column in child.columns
            for parent, keys in self._composite_keys.get(column.name, ())
            if parent is not child
        }
        for (_, keys), parent in near.items():
            columns = self._matching_columns(child, parent, keys)
            if columns is not None:
                yield Candidate(
                    child=child,
                    columns=columns,
                    parent=parent,
                    keys=keys,
                    name_score=naming.QUALIFIED - (OTHER_SCHEMA if child.schema != parent.schema else 0),
                    reason=say("the table has every column of that key"),
                    declared_key=True,
                    explicit=True,
                    as_text=any(family(column) == "text" for column in parent.columns if column.name in keys),
                )

    def _matching_columns(self, child: Table, parent: Table, keys: tuple[str, ...]) -> tuple[str, ...] | None:
        parent_words = self._words[parent.full_name]
        found = []
        for key in keys:
            own = parent.column(key)
            matching = [
                column
                for column in child.columns
                if own is not None
                and family(column) == family(own)
                and (
                    (column.name == key and key.lower() not in GENERIC)
                    or _names_key(naming.words(column.name), parent_words, naming.words(key))
                )
            ]
            if not matching:
                return None
            found.append(matching[0].name)
        return tuple(found) if len(set(found)) == len(keys) else None

    def _is_named_after(self, table: Table, column: str) -> bool:
        """Whether a key is the table's own number, as ticket_id of tickets."""
        return any(naming.same(stem.words, self._words[table.full_name]) for stem in naming.stems(column))

    def _is_link(self, keys: tuple[str, ...]) -> bool:
        """Whether a key consists of references only, as that of a link table does."""
        return all(
            naming.words(key)[-1:] != () and naming.words(key)[-1] in naming.REFERENCE_WORDS and self._is_table(key)
            for key in keys
        )

    def _is_table(self, column: str) -> bool:
        """Whether a column's name is exactly that of a table and a reference word."""
        return any(
            naming.same(stem.words, self._words[table.full_name])
            for stem in naming.stems(column)
            if stem.suffix
            for table in self._near(stem.words)
        )

    def _points_back(self, table: Table, target: Table) -> bool:
        """Whether a table refers to the other one: then it is its detail, not its list of values."""
        parts = self._words[target.full_name]
        return any(
            stem.suffix and naming.same(stem.words, parts)
            for column in table.columns
            for stem in naming.stems(column.name)
        )


def _names_key(column: Words, table: Words, key: Words) -> bool:
    """order_line_no for the key column line_no of orders, customer_id for id of customers."""
    return len(column) > len(key) and column[-len(key) :] == key and naming.same(column[: -len(key)], table)


def _key_for(stem: Stem, column: Column, parent: Table) -> Column | None:
    """The key of the parent this column would point at: of one family of types, named as the suffix says."""
    keys = [parent.column_map[name] for name in parent.single_keys() if name in parent.column_map]
    if not keys and not parent.primary_key:
        keys = [own for own in parent.columns if _looks_like_key(own.name, parent.name)]
    fitting = [key for key in keys if family(key) == family(column)]
    by_name = [key for key in fitting if key.name == column.name]
    if stem.suffix in naming.CODE_WORDS:
        by_name += [key for key in fitting if naming.words(key.name)[-1:] == (stem.suffix,)]
        return by_name[0] if by_name else None
    if family(column) == "text" and not stem.suffix:
        # A word in a text column is a reference only where the parent's own key is text.
        fitting = [key for key in fitting if (key.name,) == parent.primary_key]
    return next(iter(by_name or fitting), None)


def _looks_like_key(column: str, table: str) -> bool:
    """id, or ticket_id in a view of tickets."""
    parts = naming.words(column)
    return parts == ("id",) or (parts[-1:] == ("id",) and naming.same(parts[:-1], naming.words(table)))
