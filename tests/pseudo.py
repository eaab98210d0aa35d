"""A language that only tests know: every text that goes through a catalogue stands in brackets."""

from __future__ import annotations

from gettext import NullTranslations

import pytest
from django.utils.translation import trans_real

PSEUDO = "xx"


class Brackets(NullTranslations):
    """Translates each message by putting it between ⟦ and ⟧."""

    def gettext(self, message: str) -> str:
        return f"⟦{message}⟧"

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return f"⟦{msgid1 if n == 1 else msgid2}⟧"

    def language(self) -> str:
        return PSEUDO

    def to_language(self) -> str:
        return PSEUDO


@pytest.fixture
def pseudo_language(monkeypatch: pytest.MonkeyPatch) -> None:
    """Knows the language for one test; `translation.override(PSEUDO)` speaks it."""
    monkeypatch.setitem(trans_real._translations, PSEUDO, Brackets())
