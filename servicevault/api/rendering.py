"""Answers as JSON, with their texts in the reader's language."""

from __future__ import annotations

from typing import Any

from rest_framework.renderers import JSONRenderer

from servicevault.wording import told


class TranslatedJSON(JSONRenderer):
    """DRF's JSON; a message is a str to every encoder, so it is translated before."""

    def render(self, data: Any, *args: Any, **kwargs: Any) -> Any:
        return super().render(told(data), *args, **kwargs)
