"""The FreeScout pack against every trap of a real installation: rows by hand, and exactly what becomes of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from importer import gateway
from importer.models import ExternalRef
from importer.sources.introspection import introspect
from servicevault.models import Account, Ticket, TicketComment, TimeEntry, User
from templates_registry.definition import parse_definition
from templates_registry.detection import FitReport, fit
from templates_registry.models import Template
from tests.importer.desk import Desk
from tests.importer.freescout import codes, create_tables, import_again, import_rows, let_reader_in, message, person

LINE_ITEM = {"type": 4, "body": None}


def customer(number: int, **fields: Any) -> dict[str, Any]:
    return {"id": number, "first_name": f"Customer{number}", **fields}


def email(number: int, customer_id: int, address: str, kind: int = 1) -> dict[str, Any]:
    return {"id": number, "customer_id": customer_id, "email": address, "type": kind}


def log(number: int, conversation: int, seconds: int, **fields: Any) -> dict[str, Any]:
    at = "2024-01-01 10:00"
    return {
        "id": number,
        "conversation_id": conversation,
        "user_id": 1,
        "time_spent": seconds,
        "created_at": at,
        **fields,
    }


def merged_into(number: int, gone: int, into: int) -> dict[str, Any]:
    """The line item a merge leaves in the conversation it deletes."""
    return {"id": number, "conversation_id": gone, "action_type": 4, "meta": f'{{"mic":{into}}}', **LINE_ITEM}


def customers_of(desk: Desk) -> dict[str, Any]:
    """Customers by external id."""
    return {
        external_id: User.objects.get(pk=desk.target_of("customers", external_id)) for external_id in _ids("customers")
    }


def _ids(entity: str) -> list[str]:
    return list(ExternalRef.objects.filter(entity__entity=entity).values_list("external_id", flat=True))


def ticket(desk: Desk, conversation: int) -> Ticket:
    return Ticket.objects.get(pk=desk.target_of("tickets", str(conversation)))


def comment(desk: Desk, thread: int) -> TicketComment:
    return TicketComment.objects.get(pk=desk.target_of("comments", str(thread)))


def entries() -> list[tuple[int, Any]]:
    return [
        (entry.duration, entry.custom_fields["seconds"])
        for entry in TimeEntry.objects.order_by("created_at", "duration")
    ]


def report(desk: Desk) -> FitReport:
    """How the pack fits the desk's tables."""
    let_reader_in(desk)
    definition = parse_definition(Template.objects.get(platform="freescout").definition)
    with gateway.open_source(desk.profile, purpose="fit") as session:
        return fit(definition, introspect(session), session)


@pytest.mark.req("T30", "T26")
def test_trap_1_it_needs_no_foreign_keys(desk: Desk) -> None:
    job = import_rows(
        desk,
        users=[person(1)],
        customers=[customer(5)],
        conversations=[{"id": 1, "customer_id": 5, "user_id": 1, "created_by_user_id": 1}],
    )
    with gateway.open_source(desk.profile, purpose="test") as session:
        assert not any(table.foreign_keys for table in introspect(session).tables)
    found = ticket(desk, 1)
    assert (found.customer.name, found.agent.name, found.created_by.name) == ("Customer5", "Agent1", "Agent1")
    assert desk.outcomes(job, "tickets") == {"read": 1, "created": 1}


@pytest.mark.req("T30", "T29")
def test_trap_2_it_takes_the_oldest_address_of_any_type_and_loses_nobody(desk: Desk) -> None:
    import_rows(
        desk,
        customers=[customer(1), customer(2), customer(3, first_name=None), customer(4, first_name="")],
        emails=[
            email(9, 1, "work@x.com"), email(5, 1, "home@x.com", 2), email(12, 1, "third@x.com", 3),
            email(7, 2, "only-home@x.com", 2), email(8, 3, "jo.doe@x.com", 3),
        ],
    )  # fmt: skip
    found = {key: (user.name, user.email, user.custom_fields) for key, user in customers_of(desk).items()}
    assert found == {
        "1": ("Customer1", "home@x.com", {"other_emails": ["work@x.com", "third@x.com"]}),
        "2": ("Customer2", "only-home@x.com", {}),
        "3": ("jo.doe", "jo.doe@x.com", {}),
        "4": ("Customer 4", None, {}),
    }


