"""Turns an expression text into a tree: a Pratt parser over the tokens of `lexer`."""

from __future__ import annotations

from importer.errors import ExpressionError

from . import nodes
from .functions import (
    CAST_ALIASES,
    CAST_TYPES,
    EXTRACT_FIELDS,
    FUNCTIONS,
    MAX_GROWTH_NESTING,
    MAX_MODIFIERS,
    MAX_PAD,
    TYPED_TEXTS,
    Function,
    cast_type,
    literal_fault,
    pattern_fault,
)
from .lexer import Token, tokenize
from .nodes import Node
from .problems import nearest

MAX_RECURSION = 60  # parentheses make no nodes, so they are counted apart from MAX_DEPTH

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
_EXPLAINED = {
    "SELECT": "Subqueries are not allowed in an expression. Join the table instead.",
    "OVER": "Window functions are not allowed in an expression.",
    "FILTER": "FILTER is not allowed in an expression.",
    "EXISTS": "Subqueries are not allowed in an expression. Join the table instead.",
}


def parse(text: str) -> Node:
    """The tree of an expression text.

    Raises ExpressionError, and nothing else, for any text outside the language.
    """
    node = _Parser(tokenize(text)).parse()
    check_limits(node)
    return node


def check_limits(node: Node) -> None:
    """Raise ExpressionError when a tree is too deep, too large, or grows texts too often."""
    if nodes.depth_of(node) > nodes.MAX_DEPTH:
        raise ExpressionError(f"The expression is nested deeper than {nodes.MAX_DEPTH} levels.", position=0)
    if sum(1 for _ in nodes.walk(node)) > nodes.MAX_NODES:
        raise ExpressionError(f"The expression has more than {nodes.MAX_NODES} parts.", position=0)
    if nodes.weight_of(node) > nodes.MAX_WEIGHT:
        raise ExpressionError(
            "The expression repeats large parts too often (CASE x WHEN, NULLIF, BETWEEN inside each other).", position=0
        )
    if _growth_nesting(node) > MAX_GROWTH_NESTING:
        raise ExpressionError(
            f"CONCAT, REPLACE, LPAD, RPAD and REGEXP_REPLACE can be nested {MAX_GROWTH_NESTING} deep.", position=0
        )


def _growth_nesting(node: Node) -> int:
    below = max((_growth_nesting(child) for child in node.children), default=0)
    return below + (isinstance(node, nodes.Call) and FUNCTIONS[node.function].grows)


