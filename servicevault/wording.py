"""What the system says to people: English where it is kept, the reader's language where it is shown.

The only way to write a text that a person reads, for every layer (docs/adr/0007): it needs the standard library alone.

    say("Column {column} is not in the file.", column=name)
    say_count("{count} row was read.", "{count:,} rows were read.", rows)
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

logger = logging.getLogger("servicevault.wording")

Values = Mapping[str, Any]
Translate = Callable[[str], str]
TranslateCount = Callable[[str, str, int], str]


class Message(str):
    """An English text that shows itself in the reader's language.

    As a str it is English: so it is compared, stored, sliced, and so every program reads it that asks for no language.
    Shown it is translated: by str(), in a template, in an f-string, as a value of another message.
    """

    __slots__ = ("forms", "values")
    forms: tuple[str, ...]  # the pattern; of a count the one for one and the one for many
    values: Values

    def __new__(cls, text: str, forms: tuple[str, ...], values: Values) -> Message:
        message = super().__new__(cls, text)
        message.forms = forms
        message.values = values
        return message

    def __str__(self) -> str:
        pattern = ""
        try:
            pattern = _translated(self.forms, self.values)
            if pattern not in self.forms:
                return pattern.format(**self.values) if self.values else pattern
        except (LookupError, ValueError, TypeError, AttributeError) as error:
            if pattern:  # a translator's mistake must not hide what happened
                _complain(self.forms[0], error)
        return english(self)

    def __add__(self, other: str) -> str:
        return str(self) + other

    def __radd__(self, other: str) -> str:
        return other + str(self)

    def __mod__(self, values: Any) -> str:
        return str(self) % values  # so argparse fills in its helps

    def __rich__(self) -> str:
        return str(self)

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    def __reduce__(self) -> tuple[Any, ...]:
        return Message, (english(self), self.forms, dict(self.values))

    def __deepcopy__(self, memo: object) -> Message:
        return self  # nothing in it changes

    def format(self, *args: object, **values: object) -> Message:
        """The message with its values, for a pattern that stands in a table of texts."""
        return _message(self.forms, {**self.values, **values})


def say(pattern: str, /, **values: object) -> str:
    """The text with its values at `{name}`; without values it stays as it is, braces too."""
    return _message((pattern,), values)


def say_count(one: str, many: str, count: int, /, **values: object) -> str:
    """The text for so many, with `{count}` and its other values; languages have more forms than two."""
    return _message((one, many), {"count": count, **values})


def english(text: str) -> str:
    """The text as it is kept, whatever the reader's language."""
    return str.__str__(text)


def told(data: Any) -> Any:
    """Data on its way out as JSON, with its messages in the reader's language."""
    if isinstance(data, Message):
        return str(data)
    if isinstance(data, dict):
        return {key: told(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [told(value) for value in data]
    return data


def to_wire(text: str) -> Any:
    """The text as JSON for another process of ours, which can still translate it."""
    if not isinstance(text, Message):
        return text
    values = {
        name: value if isinstance(value, int | float) else to_wire(value if isinstance(value, str) else str(value))
        for name, value in text.values.items()
    }
    return {"text": english(text), "forms": text.forms, "values": values}


def from_wire(parts: Any, depth: int = 3) -> str:
    """The text that `to_wire` sent. The sender may be in hostile hands: no pattern of its is ever filled in."""
    match parts:
        case {"text": str(text), "forms": [str(), *_] as forms, "values": dict(values)} if depth:
            kept = {
                name: from_wire(value, depth - 1) if isinstance(value, dict) else value
                for name, value in values.items()
            }
            return Message(text, tuple(map(str, forms)), kept)
        case {"text": text}:
            return str(text)
    return str(parts)


def _english_count(one: str, many: str, count: int) -> str:
    return one if count == 1 else many


_translate: Translate = str
_translate_count: TranslateCount = _english_count
_language: Callable[[], str | None] = str  # "": not said yet
_complained: set[tuple[str | None, str]] = set()  # of which language and text: no more than are in the catalogues


def speak(translate: Translate, translate_count: TranslateCount, language: Callable[[], str | None]) -> None:
    """Show messages by these from now on; before, everybody reads English."""
    global _translate, _translate_count, _language
    _translate, _translate_count, _language = translate, translate_count, language


def _complain(pattern: str, error: Exception) -> None:
    """Say once to those who run the site that a translation does not fit the values of its text."""
    language = _language()
    if (language, pattern) not in _complained:
        _complained.add((language, pattern))
        logger.warning(
            "the translation into %s cannot be filled in (%r), English is shown: %s", language, error, pattern
        )


def _message(forms: tuple[str, ...], values: Mapping[str, object]) -> Message:
    pattern = forms[-1] if len(forms) > 1 and values["count"] != 1 else forms[0]
    if not values:
        return Message(pattern, forms, values)
    kept = plain = values
    for value in values.values():
        if isinstance(value, Message | BaseException):
            # An error kept as such would keep its traceback, and everything in it.
            kept = {name: str(each) if isinstance(each, BaseException) else each for name, each in values.items()}
            plain = {name: _plain(each) for name, each in kept.items()}
            break
    return Message(pattern.format(**plain), forms, kept)


def _plain(value: Any) -> Any:
    return english(value) if isinstance(value, Message) else value


def _translated(forms: Sequence[str], values: Values) -> str:
    if len(forms) == 1:
        return _translate(forms[0]) if forms[0] else ""  # gettext answers nothing with the catalogue's head
    return _translate_count(forms[0], forms[1], values["count"])
