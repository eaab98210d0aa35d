"""The words of an SQL text with their places, and ways to cut it: for reading pasted statements only."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""(?P<comment>--[^\n]*|/\*.*?\*/)|(?P<text>[eE]?'(?:[^']|'')*')|(?P<quoted>"(?:[^"]|"")+")|(?P<dollar>\$\w*\$)
      |(?P<word>[^\W\d]\w*)|(?P<number>\d+(?:\.\d+)?)|(?P<space>\s+)|(?P<mark>.)""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True)
class Token:
    kind: str
    text: str
    start: int
    depth: int

    @property
    def word(self) -> str:
        return self.text.upper() if self.kind == "word" else ""

    @property
    def end(self) -> int:
        return self.start + len(self.text)


def tokens_of(text: str) -> Iterator[Token]:
    depth = 0
    for match in _TOKEN.finditer(text):
        kind, piece = match.lastgroup or "mark", match.group()
        if kind in {"space", "comment"}:
            continue
        if piece == ")":
            depth -= 1
        yield Token(kind, piece, match.start(), depth)
        if piece == "(":
            depth += 1


def name_of(token: Token) -> str:
    if token.kind == "quoted":
        return token.text[1:-1].replace('""', '"')
    return token.text.lower()


def dotted(tokens: Sequence[Token]) -> tuple[list[str], Sequence[Token]]:
    """The parts of schema.table and what follows them."""
    names: list[str] = []
    place = 0
    while place < len(tokens) and tokens[place].kind in {"word", "quoted"}:
        names.append(name_of(tokens[place]))
        place += 1
        if place >= len(tokens) or tokens[place].text != ".":
            break
        place += 1
    return names, tokens[place:]


def split(tokens: Sequence[Token], starts: Callable[[int], bool]) -> list[list[Token]]:
    pieces: list[list[Token]] = [[]]
    for place, token in enumerate(tokens):
        if starts(place):
            pieces.append([])
        pieces[-1].append(token)
    return pieces


def split_commas(tokens: Sequence[Token], *, depth: int = 0) -> Iterator[list[Token]]:
    piece: list[Token] = []
    for token in tokens:
        if token.text == "," and token.depth == depth:
            yield piece
            piece = []
        else:
            piece.append(token)
    if piece:
        yield piece
