"""Turns an expression text into a tree: a Pratt parser over the tokens of `lexer`."""

from __future__ import annotations

from importer.errors import ExpressionError
from servicevault.wording import say

from . import nodes
from .functions import CAST_ALIASES, CAST_TYPES, EXTRACT_FIELDS, FUNCTIONS, TYPED_TEXTS, cast_type
from .lexer import Token, tokenize
from .nodes import Node
from .problems import nearest
from .rules import call_fault, check_limits, modifiers_valid, operand_fault
from .words import COMPARISON, INFIX, INFIX_WORDS, IS, NOT, RANGE, RESERVED, SIGN

MAX_RECURSION = 60  # parentheses make no nodes, so they are counted apart from MAX_DEPTH

_EXPLAINED = {
    "SELECT": say("Subqueries are not allowed in an expression. Join the table instead."),
    "OVER": say("Window functions are not allowed in an expression."),
    "FILTER": say("FILTER is not allowed in an expression."),
    "EXISTS": say("Subqueries are not allowed in an expression. Join the table instead."),
}


def parse(text: str) -> Node:
    """The tree of an expression text.

    Raises ExpressionError, and nothing else, for any text outside the language.
    """
    node = _Parser(tokenize(text)).parse()
    check_limits(node)
    return node


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
        found = say("the end of the expression") if token.kind == "end" else f"'{token.value[:40]}'"
        return self.error(
            say("Expected {wanted} before {found}.", wanted=wanted, found=found)
            if wanted
            else say("Did not expect {found} here.", found=found),
            token,
        )

    def error(self, message: str, token: Token, suggestion: str = "") -> ExpressionError:
        hint = say("Did you mean {suggestion}?", suggestion=suggestion) if suggestion else ""
        return ExpressionError(message, position=token.position, token=token.value, suggestion=suggestion, hint=hint)

    # -- expressions

    def parse(self) -> Node:
        if len(self.tokens) == 1:
            raise self.error(say("The expression is empty."), self.token)
        node = self.expression()
        if self.index < len(self.tokens) - 1:
            raise self.unexpected()
        return node

    def expression(self, power: int = 0) -> Node:
        """An expression whose operators all bind tighter than `power`."""
        self.level += 1
        if self.level > MAX_RECURSION:
            raise self.error(
                say("The expression is nested deeper than {max_recursion} levels.", max_recursion=MAX_RECURSION),
                self.token,
            )
        left = self.prefix()
        while (binding := self.infix_power()) > power:
            left = self.infix(left, binding)
            # Comparisons, ranges and IS do not chain: a = b = c means nothing.
            if binding in (COMPARISON, RANGE, IS) and self.infix_power() == binding:
                raise self.error(say("Use parentheses: these operators cannot follow each other."), self.token)
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
                raise self.unexpected(say("a column name"))
            names.append(self.advance().value)
        if self.token.kind == "operator" and self.token.value == "(":
            raise self.error(say("Only functions of the language can be called, by their plain name."), start)
        if len(names) > 3:
            raise self.error(say("A column is written as table.column."), start)
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
                say("The function {token} is not allowed.", token=token.value[:60]),
                token,
                nearest(token.value, [*FUNCTIONS, "CAST"]),
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
                    raise self.unexpected(say("a whole number"))
                modifiers.append(int(self.advance().value))
                if not self.take_operator(","):
                    break
            self.expect_operator(")")
        if not modifiers_valid(name, tuple(modifiers)):
            raise self.error(say("The size of {name} is out of range.", name=name), start)
        return nodes.Cast(operand, name, tuple(modifiers))

    def type_name(self) -> str:
        start = self.token
        if not start.word:
            raise self.error(say("A type is one plain word."), start, nearest(start.value, CAST_TYPES))
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
            raise self.error(say("A cast to {start} is not allowed.", start=start.value[:60]), start, suggestion)
        return name

    def extract_call(self, token: Token) -> Node:
        field = self.token
        if field.word.lower() not in EXTRACT_FIELDS:
            raise self.error(say("EXTRACT needs a date part."), field, nearest(field.value, EXTRACT_FIELDS))
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
