"""What a pack must be told (T22): where the answers come from, and how they get into its queries.

A query names a parameter by the text `'{name}'` in an expression or `{name}` as a filter's value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from importer.errors import PackError
from importer.query import nodes
from importer.query.spec import Condition, FilterGroup, QuerySpec
from importer.sources.schema import SourceSchema
from servicevault.wording import say
from templates_registry.fitting import QueryFit, fit_query, with_variant
from templates_registry.pack import Definition, Parameter

_NAMED = re.compile(r"\{([a-z0-9][a-z0-9_-]{0,63})\}")
Value = str | int | float | bool


@dataclass(frozen=True)
class Choice:
    """A value the probe found, with its name there."""

    value: Any
    label: str = ""


@dataclass(frozen=True)
class ParameterAnswer:
    """A parameter with its value; `source` says who gave it, "question" when a person must."""

    name: str
    question: str
    value: Value | None
    source: Literal["given", "probe", "default", "question"]
    required: bool = False
    choices: tuple[Choice, ...] = ()


def answers(
    definition: Definition, given: Mapping[str, Any], choices: Mapping[str, tuple[Choice, ...]]
) -> tuple[ParameterAnswer, ...]:
    """Each parameter's answer: what a person said, else the only value its probe found, else its default."""
    return tuple(_answer(item, given.get(item.name), choices.get(item.probe, ())) for item in definition.parameters)


def values_of(found: Iterable[ParameterAnswer]) -> dict[str, Value]:
    return {item.name: item.value for item in found if item.value is not None}


def answered(fit: QueryFit, definition: Definition, values: Mapping[str, Value]) -> QueryFit:
    """The query with the answers in it; "missing", with the question, when it needs one that nobody gave."""
    needed = names_in(fit.spec) | {item.name for item in definition.parameters if item.required}
    lacking = [item for item in definition.parameters if item.name in needed and item.name not in values]
    if lacking and fit.status != "missing":
        reason = say(
            "needs an answer ({lacking}): {question}",
            lacking=lacking[0].name,
            question=lacking[0].question or lacking[0].name,
        )
        return replace(fit, status="missing", reason=reason, optional=False)  # somebody must know
    return replace(fit, spec=_filled(fit.spec, values)) if values else fit


def fitted(
    definition: Definition,
    schema: SourceSchema,
    *,
    variants: Mapping[str, str] | None = None,
    values: Mapping[str, Value] | None = None,
) -> tuple[QueryFit, ...]:
    """The pack's queries as this source takes them, in the chosen variants, with the answers in them."""
    chosen = variants or {}
    found = (
        fit_query(with_variant(query, chosen.get(query.key, "")), definition, schema) for query in definition.queries
    )
    return tuple(answered(fit, definition, values or {}) for fit in found)


def require_known(definition: Definition, names: Iterable[str]) -> None:
    """Raise PackError for a name that is none of the pack's parameters: a typing error must not be an answer."""
    known = [item.name for item in definition.parameters]
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise PackError(
            say("“{definition}” does not ask for “{unknown}”.", definition=definition.name, unknown=unknown[0]),
            hint=say("It asks for: {known}.", known=", ".join(known) or say("nothing")),
            code="validation_error",
        )


def names_in(spec: QuerySpec) -> set[str]:
    """The parameters a query names."""
    found: set[str] = set()

    def note(text: str) -> str:
        found.update(_NAMED.findall(text) if _NAMED.fullmatch(text) else ())
        return text

    _rewritten(spec, note, note)
    return found


def _answer(item: Parameter, given: Any, choices: tuple[Choice, ...]) -> ParameterAnswer:
    def answer(value: Any, source: Literal["given", "probe", "default", "question"]) -> ParameterAnswer:
        return ParameterAnswer(item.name, item.question, value, source, item.required, choices)

    if given is not None and given != "":
        return answer(_typed(given, item.type), "given")
    if len(choices) == 1 and choices[0].value is not None:
        return answer(_typed(choices[0].value, item.type), "probe")
    if item.default:
        return answer(_typed(item.default, item.type), "default")
    return answer(None, "question")


def _typed(value: Any, kind: str) -> Value:
    """The value as a number where one is asked for, else as text."""
    text = str(value).strip()
    if kind == "number":
        try:
            return int(text) if re.fullmatch(r"[+-]?\d{1,18}", text) else float(text)
        except ValueError:
            return text
    return text


def _filled(spec: QuerySpec, values: Mapping[str, Value]) -> QuerySpec:
    def expression(text: str) -> str:
        named = _NAMED.fullmatch(text)
        return str(values[named[1]]) if named and named[1] in values else text

    def filter_value(text: str) -> Any:
        named = _NAMED.fullmatch(text)
        return values[named[1]] if named and named[1] in values else text

    return _rewritten(spec, expression, filter_value)


# -- rewriting ---------------------------------------------------------------------------------------------------


def _rewritten(spec: QuerySpec, expression: Callable[[str], str], filter_value: Callable[[str], Any]) -> QuerySpec:
    return replace(
        spec,
        fields=tuple(
            replace(
                field,
                source=_node(field.source, expression),
                sources=tuple(_tree(item, expression) for item in field.sources),
            )
            for field in spec.fields
        ),
        filters=_group(spec.filters, expression, filter_value),
    )


def _group(group: FilterGroup, expression: Callable[[str], str], filter_value: Callable[[str], Any]) -> FilterGroup:
    def items() -> Iterator[FilterGroup | Condition]:
        for item in group.items:
            if isinstance(item, FilterGroup):
                yield _group(item, expression, filter_value)
            else:
                values = tuple(filter_value(value) if isinstance(value, str) else value for value in item.values)
                yield replace(item, field=_tree(item.field, expression), values=values)

    return replace(group, items=tuple(items()))


def _node(node: nodes.Node | None, change: Callable[[str], str]) -> nodes.Node | None:
    return None if node is None else _tree(node, change)


def _tree(node: nodes.Node, change: Callable[[str], str]) -> nodes.Node:
    """`node` with every text literal replaced by what `change` makes of it."""
    if isinstance(node, nodes.Text):
        return nodes.Text(change(node.value))
    if isinstance(node, nodes.Column):
        return node
    return type(node)(**{part.name: _part(getattr(node, part.name), change) for part in fields(node)})


def _part(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, nodes.Node):
        return _tree(value, change)
    return tuple(_part(item, change) for item in value) if isinstance(value, tuple) else value
