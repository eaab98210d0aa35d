"""The rows of the demo help desk: believable, the same for the same day, and with every trap of a real one.

Timestamps are local times of Europe/Berlin without zone, as the product stores them.
"""

from __future__ import annotations

import json
import random
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from servicevault.demo import vocabulary as words

CUSTOMERS = 1000
CONVERSATIONS = 5000
AGENTS = 14
ROBOTS = 2
NUMBER_OFFSET = 1041  # conversations.number minus id, before the gaps
CASE_PAIRS = 8
MERGES = 60
SEED = 20_240_229
MEGABYTE = 1 << 20

Row = dict[str, Any]


@dataclass
class Tables:
    """Rows by table, in the order of their ids."""

    rows: dict[str, list[Row]] = field(default_factory=dict)

    def add(self, table: str, **values: Any) -> Row:
        """Append a row with the next id, unless one is given, and return it."""
        listed = self.rows.setdefault(table, [])
        row = {"id": (listed[-1]["id"] if listed else 0) + 1, **values}
        listed.append(row)
        return row

    def __getitem__(self, table: str) -> list[Row]:
        return self.rows.setdefault(table, [])


def make(today: date) -> Tables:
    """All rows, from three years before `today` until then."""
    return _Desk(today).tables


class _Desk:
    def __init__(self, today: date) -> None:
        self.dice = random.Random(SEED)  # noqa: S311 - not a secret
        self.end = datetime.combine(today, datetime.min.time()) - timedelta(hours=7)
        self.begin = self.end - timedelta(days=3 * 365)
        self.tables = Tables()
        self.gone_customers: list[int] = []
        self.settings()
        self.people()
        self.customers()
        self.conversations()
        self.special_cases()
        self.merges()
        self.time_logs()

    # -- people --------------------------------------------------------------------------------------------------

    def settings(self) -> None:
        add = self.tables.add
        for name in ("2018_07_11_010333_create_conversations_table", "2022_12_17_000000_add_meta_to_conversations"):
            add("migrations", migration=name, batch=1)
        for alias in ("timetracking", "tags", "workflows"):
            add("modules", alias=alias, active=True)
        add("options", name="company_name", value="Sommerfeld IT Services")
        for name, local in words.QUEUES:
            mailbox = add(
                "mailboxes", name=name, email=f"{local}@sommerfeld.example", signature="<p>{%user.fullName%}</p>"
            )
            for kind in (1, 20, 25, 30, 40, 60, 70, 80):
                add("folders", mailbox_id=mailbox["id"], type=kind)
        for name in words.TAGS:
            add("tags", name=name)

    def people(self) -> None:
        """Agents, two of one name, disabled and deleted ones; and robots, which are no persons (trap 15)."""
        for number in range(AGENTS):
            first, last = words.FIRST_NAMES[number], words.LAST_NAMES[number]
            if number == AGENTS - 1:
                first, last = words.FIRST_NAMES[0], words.LAST_NAMES[0]
            status = {9: 2, 10: 3, 11: 3}.get(number, 1)
            address = f"{_ascii(first)}.{_ascii(last)}{number if number == AGENTS - 1 else ''}@sommerfeld.example"
            self.tables.add(
                "users",
                first_name="Maximilian-Ferdinand" if number == 8 else first,
                last_name="" if number == 7 else last,
                email=address + (f"_deleted2024060{number - 8}101500" if status == 3 else ""),
                password="",
                role=2 if number < 2 else 1,
                status=status,
                invite_state=1,
                timezone=("Europe/Berlin", "UTC", "Europe/Zurich", "Mars/Base")[number % 4],
                job_title="Technician" if number % 3 else None,
                phone=f"+49 40 5550-{number:02}" if number % 2 else "",
                created_at=self.begin,
                updated_at=self.begin,
            )
        for number, name in enumerate(("Field team", "Workflow")):
            self.tables.add(
                "users",
                first_name=name,
                last_name="",
                password="",
                email=f"fs{number + 1}@example.org",
                type=2,
                created_at=self.begin,
            )
        self.agents = [row["id"] for row in self.tables["users"] if row.get("type", 1) == 1]
        self.robots = [row["id"] for row in self.tables["users"] if row.get("type", 1) == 2]

    def customers(self) -> None:
        for number in range(CUSTOMERS):
            first, last = self.dice.choice(words.FIRST_NAMES), self.dice.choice(words.LAST_NAMES)
            nameless = number % 25 == 3
            city, state, code, country = self.dice.choice(words.CITIES)
            created = self.moment()
            customer = self.tables.add(
                "customers",
                first_name=self.dice.choice([None, "", "  "]) if nameless else first,
                last_name=None if nameless or number % 40 == 7 else last,
                company=self.company(number),
                job_title=self.dice.choice(words.JOB_TITLES) if number % 4 == 0 else None,
                phones=self.phones(number),
                websites=self.dice.choice([None, "[]", '["https:\\/\\/example.com"]']),
                social_profiles=self.dice.choice([None, "[]"]),
                notes="Prefers a call back after four." if number % 30 == 0 else None,
                city=city if number % 3 else None,
                state=state or None,
                zip=code,
                country=country,
                channel=13 if number % 90 == 0 else None,
                created_at=created,
                updated_at=created + timedelta(days=self.dice.randrange(60)),
            )
            self.addresses(customer["id"], f"{_ascii(first)}.{_ascii(last)}{number}", number)
        self.case_pairs()

    def company(self, number: int) -> str | None:
        """Free text with case, blanks, commas, accents, nothing, and one that somebody pasted a letter into (trap 3)."""
        if number == 17:
            return "Please deliver to the rear entrance. " * 80
        if number % 6 == 5:
            return (None, "", "   ")[number % 3]
        at = number % len(words.COMPANY_NAMES)
        name = f"{words.COMPANY_NAMES[at]} {words.LEGAL_FORMS[at % len(words.LEGAL_FORMS)]}".strip()
        return (
            name,
            name,
            name,
            name.upper(),
            f" {name}",
            name.replace(" ", "  "),
            f"{name}, {words.CITIES[at % 9][0]}",
        )[number % 7]

    def phones(self, number: int) -> str | None:
        """JSON as text: a list, an object, nothing, and a broken one (trap 19)."""
        value = f"+49 40 {self.dice.randrange(10**6, 10**7)}"
        entry = {
            "value": value.replace("40 ", "40/", 1),
            "type": self.dice.choice([1, 4]),
            "n": re.sub(r"\D", "", value),
        }
        if number == 44:
            return '[{"value":"+49 40 123'
        match number % 5:
            case 0:
                return None
            case 1:
                return "[]"
            case 2:
                return json.dumps({"1": entry}).replace("/", "\\/")
        return json.dumps([entry]).replace("/", "\\/")

    def addresses(self, customer: int, local: str, number: int) -> None:
        """None, one, or several; the first is the main one whatever its type (trap 2)."""
        if number % 41 == 11:
            return
        kind = self.dice.choice((2, 3)) if number % 7 == 4 else 1
        company = _ascii(words.COMPANY_NAMES[number % len(words.COMPANY_NAMES)])
        self.tables.add("emails", customer_id=customer, email=f"{local}@{company}.example", type=kind)
        if number % 11 == 2:
            self.tables.add("emails", customer_id=customer, email=f"{local}@mail.example", type=1)
        if number % 13 == 6:
            self.tables.add("emails", customer_id=customer, email=f"{local}.private@home.example", type=2)
        if number in (200, 201, 202):  # also agents (trap 16)
            agent = self.tables["users"][number - 200]
            self.tables["emails"][-1]["email"] = agent["email"]

    def case_pairs(self) -> None:
        """People who are there twice, the second time with capitals in the address (trap 16)."""
        main = {row["customer_id"]: row for row in reversed(self.tables["emails"])}
        singles = [main[customer] for customer in sorted(main)][300 : 300 + CASE_PAIRS]
        for row in singles:
            first = self.tables["customers"][row["customer_id"] - 1]
            twin = {name: value for name, value in first.items() if name != "id"}
            customer = self.tables.add("customers", **twin)
            self.tables.add("emails", customer_id=customer["id"], email=row["email"].title(), type=1)

    # -- conversations -------------------------------------------------------------------------------------------

    def conversations(self) -> None:
        self.main_address = {row["customer_id"]: row["email"] for row in reversed(self.tables["emails"])}
        moments = sorted(self.moment() for _ in range(CONVERSATIONS))
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

    def moment(self) -> datetime:
        """A time of a working day."""
        day = self.begin + timedelta(days=self.dice.randrange(3 * 365))
        return day.replace(
            hour=self.dice.randrange(7, 19), minute=self.dice.randrange(60), second=self.dice.randrange(60)
        )


def _first_state(conversation: Row) -> int:
    return 1 if conversation["state"] == 1 else 2


def _by_agent(agent: int) -> Row:
    return {"created_by_user_id": agent, "source_via": 2}


def _by_customer(customer: int | None, addresses: dict[int, str]) -> Row:
    return {"created_by_customer_id": customer, "source_via": 1, "from": addresses.get(customer or 0)}


def _html(text: str, *, quoted: str) -> str:
    greeting = f"<p>Hello,</p><p>{text[0].upper()}{text[1:]}</p><p>Best regards</p>"
    return f"{greeting}<blockquote>{quoted}</blockquote>" if quoted else greeting


def _ascii(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "", plain.lower()) or "x"


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