@pytest.mark.req("T30", "E34")
def test_trap_3_it_makes_one_account_of_each_company_text(desk: Desk) -> None:
    texts = ["ACME  Ltd", " acme ltd ", "Acme\tLtd", "Müller, Söhne & Co.", "", "   ", None, "x" * 3000]
    job = import_rows(desk, customers=[customer(number, company=text) for number, text in enumerate(texts, 1)])
    names = {int(key): user.account.name for key, user in customers_of(desk).items()}
    assert {names[number].lower() for number in (1, 2, 3)} == {"acme ltd"}
    assert names[4] == "Müller, Söhne & Co."
    assert {names[number] for number in (5, 6, 7)} == {f"Imported from {desk.profile.name}"}
    assert names[8] == "x" * 255
    assert desk.outcomes(job, "accounts") == {"read": 3, "created": 3}
    assert customers_of(desk)["8"].custom_fields["company"] == "x" * 3000


@pytest.mark.req("E40", "E12")
def test_trap_4_it_reads_times_in_the_zone_of_the_application(desk: Desk) -> None:
    summer, winter = "2024-07-01 12:00:00", "2024-12-01 12:00:00"
    import_rows(desk, conversations=[{"id": 1, "created_at": summer, "updated_at": winter, "closed_at": winter}])
    found = ticket(desk, 1)
    assert found.created_at == datetime(2024, 7, 1, 10, tzinfo=UTC)
    assert found.updated_at == found.closed_at == datetime(2024, 12, 1, 11, tzinfo=UTC)


@pytest.mark.req("E40")
def test_trap_5_it_keeps_the_order_of_ids_where_clocks_went_back_and_odd_times_as_they_are(desk: Desk) -> None:
    job = import_rows(
        desk,
        conversations=[{"id": 1, "created_at": "2025-10-26 02:50"}, {"id": 2, "created_at": "2026-03-29 02:30"},
                       {"id": 3, "created_at": "2099-01-01 12:00"}, {"id": 4, "created_at": "1970-01-01 00:00"}],
        threads=[message(1, 1, created_at="2025-10-26 02:50"), message(2, 1, created_at="2025-10-26 02:10")],
    )  # fmt: skip
    assert ticket(desk, 1).description == "<p>message 1</p>"
    assert comment(desk, 2).content == "<p>message 2</p>"
    assert codes(desk, job, 2, "comments") == {"time_is_ambiguous"}
    assert ticket(desk, 2).created_at == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
    assert "time_does_not_exist" in codes(desk, job, 2, "tickets")
    assert ticket(desk, 3).created_at == datetime(2099, 1, 1, 11, tzinfo=UTC)
    assert ticket(desk, 4).created_at == datetime(1969, 12, 31, 23, tzinfo=UTC)


@pytest.mark.req("T30", "T26")
def test_trap_6_it_leaves_drafts_deleted_and_spam_behind(desk: Desk) -> None:
    job = import_rows(
        desk,
        conversations=[{"id": 1}, {"id": 2, "state": 1}, {"id": 3, "state": 3}, {"id": 4, "status": 4},
                       {"id": 5, "status": 41}],
        threads=[message(number, number) for number in range(1, 6)] + [message(number + 5, number) for number in range(1, 6)],
    )  # fmt: skip
    assert desk.outcomes(job, "tickets") == {"read": 1, "created": 1}
    assert desk.outcomes(job, "comments") == {"read": 1, "created": 1}


@pytest.mark.req("T30", "T32", "E33")
def test_trap_7_it_reads_a_custom_status_by_its_first_digit_and_holds_an_unknown_one(desk: Desk) -> None:
    statuses = [1, 2, 3, 11, 12, 21, 31, 32, 51]
    job = import_rows(
        desk, conversations=[{"id": number, "status": status} for number, status in enumerate(statuses, 1)]
    )
    assert [ticket(desk, number).status for number in range(1, 9)] == [
        "open", "pending", "closed", "open", "open", "pending", "closed", "closed",
    ]  # fmt: skip
    held = desk.record(job, "9", "tickets")
    assert (held.action, held.code, held.problems[0]["value"]) == ("review", "unmapped_value", "5")


