"""The rows of the demo help desk: believable, the same for the same day, and with every trap of a real one.

Timestamps are local times of Europe/Berlin without zone, as the product stores them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

from servicevault.demo import vocabulary as words
from servicevault.demo.people import CASE_PAIRS, CUSTOMERS, People, Row, Tables

CONVERSATIONS = 5000
NUMBER_OFFSET = 1041  # conversations.number minus id, before the gaps
MERGES = 60
MEGABYTE = 1 << 20


def make(today: date, *, conversations: int = CONVERSATIONS) -> Tables:
    """All rows, from three years before `today` until then."""
    return _Desk(today, conversations).tables


class _Desk(People):
    def __init__(self, today: date, conversations: int) -> None:
        super().__init__(today)
        self.conversations(conversations)
        self.special_cases()
        self.merges()
        self.time_logs()

    # -- conversations -------------------------------------------------------------------------------------------

    def conversations(self, count: int) -> None:
        self.main_address = {row["customer_id"]: row["email"] for row in reversed(self.tables["emails"])}
        moments = sorted(self.moment() for _ in range(count))
        number = NUMBER_OFFSET
        for position, created in enumerate(moments):
            number += 1 + (position % 211 == 0)  # gaps (trap 22)
            self.conversation(position, number, created)
        self.gone_customers = [CUSTOMERS + CASE_PAIRS + 500 + offset for offset in range(5)]
        for offset, row in enumerate(self.tables["conversations"][300:340]):  # trap 17
            row["customer_id"] = None if offset % 2 else self.gone_customers[offset % 5]

    def conversation(self, position: int, number: int, created: datetime) -> Row:
        customer = self.dice.randrange(1, CUSTOMERS + 1)
        subject, question, answer = self.dice.choice(words.TOPICS)
        subject = subject.format(number=2024_000 + number)
        state = 1 if position % 37 == 5 else 3 if position % 60 == 11 else 2
        status = 4 if position % 14 == 9 else self.dice.choice((1, 1, 2, 3, 3, 3, 3))
        kind = 2 if position % 23 == 4 else 3 if position % 97 == 8 else 1
        agent = self.dice.choice(self.agents)
        conversation = self.tables.add(
            "conversations",
            number=number,
            type=kind,
            folder_id=1,
            status=status,
            state=state,
            subject=subject,
            customer_email=self.main_address.get(customer),
            cc=None if position % 9 else "[]" if position % 2 else '["chef@example.com"]',
            preview="",
            mailbox_id=1 + self.dice.choice((0, 0, 0, 1, 2, 3)),
            user_id=self.robots[0] if position % 50 == 20 else agent if position % 5 else None,
            customer_id=customer,
            created_by_user_id=agent if kind == 2 else None,
            created_by_customer_id=None if kind == 2 else customer,
            source_via=2 if kind == 2 else 1,
            source_type=1,
            closed_at=created + timedelta(days=3) if status == 3 else None,
            closed_by_user_id=agent if status == 3 else None,
            created_at=created,
            updated_at=created + timedelta(days=3),
        )
        self.messages(conversation, question.format(number=2024_000 + number), answer, agent)
        for tag in self.dice.sample(range(1, len(words.TAGS) + 1), self.dice.choice((0, 0, 1, 1, 2))):
            self.tables.add("conversation_tag", conversation_id=conversation["id"], tag_id=tag)
        if position % 40 == 0:
            self.tables.add("followers", conversation_id=conversation["id"], user_id=agent)
        return conversation

    def messages(self, conversation: Row, question: str, answer: str, agent: int) -> None:
        """The question first (a note when somebody called), then replies, notes, and lines of history."""
        at: datetime = conversation["created_at"]
        customer = conversation["customer_id"]
        by_phone = conversation["type"] == 2
        first = self.thread(
            conversation, at, type=3 if by_phone else 1, subtype=2 if by_phone else None, first=True, state=_first_state(conversation),
            body=_html(question, quoted=""), **(_by_agent(agent) if by_phone else _by_customer(customer, self.main_address)),
        )  # fmt: skip
        if conversation["id"] % 8 == 0:
            self.attachment(first)
        line_items = self.dice.choice((0, 1, 1, 2, 3))
        for _ in range(line_items):
            at += timedelta(minutes=self.dice.randrange(2, 300))
            self.thread(
                conversation, at, type=4, action_type=self.dice.choice((1, 2)), body=None, user_id=agent,
                created_by_user_id=self.robots[1] if conversation["id"] % 30 == 0 else agent, source_via=2,
            )  # fmt: skip
        for step in range(self.dice.choice((0, 1, 1, 2, 2))):
            at += timedelta(minutes=self.dice.randrange(5, 900))
            if step % 2 == 0:
                reply = self.thread(
                    conversation, at, type=2, body=_html(answer, quoted=question), **_by_agent(agent),
                    state=1 if conversation["id"] % 29 == 0 else 3 if conversation["id"] % 83 == 0 else 2,
                    edited_at=at + timedelta(minutes=4) if conversation["id"] % 45 == 0 else None,
                )  # fmt: skip
                if conversation["id"] % 17 == 0:
                    self.attachment(reply)
            else:
                # After the customer of a conversation was changed its threads belong to different people (trap 17).
                author = customer if conversation["id"] % 31 else 1 + customer % CUSTOMERS
                body = "" if conversation["id"] % 90 == 0 else _html(self.dice.choice(words.FOLLOW_UPS), quoted=answer)
                self.thread(conversation, at, type=1, body=body, **_by_customer(author, self.main_address))
        if self.dice.random() < 0.25:
            self.thread(
                conversation, at + timedelta(minutes=1), type=3, body=f"<p>{self.dice.choice(words.NOTES)}</p>",
                **_by_agent(agent),
            )  # fmt: skip
        if conversation["id"] % 70 == 0:
            self.thread(
                conversation, at + timedelta(minutes=2), type=2, body="<p>We received your message.</p>",
                created_by_user_id=self.robots[1], source_via=2,
            )  # fmt: skip
        conversation["threads_count"] = 1 + line_items

    def thread(self, conversation: Row, at: datetime, **values: Any) -> Row:
        row = self.tables.add(
            "threads",
            conversation_id=conversation["id"],
            source_type=1,
            created_at=at,
            updated_at=at,
            customer_id=conversation["customer_id"],
            **{"user_id": conversation["user_id"], **values},
        )
        if values["type"] == 1:
            row["message_id"] = f"<{row['id']}.{conversation['number']}@mail.example>"
        if row.get("body"):
            conversation["preview"] = re.sub(r"<[^>]+>|\s+", " ", row["body"])[:255].strip()  # of the last one (trap 8)
        return row

    def attachment(self, thread: Row) -> None:
        name, mime, size = self.dice.choice(words.FILES)
        thread["has_attachments"] = True
        self.tables.add(
            "attachments", thread_id=thread["id"], file_dir=f"{thread['id'] % 9}/{thread['id'] % 7}/", file_name=name,
            mime_type=mime, type=5, size=size + thread["id"], embedded=thread["id"] % 10 == 0,
        )  # fmt: skip

    # -- what every desk of a few years has ----------------------------------------------------------------------

    def special_cases(self) -> None:
        published = [row for row in self.tables["conversations"] if row["state"] == 2 and row["status"] != 4]
        for row, status in zip(published[50:65], (11, 12, 21, 31, 32) * 3, strict=True):  # custom statuses (trap 7)
            row["status"] = status
        for row, subject in zip(published[100:112], (None, "", "   ") * 4, strict=True):  # trap 18
            row["subject"] = subject
        published[113]["subject"] = "Re: Fwd: " + "the long story of our telephone system, part two. " * 19
        published[114]["subject"] = "Order\r\n\t4711\tis late"
        self.strange_times(published[120:126])
        self.strange_bodies(published[130:140])

    def strange_times(self, chosen: list[Row]) -> None:
        """The hour that comes twice, the one that never was, and clocks that were wrong (trap 5)."""
        autumn, spring = _clock_changes(self.end.date())
        twice, never, future, past = chosen[:4]
        first, *others = [row for row in self.tables["threads"] if row["conversation_id"] == twice["id"]]
        first["created_at"] = twice["created_at"] = autumn + timedelta(hours=2, minutes=50)
        for row in others:
            row["created_at"] = autumn + timedelta(hours=2, minutes=10)
        never["created_at"] = spring + timedelta(hours=2, minutes=30)
        future["created_at"] = datetime(2099, 1, 1, 12)
        past["created_at"] = datetime(1970, 1, 1)

    def strange_bodies(self, chosen: list[Row]) -> None:
        """Scripts, tracking pixels, pictures inside, and one mail of more than a megabyte (trap 21)."""
        extra = (
            '<script>document.title = "owned"</script>',
            '<img src="https://track.example/p.gif?id=4711" width="1" height="1">',
            f'<img src="data:image/png;base64,{"iVBORw0KGgo" * 30_000}">',
            "<table>" + "<tr><td>log line</td></tr>" * (11 * MEGABYTE // 10 // 26) + "</table>",
            '<p onclick="steal()">click</p><style>body { display: none }</style>',
        )
        for row, text in zip(chosen, extra, strict=False):
            first = next(thread for thread in self.tables["threads"] if thread["conversation_id"] == row["id"])
            first["body"] += text

    def merges(self) -> None:
        """Merged conversations: the threads moved on, a line item tells where to; some were merged again (trap 11)."""
        published = [row for row in self.tables["conversations"] if row["state"] == 2 and row["status"] < 4]
        self.merged: list[tuple[Row, Row]] = []
        for number in range(MERGES):
            gone, into = published[1000 + 3 * number], published[1001 + 3 * number]
            self.merge(gone, into)
            if number % 12 == 0:
                self.merge(into, published[1002 + 3 * number])

    def merge(self, gone: Row, into: Row) -> None:
        agent = self.dice.choice(self.agents)
        for thread in self.tables["threads"]:
            if thread["conversation_id"] == gone["id"] and thread["type"] != 4:
                thread["conversation_id"] = into["id"]  # two first ones now (trap 8)
        gone["state"] = 3
        at = max(gone["updated_at"], into["updated_at"])
        for conversation, meta in ((gone, {"mic": into["id"]}), (into, {"mwc": gone["id"]})):
            self.thread(
                conversation, at, type=4, action_type=4, body=None, meta=json.dumps(meta), created_by_user_id=agent,
                source_via=2,
            )  # fmt: skip
        self.merged.append((gone, into))

    def time_logs(self) -> None:
        merged = {gone["id"] for gone, _ in self.merged}
        for row in self.tables["conversations"]:
            if row["id"] % 3 and row["id"] not in merged:
                continue
            for _ in range(self.dice.choice((1, 1, 2))):
                self.time_log(row["id"], row["created_at"], self.seconds(), finished=row["id"] % 40 != 0)
        last = self.tables["conversations"][-1]["id"]
        for offset in range(25):  # conversations deleted for ever (trap 14)
            self.time_log(last + 100 + offset, self.moment(), 600, finished=True)

    def seconds(self) -> int:
        """Mostly minutes; also nothing, corrections below zero, and over night (traps 12, 13)."""
        roll = self.dice.randrange(200)
        return {0: 0, 1: -300, 2: 17 * 3600}.get(roll, self.dice.randrange(15, 5400))

    def time_log(self, conversation: int, at: datetime, seconds: int, *, finished: bool) -> None:
        self.tables.add(
            "timelogs", conversation_id=conversation, user_id=self.dice.choice(self.agents), time_spent=seconds if finished else 0,
            paused=not finished and seconds % 2 == 0, finished=finished, created_at=at + timedelta(hours=1),
            updated_at=at + timedelta(hours=2),
        )  # fmt: skip


def _first_state(conversation: Row) -> int:
    return 1 if conversation["state"] == 1 else 2


def _by_agent(agent: int) -> Row:
    return {"created_by_user_id": agent, "source_via": 2}


def _by_customer(customer: int | None, addresses: dict[int, str]) -> Row:
    return {"created_by_customer_id": customer, "source_via": 1, "from": addresses.get(customer or 0)}


def _html(text: str, *, quoted: str) -> str:
    greeting = f"<p>Hello,</p><p>{text[0].upper()}{text[1:]}</p><p>Best regards</p>"
    return f"{greeting}<blockquote>{quoted}</blockquote>" if quoted else greeting


def _clock_changes(today: date) -> tuple[datetime, datetime]:
    """The last days on which clocks went back and forward before `today`, in the European Union."""

    def last_sunday(month: int) -> date:
        for year in (today.year, today.year - 1):
            end = date(year, month, 31)
            found = end - timedelta(days=(end.weekday() + 1) % 7)
            if found < today:
                return found
        raise AssertionError("one of two years lies before today")

    autumn, spring = last_sunday(10), last_sunday(3)
    return datetime.combine(autumn, datetime.min.time()), datetime.combine(spring, datetime.min.time())


def columns(rows: list[Row]) -> list[str]:
    """Every column that any of the rows has."""
    return list(dict.fromkeys(name for row in rows for name in row))


def filled(tables: Tables) -> Iterator[tuple[str, list[str], list[Row]]]:
    """Table, columns, rows: ready to be copied."""
    for table, rows in tables.rows.items():
        yield table, columns(rows), rows
