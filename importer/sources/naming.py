"""What names say: which table a column is likely to point at, and how sure the name alone makes one."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from servicevault.wording import say

Words = tuple[str, ...]

WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_]+")
REFERENCE_WORDS = frozenset({"id", "ids", "uuid", "guid", "fk", "ref", "key", "pk"})
CODE_WORDS = frozenset({"code", "no", "nr", "num", "number", "sku", "slug", "isbn", "iso"})
SELF_WORDS = frozenset({"parent", "root", "ancestor", "previous", "prev", "next", "original", "duplicate"})
BOSSES = frozenset({("supervisor",), ("manager",), ("boss",), ("reports", "to")})  # often another row of the same table
DIRECTIONS = frozenset({"from", "to", "source", "target"})  # issue_from_id
QUALIFIERS = frozenset(
    "next previous prev default old new current last first initial original".split()
)  # next_state_id
SELF_PHRASES = frozenset(
    {("reply", "to"), ("in", "reply", "to"), ("merged", "into"), ("duplicate", "of"), ("merged", "to")}
)
IRREGULAR = {"people": "person", "children": "child", "men": "man", "women": "woman", "mice": "mouse", "data": "datum"}

STAFF_WORDS = frozenset(
    [
        "author",
        "owner",
        "assignee",
        "creator",
        "editor",
        "agent",
        "manager",
        "supervisor",
        "reviewer",
        "approver",
        "sender",
        "actor",
        "lead",
        "responsible",
        "performer",
        "operator",
        "technician",
        "responder",
        "seller",
        "salesperson",
        "rep",
        "inviter",
        "causer",
        "moderator",
        "uploader",
        "poster",
        "modifier",
        "updater",
        "closer",
        "resolver",
        "admin",
        "worker",
        "staff",
        "leader",
        "coordinator",
        "watcher",
        "follower",
        "member",
        "user",
        "person",
    ]
)
CLIENT_WORDS = frozenset(
    [
        "requester",
        "reporter",
        "contact",
        "client",
        "customer",
        "buyer",
        "payer",
        "submitter",
        "recipient",
        "caller",
        "guest",
    ]
)
STAFF_TABLES = ("user", "agent", "employee", "staff", "person", "member", "account", "operator", "admin")
CLIENT_TABLES = ("customer", "contact", "client", "requester", "person", "user", "account")
QUALIFIED_PEOPLE = ("user", "agent", "employee", "staff", "customer")
ALL_STAFF = tuple(dict.fromkeys(STAFF_TABLES + CLIENT_TABLES))  # a shop's reviews are written by customers
ALL_CLIENTS = tuple(dict.fromkeys(CLIENT_TABLES + STAFF_TABLES))
VERB = re.compile(r"(?:ed|en|ten)$")

EXACT, QUALIFIED, OWN_LOOKUP, ROLE, LATER_ROLE, LOOKUP = 1.0, 0.9, 0.9, 0.8, 0.6, 0.55
BARE_FACTOR = 0.85  # "customer" says less than "customer_id"


@dataclass(frozen=True)
class Stem:
    """A column name without the word that marks it as a reference: created_by_user + id."""

    words: Words
    suffix: str  # "id", "code", ...; "" for a bare name


@dataclass(frozen=True)
class NameMatch:
    """How well a column's name fits a table, from 0 to 1, and why."""

    score: float
    reason: str


@cache
def words(name: str) -> Words:
    """The lower-case words of a name in any of the usual spellings."""
    return tuple(word.lower() for word in WORD.findall(name))


@cache
def forms(word: str) -> frozenset[str]:
    """The word and what it may be the plural of: statuses gives statuse and status."""
    found = {word, IRREGULAR.get(word, word)}
    if len(word) > 3 and word.endswith("s"):
        found.add(word[:-1])
        if word.endswith("es"):
            found.add(word[:-2])
        if word.endswith("ies"):
            found.add(word[:-3] + "y")
    return frozenset(found)


def same(left: Words, right: Words) -> bool:
    """Whether two names mean the same, singular or plural, with or without word breaks."""
    if len(left) == len(right):
        return bool(left) and all(forms(a) & forms(b) for a, b in zip(left, right, strict=True))
    return bool(left and right) and bool(forms("".join(left)) & forms("".join(right)))


