"""The people of the demo help desk: agents, robots, customers, and the addresses and companies of these."""

from __future__ import annotations

import json
import random
import re
import unicodedata
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from servicevault.demo import vocabulary as words

CUSTOMERS = 1000
AGENTS = 14
CASE_PAIRS = 8
SEED = 20_240_229

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


class People:
    """Everyone who writes to the desk or works there; the same for the same day."""

    def __init__(self, today: date) -> None:
        self.dice = random.Random(SEED)  # noqa: S311 - not a secret
        self.end = datetime.combine(today, datetime.min.time()) - timedelta(hours=7)
        self.begin = self.end - timedelta(days=3 * 365)
        self.tables = Tables()
        self.settings()
        self.people()
        self.customers()

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

    def moment(self) -> datetime:
        """A time of a working day."""
        day = self.begin + timedelta(days=self.dice.randrange(3 * 365))
        return day.replace(
            hour=self.dice.randrange(7, 19), minute=self.dice.randrange(60), second=self.dice.randrange(60)
        )


def _ascii(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "", plain.lower()) or "x"