@pytest.mark.req("T30")
def test_trap_8_it_takes_the_first_published_thread_as_description(desk: Desk) -> None:
    job = import_rows(
        desk,
        users=[person(1)],
        conversations=[{"id": 1, "preview": "the last one, cut"}, {"id": 2, "type": 2}, {"id": 3}],
        threads=[
            message(1, 1, state=1), message(2, 1, **LINE_ITEM | {"state": 2}), message(3, 1, first=True),
            message(4, 1, first=True), message(5, 2, type=3, created_by_user_id=1), message(6, 2),
        ],
    )  # fmt: skip
    assert [ticket(desk, number).description for number in (1, 2, 3)] == ["<p>message 3</p>", "<p>message 5</p>", None]
    assert [ticket(desk, number).channel for number in (1, 2)] == ["email", "phone"]
    assert ticket(desk, 1).description_format == "html"
    assert sorted(_ids("comments")) == ["4", "6"]
    assert desk.outcomes(job, "comments") == {"read": 2, "created": 2}


@pytest.mark.req("T30")
def test_trap_9_it_makes_no_comments_of_history_drafts_and_hidden_messages(desk: Desk) -> None:
    job = import_rows(
        desk,
        conversations=[{"id": 1}],
        threads=[message(1, 1), message(2, 1, **LINE_ITEM), message(3, 1, state=1), message(4, 1, state=3), message(5, 1),
                 message(6, 1, body=" "), message(7, 1, body=None), message(8, 1, type=8)],
    )  # fmt: skip
    assert desk.outcomes(job, "comments") == {"read": 3, "created": 3}
    assert [comment(desk, number).content for number in (5, 6, 7)] == ["<p>message 5</p>", "(no text)", "(no text)"]


@pytest.mark.req("T30")
def test_trap_10_it_keeps_notes_internal(desk: Desk) -> None:
    import_rows(
        desk,
        users=[person(1)],
        conversations=[{"id": 1}],
        threads=[
            message(1, 1),
            message(2, 1, type=3, created_by_user_id=1),
            message(3, 1, type=2, created_by_user_id=1),
        ],
    )
    assert [(comment(desk, n).is_internal, comment(desk, n).author_kind) for n in (2, 3)] == [
        (True, "agent"),
        (False, "agent"),
    ]


@pytest.mark.req("T30")
def test_trap_11_it_follows_merges_of_merges_to_the_ticket_that_is_left(desk: Desk) -> None:
    job = import_rows(
        desk,
        users=[person(1)],
        conversations=[{"id": 1}, *({"id": number, "state": 3} for number in range(2, 8))],
        threads=[merged_into(1, 2, 1), merged_into(2, 3, 2), merged_into(3, 4, 5), merged_into(4, 5, 4),
                 merged_into(5, 6, 99), {"id": 6, "conversation_id": 7, "action_type": 4, "meta": "not JSON \"mic\"", **LINE_ITEM}],
        timelogs=[log(1, 1, 60), log(2, 2, 120), log(3, 3, 180), log(4, 4, 240), log(5, 6, 300), log(6, 7, 360)],
    )  # fmt: skip
    assert desk.outcomes(job, "time_entries") == {"read": 3, "created": 3}
    assert [entry.duration for entry in TimeEntry.objects.filter(ticket=ticket(desk, 1)).order_by("duration")] == [
        1,
        2,
        3,
    ]