class _Parser:
    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = tokens
        self.index = 0
        self.level = 0

    # -- reading tokens

    @property
    def token(self) -> Token:
        return self.tokens[self.index]

    @property
    def following(self) -> Token:
        return self.tokens[min(self.index + 1, len(self.tokens) - 1)]

    def advance(self) -> Token:
        token = self.token
        self.index = min(self.index + 1, len(self.tokens) - 1)
        return token

    def take_operator(self, value: str) -> bool:
        found = self.token.kind == "operator" and self.token.value == value
        if found:
            self.advance()
        return found

    def take_word(self, word: str) -> bool:
        found = self.token.word == word
        if found:
            self.advance()
        return found

    def expect_operator(self, value: str) -> None:
        if not self.take_operator(value):
            raise self.unexpected(f"'{value}'")

    def expect_word(self, word: str) -> None:
        if not self.take_word(word):
            raise self.unexpected(word)

    def unexpected(self, wanted: str = "") -> ExpressionError:
        token = self.token
        if token.word in _EXPLAINED:
            return self.error(_EXPLAINED[token.word], token)
        found = "the end of the expression" if token.kind == "end" else f"'{token.value[:40]}'"
        return self.error(f"Expected {wanted} before {found}." if wanted else f"Did not expect {found} here.", token)

    def error(self, message: str, token: Token, suggestion: str = "") -> ExpressionError:
        hint = f"Did you mean {suggestion}?" if suggestion else ""
        return ExpressionError(message, position=token.position, token=token.value, suggestion=suggestion, hint=hint)

    # -- expressions

    def parse(self) -> Node:
        if len(self.tokens) == 1:
            raise self.error("The expression is empty.", self.token)
        node = self.expression()
        if self.index < len(self.tokens) - 1:
            raise self.unexpected()
        return node

    def expression(self, power: int = 0) -> Node:
        """An expression whose operators all bind tighter than `power`."""
        self.level += 1
        if self.level > MAX_RECURSION:
            raise self.error(f"The expression is nested deeper than {MAX_RECURSION} levels.", self.token)
        left = self.prefix()
        while (binding := self.infix_power()) > power:
            left = self.infix(left, binding)
            # Comparisons, ranges and IS do not chain: a = b = c means nothing.
            if binding in (COMPARISON, RANGE, IS) and self.infix_power() == binding:
                raise self.error("Use parentheses: these operators cannot follow each other.", self.token)
        self.level -= 1
        return left

    def infix_power(self) -> int:
        token = self.token
        if token.kind == "operator":
            return INFIX.get(token.value, 0)
        return INFIX_WORDS.get(token.word, 0)

    def prefix(self) -> Node:
        if self.take_word("NOT"):
            return nodes.Unary("not", self.expression(NOT))
        for sign in ("-", "+"):
            if self.take_operator(sign):
                return nodes.Unary(sign, self.expression(SIGN))
        return self.primary()

    def infix(self, left: Node, power: int) -> Node:
        token = self.advance()
        word = token.word
        if word in ("AND", "OR"):
            return self.logical(left, word.lower(), power)
        if word == "IS":
            return self.is_test(left)
        if word == "AT":
            self.expect_word("TIME")
            self.expect_word("ZONE")
            return nodes.Binary("at time zone", left, self.expression(power))
        if word:
            return self.range_test(left, word)
        if token.value == "::":
            return self.cast(left)
        operator = "<>" if token.value == "!=" else token.value
        start = self.token
        right = self.expression(power)
        self.check_right(operator, right, start)
        return nodes.Binary(operator, left, right)

    def check_right(self, operator: str, right: Node, start: Token) -> None:
        fault = operand_fault(operator, right)
        if fault:
            raise self.error(fault, start)

    def logical(self, left: Node, operator: str, power: int) -> Node:
        operands = [left, self.expression(power)]
        while self.take_word(operator.upper()):
            operands.append(self.expression(power))
        return nodes.Logical(operator, tuple(operands))

    def is_test(self, left: Node) -> Node:
        negated = self.take_word("NOT")
        if self.take_word("NULL"):
            return nodes.IsNull(left, negated)
        if self.take_word("DISTINCT"):
            self.expect_word("FROM")
            operator = "is not distinct from" if negated else "is distinct from"
            return nodes.Binary(operator, left, self.expression(IS))
        raise self.unexpected("NULL or DISTINCT FROM")

    def range_test(self, left: Node, word: str) -> Node:
        negated = word == "NOT"
        if negated:
            word = self.advance().word
        if word == "BETWEEN":
            low = self.expression(RANGE)
            self.expect_word("AND")
            return nodes.Between(left, low, self.expression(RANGE), negated)
        if word == "IN":
            self.expect_operator("(")
            if self.token.kind == "operator" and self.token.value == ")":
                raise self.unexpected("a value")
            return nodes.In(left, tuple(self.arguments()), negated)
        if word in ("LIKE", "ILIKE"):
            operator = f"not {word.lower()}" if negated else word.lower()
            return nodes.Binary(operator, left, self.expression(RANGE))
        self.index -= 1
        raise self.unexpected("BETWEEN, IN, LIKE or ILIKE")

    # -- values

    def primary(self) -> Node:
        token = self.token
        if token.kind == "number":
            return nodes.Number(self.advance().value)
        if token.kind == "text":
            return nodes.Text(self.advance().value)
        if self.take_operator("("):
            node = self.expression()
            self.expect_operator(")")
            return node
        if token.kind == "quoted":
            return self.column()
        if token.kind == "name":
            return self.word(token)
        raise self.unexpected("a value")

    def word(self, token: Token) -> Node:
        word = token.word
        if word in ("TRUE", "FALSE"):
            self.advance()
            return nodes.Boolean(word == "TRUE")
        if word == "NULL":
            self.advance()
            return nodes.Null()
        if word == "CASE":
            self.advance()
            return self.case()
        following = self.following
        is_call = following.kind == "operator" and following.value == "("
        if is_call and word not in ("IN", "AND", "OR", "NOT"):
            return self.call(token)
        if following.kind == "text" and cast_type(word) in TYPED_TEXTS:
            self.advance()
            return nodes.TypedText(cast_type(word), self.advance().value)
        if word == "CURRENT_DATE":
            self.advance()
            return nodes.Call("CURRENT_DATE")
        if word in RESERVED:
            raise self.unexpected("a value")
        return self.column()

    def column(self) -> Node:
        start = self.token
        names = [self.advance().value]
        while self.take_operator("."):
            if self.token.kind not in ("name", "quoted"):
                raise self.unexpected("a column name")
            names.append(self.advance().value)
        if self.token.kind == "operator" and self.token.value == "(":
            raise self.error("Only functions of the language can be called, by their plain name.", start)
        if len(names) > 3:
            raise self.error("A column is written as table.column.", start)
        schema, table, name = ["", "", *names][-3:]
        return nodes.Column(name, table, schema)

    def case(self) -> Node:
        subject = None if self.token.word == "WHEN" else self.expression()
        branches = []
        while self.take_word("WHEN"):
            when = self.expression()
            self.expect_word("THEN")
            branches.append((when, self.expression()))
        if not branches:
            raise self.unexpected("WHEN")
        default = self.expression() if self.take_word("ELSE") else None
        self.expect_word("END")
        return nodes.Case(subject, tuple(branches), default)

    # -- calls and casts

    def call(self, token: Token) -> Node:
        name = token.word
        self.advance()
        self.expect_operator("(")
        special = {
            "CAST": self.cast_call,
            "EXTRACT": self.extract_call,
            "SUBSTRING": self.substring_call,
            "TRIM": self.trim_call,
            "POSITION": self.position_call,
        }.get(name)
        if special:
            return special(token)
        if name not in FUNCTIONS or name == "CURRENT_DATE":
            if name in _EXPLAINED:
                raise self.error(_EXPLAINED[name], token)
            raise self.error(
                f"The function {token.value[:60]} is not allowed.", token, nearest(token.value, [*FUNCTIONS, "CAST"])
            )
        if name == "COUNT" and self.take_operator("*"):
            self.expect_operator(")")
            return nodes.Call("COUNT")
        distinct = FUNCTIONS[name].aggregate and self.take_word("DISTINCT")
        if self.take_operator(")"):
            return self.checked_call(token, name, ())
        return self.checked_call(token, name, tuple(self.arguments()), distinct=distinct)

    def arguments(self) -> list[Node]:
        """Expressions up to and including the closing parenthesis."""
        found = [self.expression()]
        while self.take_operator(","):
            found.append(self.expression())
        self.expect_operator(")")
        return found

    def checked_call(
        self, token: Token, name: str, arguments: tuple[Node, ...], *, distinct: bool = False
    ) -> nodes.Call:
        fault = call_fault(FUNCTIONS[name], arguments, distinct=distinct)
        if fault:
            raise self.error(fault, token)
        return nodes.Call(name, arguments, distinct)

    def cast_call(self, token: Token) -> Node:
        operand = self.expression()
        self.expect_word("AS")
        node = self.cast(operand)
        self.expect_operator(")")
        return node

    def cast(self, operand: Node) -> Node:
        start = self.token
        name = self.type_name()
        modifiers: list[int] = []
        if CAST_TYPES[name].modifiers and self.take_operator("("):
            while True:
                if self.token.kind != "number" or "." in self.token.value:
                    raise self.unexpected("a whole number")
                modifiers.append(int(self.advance().value))
                if not self.take_operator(","):
                    break
            self.expect_operator(")")
        if not modifiers_valid(name, tuple(modifiers)):
            raise self.error(f"The size of {name} is out of range.", start)
        return nodes.Cast(operand, name, tuple(modifiers))

    def type_name(self) -> str:
        start = self.token
        if not start.word:
            raise self.error("A type is one plain word.", start, nearest(start.value, CAST_TYPES))
        words = [self.advance().word]
        for phrase in CAST_ALIASES:
            parts = phrase.upper().split()
            ahead = [token.word for token in self.tokens[self.index : self.index + len(parts) - 1]]
            if len(parts) > 1 and words[0] == parts[0] and ahead == parts[1:]:
                self.index += len(parts) - 1
                words = parts
                break
        name = cast_type(" ".join(words))
        if not name:
            suggestion = nearest(start.value, [*CAST_TYPES, *CAST_ALIASES])
            raise self.error(f"A cast to {start.value[:60]} is not allowed.", start, suggestion)
        return name

    def extract_call(self, token: Token) -> Node:
        field = self.token
        if field.word.lower() not in EXTRACT_FIELDS:
            raise self.error("EXTRACT needs a date part.", field, nearest(field.value, EXTRACT_FIELDS))
        self.advance()
        self.expect_word("FROM")
        node = nodes.Extract(field.word.lower(), self.expression())
        self.expect_operator(")")
        return node

    def substring_call(self, token: Token) -> Node:
        operand = self.expression()
        if not self.take_word("FROM"):
            self.expect_operator(",")
            return self.checked_call(token, "SUBSTRING", (operand, *self.arguments()))
        values = [self.expression()]
        if self.take_word("FOR"):
            values.append(self.expression())
        self.expect_operator(")")
        return self.checked_call(token, "SUBSTRING", (operand, *values))

    def trim_call(self, token: Token) -> Node:
        sides = {"BOTH": "BTRIM", "LEADING": "LTRIM", "TRAILING": "RTRIM"}
        side = sides.get(self.token.word, "")
        if not side:
            first = self.expression()
            if self.take_word("FROM"):
                operand = self.expression()
                self.expect_operator(")")
                return self.checked_call(token, "BTRIM", (operand, first))
            self.expect_operator(")")
            return self.checked_call(token, "TRIM", (first,))
        self.advance()
        if self.take_word("FROM"):
            return self.checked_call(token, side, tuple(self.arguments()))
        characters = self.expression()
        self.expect_word("FROM")
        operand = self.expression()
        self.expect_operator(")")
        return self.checked_call(token, side, (operand, characters))

    def position_call(self, token: Token) -> Node:
        # Above RANGE, or the IN of POSITION(a IN b) would be read as a list.
        part = self.expression(RANGE)
        self.expect_word("IN")
        operand = self.expression(RANGE)
        self.expect_operator(")")
        return self.checked_call(token, "POSITION", (part, operand))