def stems(column: str) -> list[Stem]:
    """The ways to read a column name as a reference, the likelier first."""
    parts = words(column)
    if len(parts) > 1 and parts[-1] in REFERENCE_WORDS | CODE_WORDS:
        found = [Stem(parts[:-1], parts[-1])]
        if len(parts) > 2 and parts[-2] in DIRECTIONS:
            found.append(Stem(parts[:-2], parts[-1]))
        if len(parts) > 2 and parts[0] in QUALIFIERS:
            found.append(Stem(parts[1:-1], parts[-1]))
        return found
    if len(parts) > 1 and parts[0] in ("id", "fk"):
        return [Stem(parts[1:], "id")]
    found = [Stem(parts, "")]
    if len(parts) == 1 and len(parts[0]) > 4 and parts[0].endswith("id"):
        found.insert(0, Stem((parts[0][:-2],), "id"))
    return found


def common_prefix(names: Iterable[str]) -> str:
    """The first word most tables share, as hd in hd_tickets; "" when there is none."""
    firsts = [parts[0] for parts in map(words, names) if len(parts) > 1]
    every = list(names) if not isinstance(names, Sequence) else names
    if len(every) < 4 or not firsts:
        return ""
    word, count = Counter(firsts).most_common(1)[0]
    return word if count >= 0.6 * len(every) else ""


def table_words(name: str, prefix: str) -> Words:
    """The words of a table's name without the prefix all tables share."""
    parts = words(name)
    return parts[1:] if prefix and len(parts) > 1 and parts[0] == prefix else parts


def match_names(stem: Stem, child: Words, parent: Words, *, people: Sequence[Words]) -> NameMatch | None:
    """Return how well a column of table `child` fits table `parent` by name, or None.

    `people` are the tables of persons that exist, which words like author and created_by may mean.
    """
    found = _match(stem, child, parent, people)
    if found is None or stem.suffix or _is_person_phrase(stem.words):
        return found
    return NameMatch(found.score * BARE_FACTOR, found.reason)


def _match(stem: Stem, child: Words, parent: Words, people: Sequence[Words]) -> NameMatch | None:
    named = " ".join(parent)
    if same(stem.words, parent):
        return NameMatch(EXACT, say("the name means {named}", named=named))
    if same(child, parent) and is_self_reference(stem.words):
        return NameMatch(QUALIFIED, say("the name means a row of the same table"))
    if len(stem.words) > len(parent) and same(stem.words[-len(parent) :], parent):
        return NameMatch(QUALIFIED, say("the name ends in {named}", named=named))
    if len(parent) > len(stem.words) and same(parent[-len(stem.words) :], stem.words):
        leading = parent[: -len(stem.words)]
        if same(leading, child) or same(leading, child[:1]) or same(leading, child[-1:]):
            return NameMatch(OWN_LOOKUP, say("{named} is the list for {child}", named=named, child=" ".join(child)))
        return NameMatch(LOOKUP, say("{named} ends in the name", named=named)) if stem.suffix else None
    if same(child, parent) and stem.words in BOSSES:
        return NameMatch(LATER_ROLE, say("the name means a superior in the same table"))
    rank = person_rank(stem.words, parent, people)
    if rank is not None:
        return NameMatch(ROLE if rank == 0 else LATER_ROLE, say("{words} is a person", words=" ".join(stem.words)))
    return None


def is_self_reference(stem: Words) -> bool:
    """Whether a name means another row of its own table, as parent and reply_to do."""
    return stem in SELF_PHRASES or (len(stem) == 1 and stem[0] in SELF_WORDS)


def is_people_table(parts: Words) -> bool:
    """users, and auth_user; but patient_contacts are no persons who act."""
    if len(parts) == 1:
        return any(same(parts, (name,)) for name in ALL_STAFF)
    return len(parts) == 2 and any(same(parts[1:], (name,)) for name in QUALIFIED_PEOPLE)


def person_rank(stem: Words, parent: Words, people: Sequence[Words]) -> int | None:
    """The place of a table among the existing ones this role may mean: 0 is the likeliest; None is not one."""
    wanted = person_tables(stem)
    ranked = [table for name in wanted for table in people if same(table, (name,)) or same(table[-1:], (name,))]
    ranked = list(dict.fromkeys(ranked))
    return ranked.index(parent) if parent in ranked else None


def person_tables(stem: Words) -> tuple[str, ...]:
    """Names of tables a role word may mean, likeliest first; empty for names that are no role."""
    last = stem[-1] if stem else ""
    if last in CLIENT_WORDS:
        return ALL_CLIENTS
    if last in STAFF_WORDS or _is_person_phrase(stem):
        return ALL_STAFF
    return ()


def _is_person_phrase(stem: Words) -> bool:
    """created_by, assigned_to, reports_to."""
    if len(stem) < 2 or stem[-1] not in ("by", "to"):
        return False
    return stem[-1] == "by" or bool(VERB.search(stem[-2])) or stem[-2] == "reports"