@pytest.mark.req("T30")
def test_trap_12_it_rounds_seconds_row_by_row_and_keeps_them(desk: Desk) -> None:
    seconds = [29, 30, 89, 90, 3600]
    import_rows(
        desk,
        users=[person(1)],
        conversations=[{"id": 1}],
        timelogs=[
            log(number, 1, value, created_at=f"2024-01-0{number} 10:00") for number, value in enumerate(seconds, 1)
        ],
    )
    assert entries() == [(0, 29), (1, 30), (1, 89), (2, 90), (60, 3600)]
    assert TimeEntry.objects.order_by("created_at")[0].started_at == datetime(2024, 1, 1, 9, tzinfo=UTC)


@pytest.mark.req("T30", "E20", "T22")
def test_trap_13_it_leaves_running_timers_and_marks_odd_durations(desk: Desk) -> None:
    job = import_rows(
        desk,
        users=[person(1)],
        conversations=[{"id": 1}],
        timelogs=[log(1, 1, 0), log(2, 1, -600), log(3, 1, 90_000), log(4, 1, 60, finished=False, paused=True),
                  log(5, 1, 0, finished=False)],
    )  # fmt: skip
    assert desk.outcomes(job, "time_entries") == {"read": 3, "created": 3}
    assert sorted(entries()) == [(-10, -600), (0, 0), (1500, 90_000)]
    assert [codes(desk, job, number, "time_entries") for number in (1, 2, 3)] == [{"unusual_duration"}] * 3
    assert {answer.name: answer.value for answer in report(desk).probes}["running_timers"] == 2


@pytest.mark.req("T30", "T22")
def test_trap_14_it_counts_the_logs_whose_conversation_is_gone(desk: Desk) -> None:
    job = import_rows(
        desk,
        users=[person(1)],
        conversations=[{"id": 1}, {"id": 2, "state": 3}, {"id": 3, "status": 4}, {"id": 4, "state": 3}],
        threads=[merged_into(1, 4, 1)],
        timelogs=[
            log(1, 1, 60),
            log(2, 2, 60),
            log(3, 3, 60),
            log(4, 99, 60),
            log(5, 4, 60),
            log(6, 2, 60, finished=False),
        ],
    )
    assert desk.outcomes(job, "time_entries") == {"read": 2, "created": 2}
    assert {answer.name: answer.value for answer in report(desk).probes}["time_logs_left_out"] == 3


@pytest.mark.req("T30", "E16")
def test_trap_15_it_knows_people_from_robots_and_frees_addresses_of_deleted_ones(desk: Desk) -> None:
    import_rows(
        desk,
        users=[
            person(
                1, first_name="Ann", last_name="Lee", role=2, timezone="Europe/Berlin", phone="+49", job_title="Tech"
            ),
            person(2, first_name="Ann", last_name="Lee", status=2, timezone="Mars/Base"),
            person(3, first_name=" Bob ", email="Bob@x.com_deleted20240101101500", status=3),
            person(4, type=2, email="fs1@example.org"),
        ],
        conversations=[{"id": 1, "user_id": 4, "created_by_user_id": 4}, {"id": 2, "user_id": 3}],
        threads=[
            message(1, 1),
            message(2, 1, type=2, created_by_user_id=4),
            message(3, 1, type=2, created_by_user_id=3),
        ],
    )
    agents = User.objects.filter(user_type="agent", pk__in=[desk.target_of("agents", key) for key in _ids("agents")])
    assert list(agents.order_by("email").values_list("name", "email", "is_active", "timezone", "custom_fields")) == [
        ("Ann Lee", "agent1@desk.example", True, "Europe/Berlin", {"role": "admin"}),
        ("Ann Lee", "agent2@desk.example", False, "UTC", {"role": "agent"}),
        ("Bob", "bob@x.com", False, "UTC", {"role": "agent"}),
    ]
    assert not any(agent.is_superuser or agent.has_usable_password() for agent in agents)
    assert (ticket(desk, 1).agent, ticket(desk, 2).agent.name) == (None, "Bob")
    assert (comment(desk, 2).author, comment(desk, 2).author_kind) == (None, "system")
    assert (comment(desk, 3).author.name, comment(desk, 3).author_kind) == ("Bob", "agent")


