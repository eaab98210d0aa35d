"""Cuts an expression text into tokens; everything the language does not know ends here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from importer.errors import ExpressionError
from servicevault.wording import say, say_count

MAX_CHARACTERS = 4_000  # Q28
MAX_DIGITS = 18  # on each side of the decimal point

OPERATORS = (  # longest first, so that the first hit is the token
    "->>", "#>>", "!~*", "->", "#>", "!~", "~*", "<=", ">=", "<>", "!=", "||", "::",
    "~", "=", "<", ">", "+", "-", "*", "/", "%", "(", ")", ",", ".",
)  # fmt: skip
SPACES = " \t\n\r\f\v"

Kind = Literal["name", "quoted", "text", "number", "operator", "end"]


@dataclass(frozen=True)
class Token:
    kind: Kind
    value: str  # names as written, texts and quoted names without their quotes
    position: int  # 0-based
    end: int

    @property
    def word(self) -> str:
        """The upper-case word of an unquoted name, "" for every other token."""
        return self.value.upper() if self.kind == "name" and self.value.isascii() else ""


def tokenize(text: str) -> list[Token]:
    """The tokens of `text`, closed by one of kind "end".

    Raises ExpressionError for a character, comment, quote or number outside the language.
    """
    if not isinstance(text, str):
        raise ExpressionError(say("An expression is a text."), position=0)
    if len(text) > MAX_CHARACTERS:
        raise ExpressionError(
            say_count(
                "The expression has {count} character; at most {max_characters:,} are allowed.",
                "The expression has {count:,} characters; at most {max_characters:,} are allowed.",
                len(text),
                max_characters=MAX_CHARACTERS,
            ),
            position=MAX_CHARACTERS,
        )
    tokens: list[Token] = []
    position = 0
    while position < len(text):
        if text[position] in SPACES:
            position += 1
            continue
        token = _next_token(text, position)
        tokens.append(token)
        position = token.end
    tokens.append(Token("end", "", len(text), len(text)))
    return tokens


def _next_token(text: str, position: int) -> Token:
    character = text[position]
    if text.startswith(("--", "/*"), position):
        raise ExpressionError(say("Comments are not allowed."), position=position, token=text[position : position + 2])
    if character == "'":
        return _quoted(text, position, "text")
    if character == '"':
        return _quoted(text, position, "quoted")
    if character in "0123456789" or (character == "." and text[position + 1 : position + 2] in tuple("0123456789")):
        return _number(text, position)
    if _starts_name(character):
        end = position
        while end < len(text) and _continues_name(text[end]):
            end += 1
        return Token("name", text[position:end], position, end)
    for operator in OPERATORS:
        if text.startswith(operator, position):
            return Token("operator", operator, position, position + len(operator))
    shown = character if character.isprintable() else f"U+{ord(character):04X}"
    raise ExpressionError(
        say("The character {shown} is not allowed here.", shown=shown), position=position, token=shown
    )


def _quoted(text: str, start: int, kind: Literal["text", "quoted"]) -> Token:
    quote = text[start]
    parts: list[str] = []
    position = start + 1
    while True:
        closing = text.find(quote, position)
        if closing < 0:
            raise ExpressionError(say("The quote is not closed."), position=start, token=quote)
        parts.append(text[position:closing])
        position = closing + 1
        if text[position : position + 1] != quote:
            break
        parts.append(quote)
        position += 1
    value = "".join(parts)
    check_characters(value, start)
    if kind == "quoted" and not value:
        raise ExpressionError(say('A name between "quotes" cannot be empty.'), position=start)
    return Token(kind, value, start, position)


def check_characters(value: str, position: int) -> None:
    """Raise ExpressionError when PostgreSQL could not hold `value` as a text (NUL, half of a surrogate pair)."""
    if "\x00" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise ExpressionError(say("The text holds a character that no database text can hold."), position=position)


def _number(text: str, start: int) -> Token:
    end = start
    while end < len(text) and text[end] in "0123456789":
        end += 1
    whole = text[start:end]
    fraction = ""
    if text[end : end + 1] == "." and text[end + 1 : end + 2] in tuple("0123456789"):
        fraction_start = end + 1
        end = fraction_start
        while end < len(text) and text[end] in "0123456789":
            end += 1
        fraction = text[fraction_start:end]
    if len(whole) > MAX_DIGITS or len(fraction) > MAX_DIGITS:
        raise ExpressionError(
            say("A number has at most {max_digits} digits on each side of the point.", max_digits=MAX_DIGITS),
            position=start,
            token=text[start:end],
        )
    if end < len(text) and (_continues_name(text[end]) or text[end] == "."):
        raise ExpressionError(
            say("{text} is not a number.", text=text[start : end + 1]), position=start, token=text[start : end + 1]
        )
    return Token("number", f"{whole or '0'}.{fraction}" if fraction else whole, start, end)


def _starts_name(character: str) -> bool:
    return character == "_" or character.isalpha()


def _continues_name(character: str) -> bool:
    return character == "_" or character.isalpha() or character in "0123456789"