def operand_fault(operator: str, right: Node) -> str:
    """What forbids `right` as the right operand of `operator`; "" when it is allowed."""
    if operator in PATTERN_OPERATORS:
        return pattern_fault(right.value) if isinstance(right, nodes.Text) else "A pattern must be a text literal."
    if operator in ("#>", "#>>") and not isinstance(right, nodes.Text):
        return f"{operator} needs a path as a text literal, for example '{{a,b}}'."
    return ""


def call_fault(function: Function, arguments: tuple[Node, ...], *, distinct: bool = False) -> str:
    """What is wrong with a call; "" when it is allowed."""
    if not function.least <= len(arguments) <= function.most:
        return f"{function.name} is written as {function.signature}."
    if distinct and (not function.aggregate or not arguments):
        return "DISTINCT is written inside an aggregate, before a value."
    for index, argument in enumerate(arguments):
        kind = function.kind(index)
        if kind in ("text", "value"):
            continue
        if kind == "size":
            if not isinstance(argument, nodes.Number) or "." in argument.digits or int(argument.digits) > MAX_PAD:
                return f"{function.name} needs a whole number up to {MAX_PAD:,} as its size."
        elif not isinstance(argument, nodes.Text):
            return f"Argument {index + 1} of {function.name} must be a text literal."
        elif fault := literal_fault(kind, argument.value):
            return fault
    return ""


def modifiers_valid(type_name: str, modifiers: tuple[int, ...]) -> bool:
    """Whether varchar(n) or numeric(p, s) has numbers PostgreSQL accepts."""
    limits = MAX_MODIFIERS.get(type_name, ())
    if len(modifiers) > len(limits):
        return False
    in_range = all(0 <= value <= limit for value, limit in zip(modifiers, limits, strict=False))
    return in_range and (not modifiers or modifiers[0] >= 1) and (len(modifiers) < 2 or modifiers[1] <= modifiers[0])