@pytest.mark.req("T30", "E3", "E4")
def test_trap_16_it_keeps_agent_and_customer_apart_and_holds_the_second_of_a_case_pair(desk: Desk) -> None:
    job = import_rows(
        desk,
        users=[person(1, email="ann@x.com")],
        customers=[customer(1), customer(2), customer(3)],
        emails=[email(1, 1, "ann@x.com"), email(2, 2, "bob@x.com"), email(3, 3, "Bob@X.com")],
    )
    people = User.objects.filter(email="ann@x.com").order_by("user_type")
    assert list(people.values_list("user_type", "name")) == [("account_user", "Customer1"), ("agent", "Agent1")]
    held = desk.record(job, "3", "customers")
    assert (held.action, held.code) == ("review", "unique_conflict")
    assert desk.outcomes(job, "customers") == {"read": 3, "created": 2, "review": 1}


@pytest.mark.req("T30", "E26")
def test_trap_17_it_bears_customers_that_are_gone_or_changed(desk: Desk) -> None:
    import_rows(
        desk,
        customers=[customer(1), customer(2)],
        emails=[email(1, 1, "now@x.com"), email(2, 2, "two@x.com")],
        conversations=[{"id": 1, "customer_id": None}, {"id": 2, "customer_id": 99, "customer_email": "gone@x.com"},
                       {"id": 3, "customer_id": 1, "customer_email": "before@x.com"}],
        threads=[message(1, 3, created_by_customer_id=1), message(2, 3, created_by_customer_id=2, **{"from": "two@x.com"}),
                 message(3, 3, created_by_customer_id=99, **{"from": "gone@x.com"})],
    )  # fmt: skip
    assert [ticket(desk, number).customer for number in (1, 2)] == [None, None]
    assert [ticket(desk, number).customer_email for number in (1, 2, 3)] == [None, "gone@x.com", "before@x.com"]
    assert ticket(desk, 3).customer.email == "now@x.com"
    assert (comment(desk, 2).author.name, comment(desk, 2).author_kind) == ("Customer2", "customer")
    assert (comment(desk, 3).author, comment(desk, 3).author_kind) == (None, "customer")
    assert comment(desk, 3).author_email == "gone@x.com"


@pytest.mark.req("T30", "E6")
def test_trap_18_it_names_what_has_no_subject_and_keeps_long_ones(desk: Desk) -> None:
    long = "Re: line\r\n\tbreak " + "ü" * 981
    subjects = [None, "", "  ", long]
    job = import_rows(desk, conversations=[{"id": number, "subject": text} for number, text in enumerate(subjects, 1)])
    assert len(long) == 998
    assert [ticket(desk, number).title for number in (1, 2, 3, 4)] == ["(no subject)"] * 3 + [long]
    assert ["empty_replaced" in codes(desk, job, number, "tickets") for number in (1, 2, 3, 4)] == [
        True,
        True,
        True,
        False,
    ]


@pytest.mark.req("T30")
def test_trap_19_it_takes_the_first_phone_from_a_list_or_an_object_and_bears_broken_json(desk: Desk) -> None:
    texts = {
        None: None,
        "[]": None,
        '[{"value":"+49 40\\/123","type":1,"n":"4940123"},{"value":"2","type":4}]': "+49 40/123",
        '{"1":{"value":"77","type":1}}': "77",
        '[{"value":"","type":1},{"value":" 88 ","type":1}]': "88",
        '[{"value":"+49 4': None,
        "not json": None,
        "0": None,
    }
    import_rows(desk, customers=[customer(number, phones=text) for number, text in enumerate(texts, 1)])
    found = customers_of(desk)
    assert [found[str(number)].phone for number in range(1, len(texts) + 1)] == list(texts.values())


@pytest.mark.req("T21", "T23")
def test_trap_20_it_says_so_where_truths_are_numbers(desk: Desk) -> None:
    create_tables(desk.url)
    desk.execute("ALTER TABLE timelogs ALTER finished DROP DEFAULT")
    desk.execute("ALTER TABLE timelogs ALTER finished TYPE smallint USING finished::int")
    found = next(query for query in report(desk).queries if query.key == "time_entries")
    assert found.status == "missing"
    assert found.type_differences == ("timelogs.finished is smallint; a boolean is expected.",)


