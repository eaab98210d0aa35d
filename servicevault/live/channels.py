"""Where one may listen, who may, and how a hint becomes a frame (L2, L3).

Apps register the families of their channels and the makers of their events. Whoever listens is asked for their right
when they subscribe and again at every event; what they get is read from the database by the same right.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

Hint = Mapping[str, Any]
Data = dict[str, Any]


@dataclass(frozen=True)
class Frame:
    """What a listener is sent."""

    channel: str
    event: str
    data: Data

    def as_dict(self) -> Data:
        return {"channel": self.channel, "event": self.event, "data": self.data}


@dataclass(frozen=True)
class Family:
    """The channels of one kind: `prefix` and the id of what they are about; without an id when it ends in no dot."""

    prefix: str
    sees: Callable[[Any, str], bool]  # user, id
    now: Callable[[Any, str], list[tuple[str, Data]]] = lambda user, pk: []  # events that say how things stand (L10)


Maker = Callable[[Any, Hint], Data | None]  # user, hint → the event's data; None when it is not theirs to see

_families: dict[str, Family] = {"user.": Family("user.", lambda user, pk: str(user.pk) == pk)}  # one's own
_makers: dict[str, Maker] = {}


def register(*families: Family, **makers: Maker) -> None:
    """Let an app have channels, and events; an event's dots are written as two underscores."""
    _families.update({family.prefix: family for family in families})
    _makers.update({name.replace("__", "."): maker for name, maker in makers.items()})


def may_listen(user: Any, channel: str) -> bool:
    """Whether the person may listen there. The same for what is unknown, misspelt or not theirs to see (L3)."""
    found = _parsed(channel)
    return found is not None and found[0].sees(user, found[1])


def frames_now(user: Any, channel: str) -> list[Frame]:
    """How things stand on a channel that the person may listen on."""
    found = _parsed(channel)
    if found is None:
        return []
    family, pk = found
    return [Frame(channel, event, data) for event, data in family.now(user, pk)]


def frame_of(user: Any, hint: Hint) -> Frame | None:
    """What the hint means to the person, read anew; None when it is not theirs to know."""
    channel, event = str(hint["channel"]), str(hint["event"])
    maker = _makers.get(event)
    if maker is None or not may_listen(user, channel):
        return None
    data = maker(user, hint)
    return None if data is None else Frame(channel, event, data)


def _parsed(channel: str) -> tuple[Family, str] | None:
    """The family and the id. Only an id as we write it counts: no other spelling of it, nothing that begins like it."""
    if family := _families.get(channel):
        return (family, "") if not family.prefix.endswith(".") else None
    prefix, dot, pk = channel.rpartition(".")
    family = _families.get(prefix + dot)
    return (family, pk) if family is not None and _is_id(pk) else None


def _is_id(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
