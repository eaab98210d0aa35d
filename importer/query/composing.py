"""Composes SQL from an expression tree: our aliases, bound literals, names of pg_catalog only.

PostgreSQL looks operators up through search_path for CASE x WHEN, NULLIF, IN, BETWEEN, LIKE and IS DISTINCT
FROM, so a planted `public.=` would run instead of the real one. Those forms are written out with
OPERATOR(pg_catalog.=). COALESCE, GREATEST, LEAST, DISTINCT, GROUP BY and ORDER BY use the type's own operator
class and need no such care.
"""

from __future__ import annotations

from collections.abc import MutableMapping

from psycopg import sql

from . import nodes
from .functions import CAST_TYPES, FUNCTIONS, MAX_COMPUTED_CHARACTERS
from .nodes import Node
from .scope import Scope

_LIKE = {"like": "~~", "not like": "!~~", "ilike": "~~*", "not ilike": "!~~*"}
_COMPARISONS = frozenset({"=", "<>", "<", "<=", ">", ">="})


class Parameters:
    """The values of one statement, by placeholder name.

    An equal value in an equal place gets the same placeholder, so that PostgreSQL sees that an expression
    of GROUP BY and one of the select list are the same.
    """

    def __init__(self, values: MutableMapping[str, object] | None = None) -> None:
        self.values: MutableMapping[str, object] = {} if values is None else values
        self._names: dict[object, str] = {}

    def bind(self, value: object, place: object = None) -> sql.Composable:
        """The placeholder of `value`; `place` is what makes PostgreSQL give it its type."""
        key = (type(value), value, place)
        if key not in self._names:
            self._names[key] = f"p{len(self.values)}"
            self.values[self._names[key]] = value
        return sql.Placeholder(self._names[key])


def fragment(text: str) -> sql.SQL:
    """SQL text written by this package; a text from a person must never come here."""
    return sql.SQL(text)


def identifier(*names: str) -> sql.Identifier:
    """A quoted name; a percent sign is doubled because psycopg reads it as the start of a placeholder."""
    return sql.Identifier(*(name.replace("%", "%%") for name in names))


def operator(symbol: str) -> sql.SQL:
    """An operator of pg_catalog; `symbol` comes from this package, never from a person."""
    return fragment(f" OPERATOR(pg_catalog.{symbol.replace('%', '%%')}) ")


def binary(left: sql.Composable, symbol: str, right: sql.Composable) -> sql.Composed:
    return sql.SQL("({}{}{})").format(left, operator(symbol), right)


def cast(operand: sql.Composable, type_name: str) -> sql.Composed:
    """`operand` as a type of pg_catalog; `type_name` comes from this package."""
    return sql.SQL("({})::pg_catalog.{}").format(operand, fragment(type_name))


def call(function: str, *arguments: sql.Composable) -> sql.Composed:
    """A call of a function of pg_catalog; `function` comes from this package."""
    name = fragment(function)
    return sql.SQL("pg_catalog.{}({})").format(name, sql.SQL(", ").join(arguments))


def array_text(values: list[str | None]) -> str:
    """`values` as the text of a one-dimensional array, to be bound without a type."""
    quoted = [
        "NULL" if value is None else '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"' for value in values
    ]
    return "{" + ",".join(quoted) + "}"


def compose(node: Node, scope: Scope, params: Parameters) -> sql.Composed:
    """The SQL of `node`; its literals are added to `params`.

    Raises QueryError when a column has no single meaning in `scope`; `check` reports the same beforehand.
    """
    return sql.Composed([_Composer(scope, params).compose(node)])