@pytest.mark.req("T30")
def test_trap_21_it_keeps_bodies_byte_for_byte(desk: Desk) -> None:
    bodies = [
        '<script>alert("x")</script><p onclick="x()">Hi</p>',
        f'<img src="data:image/png;base64,{"iVBOR" * 66_000}">',
        "<blockquote>" + "wörld &amp; \\ \t" * 90_000 + "</blockquote>",
    ]
    import_rows(
        desk,
        conversations=[{"id": 1}],
        threads=[message(1, 1), *(message(number, 1, body=text) for number, text in enumerate(bodies, 2))],
    )
    assert [comment(desk, number).content == text for number, text in enumerate(bodies, 2)] == [True] * 3
    assert {comment(desk, number).body_format for number in (2, 3, 4)} == {"html"}


@pytest.mark.req("T30", "E13")
def test_trap_22_it_keeps_the_number_that_people_know(desk: Desk) -> None:
    job = import_rows(
        desk, conversations=[{"id": 3, "number": 1044}, {"id": 1044, "number": 2085}, {"id": 5, "number": 1044}]
    )
    assert (ticket(desk, 3).ticket_number, ticket(desk, 1044).ticket_number) == ("1044", "2085")
    assert ticket(desk, 5).ticket_number.startswith("TKT-")
    assert "number_taken" in codes(desk, job, 5, "tickets")


@pytest.mark.req("T30", "T23", "T24")
def test_it_takes_tags_and_attachments_and_does_without_the_modules_that_are_absent(desk: Desk) -> None:
    rows: dict[str, list[dict[str, Any]]] = {
        "users": [person(1)],
        "customers": [customer(1, company="ACME")],
        "conversations": [{"id": 1, "customer_id": 1}],
        "threads": [message(1, 1), message(2, 1, message_id="<2@x>", edited_at="2024-01-01 12:00")],
        "attachments": [
            {"id": 1, "thread_id": 1, "file_name": "a.txt", "mime_type": "text/plain", "size": 3},
            {"id": 2, "thread_id": 2, "file_name": "b.pdf", "mime_type": "application/pdf", "size": 4},
        ],
        "tags": [{"id": 1, "name": "vip"}, {"id": 2, "name": "y" * 100}],
        "conversation_tag": [
            {"id": 1, "conversation_id": 1, "tag_id": 1},
            {"id": 2, "conversation_id": 1, "tag_id": 2},
        ],
    }
    import_rows(desk, **rows)
    assert ticket(desk, 1).tags == ["vip", "y" * 64]
    assert ticket(desk, 1).custom_fields == {"attachments": [{"name": "a.txt", "size": 3, "mime": "text/plain"}]}
    assert comment(desk, 2).attachments == [{"name": "b.pdf", "size": 4, "mime": "application/pdf"}]
    assert (comment(desk, 2).message_id, comment(desk, 2).edited_at) == ("<2@x>", datetime(2024, 1, 1, 11, tzinfo=UTC))

    desk.execute("DROP TABLE timelogs, tags, conversation_tag")
    job = import_again(desk)
    assert desk.outcomes(job) == {"read": 5, "unchanged": 5}
    off = desk.profile.queries.get(key="time_entries")
    assert (off.enabled, off.disabled_reason) == (False, "time tracking module not found")
    assert ticket(desk, 1).tags == ["vip", "y" * 64]


@pytest.mark.req("T32")
def test_it_imports_no_row_twice(desk: Desk) -> None:
    import_rows(
        desk,
        users=[person(1)],
        customers=[customer(1, company="ACME")],
        emails=[email(1, 1, "a@x.com")],
        conversations=[{"id": 1, "customer_id": 1}],
        threads=[message(1, 1), message(2, 1)],
        timelogs=[log(1, 1, 60)],
    )
    job = desk.run()
    assert desk.outcomes(job) == {"read": 6, "unchanged": 6}
    counts = [model.objects.count() for model in (Account, Ticket, TicketComment, TimeEntry)]
    assert counts == [1, 1, 1, 1]
