"""The operators of the expression language, how tightly they bind, and the words that are no names."""

from __future__ import annotations

# Binding powers, PostgreSQL manual 4.1.6.
OR, AND, NOT, IS, COMPARISON, RANGE, OTHER, SUM, PRODUCT, ZONE, SIGN, CAST = range(10, 130, 10)

INFIX = {
    "=": COMPARISON, "<>": COMPARISON, "!=": COMPARISON, "<": COMPARISON, "<=": COMPARISON, ">": COMPARISON,
    ">=": COMPARISON, "||": OTHER, "->": OTHER, "->>": OTHER, "#>": OTHER, "#>>": OTHER, "~": OTHER, "~*": OTHER,
    "!~": OTHER, "!~*": OTHER, "+": SUM, "-": SUM, "*": PRODUCT, "/": PRODUCT, "%": PRODUCT, "::": CAST,
}  # fmt: skip
INFIX_WORDS = {
    "OR": OR, "AND": AND, "IS": IS, "BETWEEN": RANGE, "IN": RANGE, "LIKE": RANGE, "ILIKE": RANGE, "NOT": RANGE,
    "AT": ZONE,
}  # fmt: skip
BINARY_OPERATORS: dict[str, int] = {
    **{operator: power for operator, power in INFIX.items() if operator not in ("::", "!=")},
    "like": RANGE, "not like": RANGE, "ilike": RANGE, "not ilike": RANGE,
    "is distinct from": IS, "is not distinct from": IS, "at time zone": ZONE,
}  # fmt: skip
PATTERN_OPERATORS = frozenset({"~", "~*", "!~", "!~*"})
RESERVED = frozenset({
    "ALL", "AND", "ANY", "ARRAY", "AS", "ASC", "BETWEEN", "BOTH", "CASE", "CAST", "COLLATE", "CREATE", "CROSS",
    "DELETE", "DESC", "DISTINCT", "DROP", "ELSE", "END", "EXCEPT", "EXISTS", "FALSE", "FETCH", "FILTER", "FOR",
    "FROM", "FULL", "GROUP", "HAVING", "ILIKE", "IN", "INNER", "INSERT", "INTERSECT", "INTO", "IS", "ISNULL",
    "JOIN", "LATERAL", "LEADING", "LIKE", "LIMIT", "NATURAL", "NOT", "NOTNULL", "NULL", "OFFSET", "ON", "OPERATOR",
    "OR", "ORDER", "OUTER", "OVER", "ROW", "SELECT", "SIMILAR", "SOME", "TABLE", "THEN", "TO", "TRAILING", "TRUE",
    "UNION", "UPDATE", "USING", "VALUES", "VARIADIC", "WHEN", "WHERE", "WINDOW", "WITH",
})  # fmt: skip