class _Composer:
    def __init__(self, scope: Scope, params: Parameters) -> None:
        self.scope = scope
        self.params = params

    def compose(self, node: Node) -> sql.Composable:
        """The SQL of `node` where nothing else gives a text literal its type."""
        if isinstance(node, nodes.Text):
            return cast(self.params.bind(node.value, "text"), "text")
        return self.plain(node)

    def plain(self, node: Node) -> sql.Composable:
        match node:
            case nodes.Column():
                return self.column(node)
            case nodes.Number():
                return self.number(node)
            case nodes.Boolean(value):
                return sql.SQL("TRUE") if value else sql.SQL("FALSE")
            case nodes.Null():
                return sql.SQL("NULL")
            case nodes.TypedText(type_name, value):
                return cast(self.params.bind(value, type_name), CAST_TYPES[type_name].sql)
            case nodes.Unary():
                return self.unary(node)
            case nodes.Binary():
                return self.binary(node)
            case nodes.Logical():
                return self.logical(node)
            case nodes.IsNull():
                return self.is_null(node)
            case nodes.In():
                return self.in_list(node)
            case nodes.Between():
                return self.between(node)
            case nodes.Case():
                return self.case(node)
            case nodes.Cast():
                return self.cast(node)
            case nodes.Extract(field, operand):
                return sql.SQL("EXTRACT({} FROM {})").format(fragment(field), self.loose(operand, node))
            case nodes.Call():
                return self.call(node)
        raise TypeError(f"not an expression node: {type(node).__name__}")

    def loose(self, node: Node, parent: Node) -> sql.Composable:
        """The SQL of `node` as an operand of `parent`: PostgreSQL gives a text literal the type that fits."""
        if isinstance(node, nodes.Text):
            return self.params.bind(node.value, parent)
        return self.compose(node)

    def compare(self, left: Node, symbol: str, right: Node) -> sql.Composable:
        if _is_literal_text(left) and _is_literal_text(right):
            return binary(self.compose(left), symbol, self.compose(right))
        # The place is the other operand: it alone decides the type.
        return binary(self.loose(left, right), symbol, self.loose(right, left))

    # -- values

    def column(self, node: nodes.Column) -> sql.Composable:
        table, name = self.scope.resolve(node)
        return identifier(table.sql_alias, name)

    def number(self, node: nodes.Number) -> sql.Composable:
        whole = "int4" if "." not in node.digits and int(node.digits) < 2**31 else "int8"
        type_name = "numeric" if "." in node.digits else whole
        return cast(fragment(node.digits), type_name)

    # -- operators

    def unary(self, node: nodes.Unary) -> sql.Composable:
        if node.operator == "not":
            return sql.SQL("(NOT {})").format(self.compose(node.operand))
        return sql.SQL("({}{})").format(operator(node.operator), self.loose(node.operand, node))

    def binary(self, node: nodes.Binary) -> sql.Composable:
        symbol = node.operator
        if symbol in _COMPARISONS:
            return self.compare(node.left, symbol, node.right)
        if symbol in _LIKE:
            return binary(self.compose(node.left), _LIKE[symbol], self.compose(node.right))
        if symbol.endswith("distinct from"):
            return self.distinct(node)
        if symbol == "at time zone":
            return call("timezone", self.compose(node.right), self.loose(node.left, node))
        if symbol in ("#>", "#>>") and isinstance(node.right, nodes.Text):
            path = cast(self.params.bind(node.right.value, "path"), "text[]")
            return binary(self.loose(node.left, node), symbol, path)
        if symbol in ("->", "->>", "~", "~*", "!~", "!~*"):
            return binary(self.compose(node.left), symbol, self.compose(node.right))
        if _is_literal_text(node.left) and _is_literal_text(node.right):
            return binary(self.compose(node.left), symbol, self.compose(node.right))
        return binary(self.loose(node.left, node), symbol, self.loose(node.right, node))

    def distinct(self, node: nodes.Binary) -> sql.Composable:
        differs = self.differs(node.left, node.right)
        return differs if node.operator == "is distinct from" else sql.SQL("(NOT {})").format(differs)

    def differs(self, left: Node, right: Node) -> sql.Composable:
        if isinstance(left, nodes.Null):
            left, right = right, left
        if isinstance(right, nodes.Null):
            return sql.SQL("({} IS NOT NULL)").format(self.compose(left))
        if isinstance(left, nodes.Text):
            left, right = right, left
        different = self.compare(left, "<>", right)
        left_null = sql.SQL("({} IS NULL)").format(self.compose(left))
        if isinstance(right, nodes.Text):
            return sql.SQL("COALESCE({}, TRUE)").format(different)
        right_null = sql.SQL("({} IS NULL)").format(self.compose(right))
        return sql.SQL("COALESCE({}, {})").format(different, binary(left_null, "<>", right_null))

    def logical(self, node: nodes.Logical) -> sql.Composable:
        joint = sql.SQL(" AND ") if node.operator == "and" else sql.SQL(" OR ")
        return sql.SQL("({})").format(joint.join([self.compose(operand) for operand in node.operands]))

    def is_null(self, node: nodes.IsNull) -> sql.Composable:
        test = sql.SQL("IS NOT NULL") if node.negated else sql.SQL("IS NULL")
        return sql.SQL("({} {})").format(self.compose(node.operand), test)

    def in_list(self, node: nodes.In) -> sql.Composable:
        texts = [item.value for item in node.items if isinstance(item, nodes.Text)]
        left: sql.Composable
        if len(texts) == len(node.items) and not _is_literal_text(node.operand):
            values = self.params.bind(array_text([*texts]), ("array", node.operand))
            left = self.compose(node.operand)
        elif len(texts) == len(node.items) or all(isinstance(item, nodes.Text | nodes.Null) for item in node.items):
            items = [self.compose(item) for item in node.items]
            values = sql.SQL("ARRAY[{}]::pg_catalog.text[]").format(sql.SQL(", ").join(items))
            left = self.compose(node.operand)
        else:
            values = sql.SQL("ARRAY[{}]").format(sql.SQL(", ").join([self.loose(item, node) for item in node.items]))
            left = self.loose(node.operand, node)
        test = sql.SQL("({}{}ANY ({}))").format(left, operator("="), values)
        return sql.SQL("(NOT {})").format(test) if node.negated else test

    def between(self, node: nodes.Between) -> sql.Composable:
        test = sql.SQL("({} AND {})").format(
            self.compare(node.operand, ">=", node.low), self.compare(node.operand, "<=", node.high)
        )
        return sql.SQL("(NOT {})").format(test) if node.negated else test

    def case(self, node: nodes.Case) -> sql.Composable:
        parts: list[sql.Composable] = [sql.SQL("CASE")]
        for when, then in node.branches:
            test = self.compose(when) if node.subject is None else self.compare(node.subject, "=", when)
            parts.append(sql.SQL("WHEN {} THEN {}").format(test, self.loose(then, node)))
        if node.default is not None:
            parts.append(sql.SQL("ELSE {}").format(self.loose(node.default, node)))
        return sql.SQL("({} END)").format(sql.SQL(" ").join(parts))

    # -- casts and calls

    def cast(self, node: nodes.Cast) -> sql.Composable:
        name = CAST_TYPES[node.type].sql
        if node.modifiers:
            name += f"({', '.join(str(int(value)) for value in node.modifiers)})"
        if isinstance(node.operand, nodes.Text):
            return cast(self.params.bind(node.operand.value, ("cast", name)), name)
        return cast(self.compose(node.operand), name)

    def call(self, node: nodes.Call) -> sql.Composable:
        function = FUNCTIONS[node.function]
        if node.function == "CURRENT_DATE":
            return sql.SQL("CURRENT_DATE")
        if node.function == "NULLIF":
            return self.null_if(*node.arguments)
        if not function.sql:
            listed = sql.SQL(", ").join([self.loose(argument, node) for argument in node.arguments])
            return sql.SQL("{}({})").format(fragment(function.name), listed)
        if function.aggregate and not node.arguments:
            return sql.SQL("pg_catalog.count(*)")
        arguments = [self.argument(node, index) for index in range(len(node.arguments))]
        if node.function == "POSITION":
            arguments.reverse()
        if node.distinct:
            arguments[0] = sql.SQL("DISTINCT {}").format(arguments[0])
        composed = call(function.sql, *arguments)
        if function.grows:
            return call("left", composed, fragment(str(MAX_COMPUTED_CHARACTERS)))
        return composed

    def argument(self, node: nodes.Call, index: int) -> sql.Composable:
        argument = node.arguments[index]
        if FUNCTIONS[node.function].kind(index) == "value":
            return self.loose(argument, node)
        return self.compose(argument)

    def null_if(self, value: Node, other: Node) -> sql.Composable:
        same = self.compare(value, "=", other)
        return sql.SQL("(CASE WHEN {} THEN NULL ELSE {} END)").format(same, self.compose(value))


def _is_literal_text(node: Node) -> bool:
    return isinstance(node, nodes.Text)
