"""The builder's forms: every change goes into the draft and comes back in the blocks."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from importer.models import ImportProfile, QueryDraft
from importer.operations.drafts import body_in
from importer.sources.params import ConnectionParams
from importer.web.builder import workbench
from tests.conftest import person
from tests.web.builder_desk import HOSTILE
from tests.web.test_safety import Dangers

HTMX = {"HTTP_HX_REQUEST": "true"}


class Bench:
    """Alice at the builder of the shop."""

    def __init__(self, client: Any, profile: ImportProfile) -> None:
        self.client, self.profile, self.key = client, profile, ""

    def url(self, name: str = "builder_query", **query: str) -> str:
        address = reverse(name, args=[self.profile.pk, self.key])
        return f"{address}?{'&'.join(f'{key}={value}' for key, value in query.items())}" if query else address

    def begin(self, target: str, table: str = "", name: str = "") -> Bench:
        answer = self.client.post(reverse("builder", args=[self.profile.pk]), {"target_type": target, "name": name})
        self.key = answer["Location"].rsplit("/", 1)[1]
        return self.change("base.set", table=table) if table else self

    def change(self, action: str, **form: Any) -> Bench:
        """A change that must be accepted."""
        answer = self.send(action, **form)
        assert answer.status_code == 302, answer.content.decode()[:2000]
        return self

    def send(self, action: str, *, htmx: bool = False, **form: Any) -> Any:
        return self.client.post(self.url("builder_change"), {"action": action, **form}, **(HTMX if htmx else {}))

    def page(self, **query: str) -> str:
        return self.client.get(self.url(**query)).content.decode()

    def result(self) -> str:
        return self.client.get(self.url("builder_result"), **HTMX).content.decode()

    @property
    def draft(self) -> QueryDraft:
        return QueryDraft.objects.get(profile=self.profile, key=self.key, user__username="alice")

    @property
    def body(self) -> dict[str, Any]:
        return body_in(self.draft)

    def map(self, **fields: str) -> Bench:
        for target, source in fields.items():
            self.change("fields.set", target=target, source=source)
        return self


@pytest.fixture
def bench(shop: ImportProfile, alice: Any, logged_in: Callable[[Any], Any]) -> Bench:
    return Bench(logged_in(alice), shop)


@pytest.fixture
def tickets(bench: Bench) -> Bench:
    """A query of cases with the required fields mapped."""
    bench.begin("tickets", "cases")
    return bench.map(external_id="cases.id", title="cases.title", description="cases.description")


@pytest.mark.req("Q36")
def test_steps_are_done_in_any_order_and_say_what_is_missing(bench: Bench) -> None:
    """A filter and a join first, the table last: each block is there, and nothing of it is lost."""
    bench.begin("tickets").change("joins.add", table="people").change("filters.add")
    text = bench.page()
    for block in ("b-base", "b-joins", "b-fields", "b-filters", "b-one", "b-order"):
        assert f'id="{block}"' in text

    def mark(text: str, block: str) -> str:
        return " ".join(re.sub("<[^>]+>", " ", text.split(f'id="{block}"', 1)[1].split("</header>", 1)[0]).split())

    assert mark(text, "b-base").endswith("missing")
    assert "3 required missing" in mark(text, "b-fields")
    assert (len(bench.body["joins"]), len(bench.body["filters"]["items"])) == (1, 1)
    bench.change("base.set", table="cases").map(
        external_id="cases.id", title="cases.title", description="cases.description"
    )
    text = bench.page()
    assert "done" in mark(text, "b-base")
    assert "complete" in mark(text, "b-fields")
    assert (len(bench.body["joins"]), len(bench.body["filters"]["items"])) == (1, 1)


# -- the page ----------------------------------------------------------------------------------------------------


@pytest.mark.req("U20", "Q1")
def test_it_begins_with_the_question_what_to_import(bench: Bench) -> None:
    page = bench.client.get(reverse("builder", args=[bench.profile.pk]))
    assert "What do you want to import first?" in page.content.decode()
    bench.begin("tickets", name="Old cases")
    assert bench.key == "old-cases"
    assert "Choose the table to start with" in bench.page()


def test_it_opens_the_first_query(tickets: Bench) -> None:
    tickets.client.post(tickets.url("builder_save"))
    assert tickets.client.get(reverse("builder", args=[tickets.profile.pk]))["Location"] == tickets.url()


def test_it_refuses_an_unknown_kind_of_thing(bench: Bench) -> None:
    answer = bench.client.post(reverse("builder", args=[bench.profile.pk]), {"target_type": "nonsense"})
    assert answer.status_code == 422
    assert "Say what the rows become." in answer.content.decode()


def test_it_knows_no_query_that_nobody_began(bench: Bench) -> None:
    bench.key = "nothing"
    assert bench.client.get(bench.url()).status_code == 404


@pytest.mark.req("N-149")
def test_it_opens_with_a_bounded_number_of_queries(
    tickets: Bench, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_max_num_queries(16):
        tickets.page()
    with django_assert_max_num_queries(28):  # a lock and a savepoint among them
        tickets.send("fields.set", htmx=True, target="title", source="UPPER(cases.title)")


# -- tables ------------------------------------------------------------------------------------------------------


@pytest.mark.req("I8", "U21")
@pytest.mark.parametrize(
    ("asked", "found", "matched"), [("customers asked", "cases", "comment"), ("org_id", "people", "column org_id")]
)
def test_it_finds_tables_by_comment_and_column(bench: Bench, asked: str, found: str, matched: str) -> None:
    bench.begin("tickets")
    answer = bench.client.get(reverse("builder_tables", args=[bench.profile.pk]), {"q": asked, "key": bench.key})
    text = answer.content.decode()
    assert f'data-table="public.{found}"' in text
    assert matched in text
    assert 'data-table="public.settings"' not in text


def test_it_hides_empty_tables(bench: Bench) -> None:
    bench.begin("tickets")
    text = bench.client.get(
        reverse("builder_tables", args=[bench.profile.pk]), {"hide_empty": "1", "key": bench.key}
    ).content.decode()
    assert "public.cases" in text
    assert "public.sessions" not in text


@pytest.mark.req("I9")
def test_it_tells_a_tables_details_and_hides_peoples_values(bench: Bench) -> None:
    bench.begin("tickets")
    ask = {"name": "people", "schema": "public", "key": bench.key, "column": "email"}
    text = bench.client.get(reverse("builder_table", args=[bench.profile.pk]), ask).content.decode()
    assert "about 12 rows" in text
    assert "PK" in text
    assert "personal data hidden" in text
    assert "p1@shop.example" not in text
    ask["column"] = "active"
    text = bench.client.get(reverse("builder_table", args=[bench.profile.pk]), ask).content.decode()
    assert "Frequent values of active" in text


def test_it_pages_two_thousand_tables(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    from dataclasses import replace

    source, _ = workbench.source_of(bench.profile)
    assert source is not None
    one = source.schema.tables[0]
    many = tuple(replace(one, name=f"table_{number:04}") for number in range(2000))
    large = replace(source, schema=replace(source.schema, tables=many))
    monkeypatch.setattr("importer.operations.source_map", lambda *_, **__: large)
    bench.begin("tickets")
    page = bench.page()
    assert page.count('class="b-branch') == 80
    assert "Show more of 2,000" in page
    assert len(page) < 400_000
    text = bench.client.get(reverse("builder_tables", args=[bench.profile.pk]), {"start": "1920", "key": bench.key})
    assert "table_1999" in text.content.decode()
    assert "Show more" not in text.content.decode()


@pytest.mark.req("U21", "Q33")
def test_it_asks_before_another_base_table_drops_mappings(tickets: Bench) -> None:
    answer = tickets.send("base.set", table="people")
    text = answer.content.decode()
    assert answer.status_code == 200
    assert "the mapping cases.title → title" in text
    assert tickets.body["base_table"]["table"] == "cases"
    tickets.change("base.set", table="people", confirmed="1")
    assert tickets.body["base_table"]["table"] == "people"
    assert tickets.body["fields"] == []


def test_it_says_which_table_was_meant(bench: Bench) -> None:
    bench.begin("tickets").change("base.set", table="casess")
    assert "Did you mean cases?" in bench.page()


# -- joins -------------------------------------------------------------------------------------------------------


@pytest.mark.req("U22", "Q8")
def test_it_offers_joins_with_evidence_and_multiplicity(bench: Bench) -> None:
    text = bench.begin("tickets", "people").result()
    assert "people.org_id = orgs.id" in text
    assert "sampled values exist in orgs.id" in text
    assert "at most one of orgs: the number of rows stays." in text
    assert "rows \u00d7 2.5" in text  # thirty cases of twelve people


def test_it_adds_a_suggested_join_and_counts_after_it(bench: Bench) -> None:
    bench.begin("tickets", "people").result()
    proposal = next(item for item in posted(bench.page()) if item["table"] == "cases")
    bench.change("joins.add", join=json.dumps(proposal))
    text = bench.result()
    assert "rows \u00d7 2.5" in text
    assert "LEFT JOIN" in text


def posted(page: str) -> list[dict[str, Any]]:
    """The joins that a page's buttons would add."""
    from html.parser import HTMLParser

    found: list[dict[str, Any]] = []

    class Buttons(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            given = dict(attrs)
            if tag == "button" and given.get("name") == "join":
                found.append(json.loads(given["value"] or ""))

    Buttons().feed(page)
    return found


@pytest.mark.req("Q23")
def test_it_joins_by_hand_and_takes_the_first_partner(bench: Bench) -> None:
    bench.begin("customer_users", "people").change("joins.add", table="phones")
    assert "has no condition yet" in bench.result()
    bench.change(
        "joins.set", number="0", type="left", left="people.id", operator="=", right="phones.person_id", take="first"
    )
    join = bench.body["joins"][0]
    assert join["take"]["order_by"] == [{"expression": "phones.id", "direction": "asc", "nulls": ""}]
    text = bench.map(external_id="people.id", phone="phones.number").result()
    assert "<b>12</b>" in text
    assert "b-mark" not in text  # the number of rows did not change


def test_it_combines_partners(bench: Bench) -> None:
    bench.begin("customer_users", "people").change("joins.add", table="phones")
    given = {"number": "0", "type": "left", "left": "people.id", "operator": "=", "right": "phones.person_id"}
    bench.change("joins.set", **given).map(external_id="people.id", phone="phones.number")
    bench.change("joins.set", **given, take="aggregate")
    assert bench.body["joins"][0]["take"]["columns"][0]["function"] == "STRING_AGG"
    assert "runs" in bench.result()


def test_it_adds_another_pair_of_columns(bench: Bench) -> None:
    bench.begin("tickets", "people").change("joins.add", table="cases")
    bench.change(
        "joins.condition", number="0", type="inner", left="people.id", operator="=", right="cases.person_id",
        where="cases.state = 1",
    )  # fmt: skip
    join = bench.body["joins"][0]
    assert [pair["left"] for pair in join["conditions"]] == ["people.id", ""]
    assert (join["type"], join["where"]) == ("inner", "cases.state = 1")


@pytest.mark.req("M1")
def test_it_tells_what_removing_a_join_drops(bench: Bench) -> None:
    bench.begin("tickets", "cases").change("joins.add", table="people")
    bench.change("joins.set", number="0", type="left", left="cases.person_id", operator="=", right="people.id")
    bench.map(customer_email="people.email")
    bench.change("filters.add").change("filters.set", place="0", field="people.active", operator="=", value="true")
    text = bench.send("joins.remove", htmx=True, number="0").content.decode()
    assert "the mapping people.email → customer_email" in text
    assert "the filter people.active =" in text
    bench.change("joins.remove", number="0", confirmed="1")
    assert (bench.body["joins"], bench.body["fields"], bench.body["filters"]["items"]) == ([], [], [])


@pytest.mark.parametrize("join", ["no json", "[]", '{"table": 5}', '{"conditions": [5]}'])
def test_it_refuses_a_suggestion_it_never_made(bench: Bench, join: str) -> None:
    bench.begin("tickets", "cases").change("joins.add", join=join)
    assert bench.body["joins"] == []
    assert "cannot be read" in bench.page()


# -- fields ------------------------------------------------------------------------------------------------------


@pytest.mark.req("U23", "M9")
def test_it_lists_required_fields_first_and_what_is_missing(bench: Bench) -> None:
    page = bench.begin("tickets", "cases").page()
    assert "Missing: External ID, Title, Description" in page
    assert page.index('name="target" value="title"') < page.index('name="target" value="status"')


def test_it_maps_equal_names_and_keeps_what_is_mapped(bench: Bench) -> None:
    bench.begin("tickets", "cases").map(title="UPPER(cases.title)").change("fields.auto")
    found = {item["target"]: item["source"] for item in bench.body["fields"]}
    assert found["title"] == "UPPER(cases.title)"
    assert found["description"] == "cases.description"
    assert found["external_id"] == "cases.id"


@pytest.mark.req("M6")
def test_it_shows_raw_and_transformed_samples(tickets: Bench) -> None:
    tickets.change("fields.set", target="queue", source="cases.state")
    tickets.change("fields.step", target="queue", source="cases.state", transformation="replace")
    given = {"target": "queue", "source": "cases.state", "p0.old": "1", "p0.new": "open"}
    tickets.change("fields.set", **given)
    queue = next(item for item in tickets.body["fields"] if item["target"] == "queue")
    assert queue["transformation"] == [{"name": "replace", "params": {"old": "1", "new": "open"}}]
    sample = tickets.result().split('id="b-sample-queue"')[1].split("</div>")[0]
    assert "→" in sample
    assert "open" in sample


def test_it_orders_and_removes_transformations(tickets: Bench) -> None:
    for name in ("trim", "upper"):
        tickets.change("fields.step", target="title", source="cases.title", transformation=name)
    tickets.change("fields.raise:1", target="title", source="cases.title")
    assert names_of(tickets) == ["upper", "trim"]
    tickets.change("fields.unstep:0", target="title", source="cases.title")
    assert names_of(tickets) == ["trim"]


def names_of(bench: Bench) -> list[str]:
    title = next(item for item in bench.body["fields"] if item["target"] == "title")
    return [step["name"] for step in title["transformation"]]


def test_it_reads_cases_line_by_line(tickets: Bench) -> None:
    given = {"target": "status", "source": "cases.state"}
    tickets.change("fields.set", **given).change("fields.step", **given, transformation="case_when")
    tickets.change("fields.set", **given, **{"p0.cases": "1 => open\n>= 2 => closed", "p0.else": "new"})
    step = tickets.body["fields"][-1]["transformation"][0]
    assert step["params"]["cases"] == [
        {"when": {"operator": "=", "value": "1"}, "then": "open"},
        {"when": {"operator": ">=", "value": 2}, "then": "closed"},
    ]
    assert "&gt;= 2 =&gt; closed" in tickets.page()


@pytest.mark.req("M4", "M15")
def test_it_joins_columns_and_sets_the_write_rule(bench: Bench) -> None:
    bench.begin("customer_users", "people")
    bench.change("fields.set", target="name", source=["people.full_name", "people.email"], separator=" - ")
    bench.change(
        "fields.set", target="name", source=["people.full_name", "people.email", ""], separator=" - ",
        write_rule="if_empty", empty_values="keep",
    )  # fmt: skip
    name = bench.body["fields"][0]
    assert (name["sources"], name["separator"]) == (["people.full_name", "people.email"], " - ")
    assert (name["write_rule"], name["empty_values"]) == ("if_empty", "keep")
    bench.change("fields.set", target="name", source=["people.full_name", ""])
    assert bench.body["fields"][0]["source"] == "people.full_name"


def test_it_keeps_or_ignores_columns_nobody_reads(tickets: Bench) -> None:
    tickets.change("fields.keep:cases.state").change("fields.ignore:cases.opened_at")
    tickets.client.post(tickets.url("builder_save"))
    assert tickets.body["fields"][-1]["target"] == "custom_fields.state"
    page = tickets.page()
    assert "fields.keep:cases.person_id" in page
    assert "fields.keep:cases.opened_at" not in page


@pytest.mark.req("U23")
def test_it_keeps_mappings_the_other_target_has(tickets: Bench) -> None:
    text = tickets.send("target.set", htmx=True, target_type="accounts").content.decode()
    assert "the mapping cases.title → title" in text
    assert "the mapping cases.id → external_id" not in text
    tickets.change("target.set", target_type="accounts", confirmed="1")
    assert {item["target"] for item in tickets.body["fields"]} == {"external_id", "description"}


def test_it_takes_a_mapping_away(tickets: Bench) -> None:
    tickets.change("fields.remove", target="title")
    assert "title" not in {item["target"] for item in tickets.body["fields"]}


# -- filters -----------------------------------------------------------------------------------------------------


@pytest.mark.req("U21a", "F7")
def test_it_nests_groups_and_counts_live(tickets: Bench) -> None:
    tickets.change("filters.add").change("filters.set", place="0", field="cases.state", operator="=", value="1")
    tickets.change("filters.group", place="").change("filters.op", place="1", op="or")
    tickets.change("filters.set", place="1.0", field="cases.id", operator="<=", value="10")
    tickets.change("filters.duplicate", place="1.0")
    assert tickets.body["filters"]["items"][1] == {
        "op": "or", "items": [{"field": "cases.id", "operator": "<=", "value": "10"}] * 2,
    }  # fmt: skip
    text = tickets.result()
    assert "<b>5</b>" in text
    assert " of 30" in text
    tickets.change("filters.remove", place="1.0").change("filters.remove", place="1.0")
    assert len(tickets.body["filters"]["items"]) == 1


@pytest.mark.parametrize(
    ("form", "kept"),
    [
        ({"operator": "IN", "value": '1, "2,5"'}, '1, "2,5"'),
        ({"operator": "BETWEEN", "value": ["1", "4"]}, ["1", "4"]),
        ({"operator": "IS NULL"}, None),
        ({"operator": ">=", "value": "-6 months"}, {"relative": "-6 months"}),
        ({"operator": "DATE_TRUNC", "value": "2024-01-01", "unit": "week"}, {"unit": "week", "value": "2024-01-01"}),
        ({"operator": "contains", "value": " a b "}, " a b "),
    ],
)
def test_it_reads_each_kind_of_value(tickets: Bench, form: dict[str, Any], kept: Any) -> None:
    tickets.change("filters.add").change("filters.set", place="0", field="cases.opened_at", **form)
    assert tickets.body["filters"]["items"][0].get("value") == kept


@pytest.mark.req("F10")
def test_it_says_what_is_wrong_at_the_filter(tickets: Bench) -> None:
    tickets.change("filters.add").change("filters.set", place="0", field="cases.state", operator="=", value="many")
    note = tickets.result().split('id="b-filters-0-note"')[1].split("</div>")[0]
    assert "is not a value of it" in note


@pytest.mark.req("F8")
def test_it_offers_filters_with_the_rows_each_leaves(tickets: Bench) -> None:
    text = tickets.client.get(tickets.url("builder_offers"), **HTMX).content.decode()
    assert "leaves <b>15</b>" in text
    tickets.change("filters.offer", condition=json.dumps({"field": "cases.state", "operator": "=", "value": 1}))
    assert tickets.body["filters"]["items"] == [{"field": "cases.state", "operator": "=", "value": 1}]
    tickets.change("filters.offer", condition='{"field": 5}')
    assert "cannot be read" in tickets.page()


@pytest.mark.parametrize("place", ["7", "0.0", "x", ""])
def test_it_survives_a_filter_that_is_gone(tickets: Bench, place: str) -> None:
    tickets.change("filters.add").change("filters.remove", place=place)
    assert len(tickets.body["filters"]["items"]) == 1


def test_it_finds_the_filter_that_is_wrong_behind_an_unfinished_one(tickets: Bench) -> None:
    tickets.change("filters.add").change("filters.add")
    tickets.change("filters.set", place="1", field="cases.state", operator="=", value="many")
    text = tickets.result()
    assert "is not finished" in text.split('id="b-filters-0-note"')[1].split("</div>")[0]
    assert "is not a value of it" in text.split('id="b-filters-1-note"')[1].split("</div>")[0]


# -- one row per -------------------------------------------------------------------------------------------------


@pytest.mark.req("Q22")
def test_it_groups_rows_and_keeps_the_first_of_a_key(bench: Bench) -> None:
    bench.begin("accounts", "people").change("one.set", mode="group", column=["people.org_id", ""])
    bench.map(external_id="people.org_id", name="MIN(people.full_name)")
    bench.change("filters.add", root="having")
    bench.change("filters.set", root="having", place="0", field="COUNT(*)", operator=">", value="1")
    text = bench.result()
    assert "runs" in text
    assert "<b>3</b>" in text
    bench.change("one.set", mode="distinct", column="people.org_id", order="people.id", direction="desc")
    assert bench.body["distinct_on"]["order_by"][0]["direction"] == "desc"
    assert bench.body["having"]["items"] == []
    bench.change("one.set", mode="rows")
    assert (bench.body["group_by"], bench.body["distinct_on"]) == ([], None)


# -- SQL of its own ----------------------------------------------------------------------------------------------


@pytest.mark.req("Q24")
def test_it_shows_a_query_written_in_sql_without_blocks(
    bench: Bench, root: Any, logged_in: Callable[[Any], Any]
) -> None:
    from importer import operations

    body = {"kind": "sql", "key": "raw", "target_type": "accounts", "sql": "SELECT id AS external_id, name FROM orgs"}
    operations.save_query(bench.profile, body, by=root)
    bench.key = "raw"
    page = bench.page()
    assert "Written in SQL" in page
    assert "b-base-table" not in page
    assert "<b>3</b>" in bench.result() or "First 3 rows" in bench.result()


@pytest.fixture
def author(tickets: Bench, alice: Any) -> Bench:
    """Alice with her query of cases, saved, and the right to write SQL."""
    alice.grants.create(permission="import.raw_sql")
    tickets.change("filters.add").change("filters.set", place="0", field="cases.id", operator="<=", value="10")
    tickets.client.post(tickets.url("builder_save"))
    return tickets


@pytest.mark.req("Q25", "Q26", "U21b")
def test_it_goes_on_as_sql_and_back_by_the_history(author: Bench) -> None:
    blocks = author.profile.queries.get().spec
    assert "There is no way back to blocks but the history" in author.page(show="1")
    answer = author.client.post(author.url("builder_sql"))
    assert answer["Location"].endswith("#b-sql-edit")
    query = author.profile.queries.get()
    assert (query.spec["kind"], query.version) == ("sql", 2)
    assert [(item["source"], item["target"]) for item in query.spec["fields"]] == [
        ("external_id", "external_id"), ("title", "title"), ("description", "description"),
    ]  # fmt: skip
    page = author.page(show="1")
    assert "WHERE ((&quot;t0&quot;.&quot;id&quot; &lt;= :p0))" in page
    assert '<option value="title"' in page  # the columns of the text are what fields can take
    assert "First 10 rows" in page
    author.client.post(author.url("builder_restore"), {"number": "1"})
    assert author.profile.queries.get().spec == blocks
    assert "b-base-table" in author.page()


@pytest.mark.req("Q25")
def test_it_saves_unsaved_blocks_before_they_become_sql(author: Bench) -> None:
    author.map(queue="cases.state")
    author.client.post(author.url("builder_sql"))
    versions = list(author.profile.queries.get().versions.order_by("number"))
    assert [version.spec["kind"] for version in versions] == ["builder", "builder", "sql"]
    assert "queue" in {item["target"] for item in versions[1].spec["fields"]}
    assert "&quot;queue&quot;" in author.page()


@pytest.mark.req("Q25")
def test_it_stays_in_blocks_while_they_have_an_error(author: Bench) -> None:
    author.change("filters.add")
    author.client.post(author.url("builder_sql"))
    assert author.profile.queries.get().spec["kind"] == "builder"
    assert "It stays in blocks: The filter is not finished." in author.page()


@pytest.mark.req("Q24", "Q10")
def test_it_edits_the_text_and_says_where_it_is_wrong(author: Bench) -> None:
    author.client.post(author.url("builder_sql"))
    text = "SELECT id AS external_id,\n  titel AS title,\n  description\nFROM cases WHERE state = :state"
    author.change("sql.set", sql=text.replace("\n", "\r\n"))
    assert author.body["sql"] == text
    assert author.body["params"] == {"state": ""}
    author.change("sql.set", sql=text, **{"param-state": "1"})
    result = author.result()
    assert "Line 2, column 3:" in result
    assert f'data-at="{text.index("titel")}"' in result
    author.change("sql.set", sql=text.replace("titel", "title"), **{"param-state": "1"})
    assert "First 15 rows" in author.result()
    refused = author.change("sql.set", sql="SELECT 1; DROP TABLE cases").result()
    assert "Line 1, column 9: Only one statement is allowed." in refused


@pytest.mark.req("Q24", "C11")
def test_it_lets_nobody_write_sql_without_the_right(author: Bench, alice: Any) -> None:
    author.client.post(author.url("builder_sql"))
    alice.grants.filter(permission="import.raw_sql").delete()
    assert author.send("sql.set", sql="SELECT 1 AS external_id").status_code == 403
    page = author.page()
    assert "b-sql-edit" not in page
    assert "import.raw_sql" in page
    assert author.client.post(author.url("builder_sql")).status_code == 403
    begun = {"target_type": "tickets", "kind": "sql"}
    assert author.client.post(reverse("builder", args=[author.profile.pk]), begun).status_code == 403


def test_it_begins_with_sql_and_maps_its_columns(author: Bench) -> None:
    author.client.post(reverse("builder", args=[author.profile.pk]), {"target_type": "accounts", "kind": "sql"})
    author.key = "accounts"
    assert "The query has no SQL." in author.result()
    author.change("sql.set", sql="SELECT id, name FROM orgs").change("fields.auto")
    assert {(item["source"], item["target"]) for item in author.body["fields"]} == {
        ("id", "external_id"), ("name", "name"),
    }  # fmt: skip
    assert "First 3 rows" in author.result()


@pytest.mark.req("U20")
def test_it_orders_and_limits_what_the_preview_shows(tickets: Bench) -> None:
    tickets.change("order.set", column="external_id", direction="desc", limit="10")
    result = tickets.result()
    assert "First 10 rows by external_id, largest first" in result
    shown = re.findall(r"<td>\s*(\d+)\s*</td>", result)
    assert shown == [str(number) for number in range(30, 20, -1)]
    tickets.client.post(tickets.url("builder_save"))
    assert "preview" not in tickets.profile.queries.get().spec
    assert tickets.body["preview"]["limit"] == 10
    assert "Order by a field that is mapped" in tickets.change("order.set", column="nope", limit="10").page()


@pytest.mark.req("U21c", "Q37")
def test_it_marks_the_block_that_drops_rows(author: Bench) -> None:
    assert "20 rows fewer" in author.result()


# -- result ------------------------------------------------------------------------------------------------------


@pytest.mark.req("U21b", "Q19", "X17")
def test_it_shows_rows_sql_and_parameters(tickets: Bench) -> None:
    tickets.change("filters.add").change("filters.set", place="0", field="cases.id", operator="<=", value="10")
    text = tickets.result()
    assert "First 10 rows" in text
    assert "pg_catalog" not in text
    assert "&lt;= :p0" in text or "&lt;= CAST(:p0" in text
    assert ":p0</code>" in text
    assert "Case 1" not in text  # titles are hidden without a purpose


def test_it_shows_the_tables_own_rows_while_nothing_is_mapped(bench: Bench) -> None:
    text = bench.begin("customer_users", "people").result()
    assert "nothing is mapped yet" in text
    assert "full_name" in text
    assert "p1@shop.example" not in text


@pytest.mark.req("U21b", "Q11")
def test_it_links_errors_to_their_place(tickets: Bench) -> None:
    tickets.map(queue="cases.nothing")
    text = tickets.result()
    assert 'href="#b-fields-queue"' in text
    assert 'id="b-fields-queue"' in tickets.page()


def test_it_keeps_the_draft_editable_without_the_source(tickets: Bench) -> None:
    ImportProfile.objects.filter(pk=tickets.profile.pk).update(port=1, version=9)
    page = tickets.page()
    assert "The source cannot be reached" in page
    assert "Try again" in page
    tickets.change("fields.set", target="title", source="cases.subject")
    assert "cases.subject" in tickets.page()
    assert "no answer" in tickets.result()


@pytest.mark.req("I11")
def test_it_shows_the_grant_when_nothing_is_visible(
    bench: Bench, source_database: Callable[..., str], builder_source: ConnectionParams
) -> None:
    from urllib.parse import urlsplit

    name = urlsplit(source_database("bare")).path.removeprefix("/")
    ImportProfile.objects.filter(pk=bench.profile.pk).update(database=name)
    assert "GRANT" in bench.begin("tickets").page()


def test_it_says_what_the_query_does(tickets: Bench) -> None:
    tickets.change("filters.add").change("filters.set", place="0", field="cases.state", operator="=", value="1")
    assert "Reads cases, keeps rows where cases.state is 1 and fills 3 fields of Tickets." in tickets.page()


# -- saving, undoing, other people -------------------------------------------------------------------------------


@pytest.mark.req("U21d", "Q26", "Q38")
def test_it_saves_restores_undoes_and_discards(tickets: Bench) -> None:
    answer = tickets.client.post(tickets.url("builder_save"), **HTMX)
    assert "Saved" in answer.content.decode()
    assert tickets.profile.queries.get().target_type == "tickets"
    tickets.map(queue="cases.state").change("undo")
    assert "queue" not in {item["target"] for item in tickets.body["fields"]}
    tickets.change("redo")
    assert "Unsaved changes" in tickets.page()
    tickets.client.post(tickets.url("builder_save"))
    assert tickets.profile.queries.get().version == 2
    tickets.client.post(tickets.url("builder_restore"), {"number": "1"})
    assert tickets.profile.queries.get().version == 3
    assert "queue" not in {item["target"] for item in tickets.profile.queries.get().spec["fields"]}
    tickets.page()
    tickets.map(queue="cases.state")
    tickets.client.post(tickets.url("builder_discard"))
    assert "Unsaved changes" not in tickets.page()


@pytest.mark.req("Q35")
def test_it_saves_nothing_with_an_error(tickets: Bench) -> None:
    tickets.map(queue="cases.nothing")
    answer = tickets.client.post(tickets.url("builder_save"), **HTMX)
    assert "Not saved:" in answer.content.decode()
    tickets.change("fields.remove", target="queue").change("filters.add")
    answer = tickets.client.post(tickets.url("builder_save"), **HTMX)
    assert "Not saved: The filter is not finished." in answer.content.decode()
    assert not tickets.profile.queries.exists()


@pytest.mark.req("U2", "C10")
def test_it_says_who_was_quicker_and_overwrites_on_request(tickets: Bench, logged_in: Callable[[Any], Any]) -> None:
    tickets.client.post(tickets.url("builder_save"))
    tickets.map(queue="cases.state")
    ann = Bench(logged_in(person("ann", name="Ann Lee", is_superuser=True)), tickets.profile)
    ann.key = tickets.key
    ann.page()
    ann.change("fields.set", target="title", source="UPPER(cases.title)")
    ann.client.post(ann.url("builder_save"))
    answer = tickets.client.post(tickets.url("builder_save"))
    assert answer.status_code == 409
    assert "Changed by Ann Lee at" in answer.content.decode()
    tickets.client.post(tickets.url("builder_save"), {"overwrite": "1"})
    assert tickets.profile.queries.get().changed_by.username == "alice"


def test_it_changes_the_list_of_queries(tickets: Bench) -> None:
    def on(action: str, **form: str) -> Any:
        return tickets.client.post(tickets.url("builder_list"), {"action": action, **form})

    tickets.client.post(tickets.url("builder_save"))
    on("rename", name="Old cases")
    on("switch")
    query = tickets.profile.queries.get()
    assert (query.name, query.enabled) == ("Old cases", False)
    assert "Unsaved changes" not in tickets.page()
    on("duplicate")
    assert tickets.profile.queries.count() == 2
    on("later")
    assert [item.key for item in tickets.profile.queries.order_by("position")][1] == tickets.key
    assert on("delete")["Location"] == reverse("builder", args=[tickets.profile.pk])
    assert tickets.profile.queries.count() == 1


def test_it_renames_and_drops_a_query_that_was_never_saved(bench: Bench) -> None:
    bench.begin("tickets")
    bench.client.post(bench.url("builder_list"), {"action": "rename", "name": "Later"})
    assert bench.body["name"] == "Later"
    bench.client.post(bench.url("builder_list"), {"action": "duplicate"})
    assert "Save the query first." in bench.page()
    bench.client.post(bench.url("builder_list"), {"action": "delete"})
    assert not QueryDraft.objects.exists()


@pytest.mark.req("Q33", "Q34")
def test_it_answers_a_change_with_every_block_and_one_event(tickets: Bench) -> None:
    answer = tickets.send("fields.set", htmx=True, target="queue", source="cases.state")
    text = answer.content.decode()
    assert all(f'id="{name}"' in text for name in ("b-blocks", "b-foot", "b-steps", "b-queries", "b-lists", "b-said"))
    assert "draft-changed" in answer["HX-Trigger-After-Settle"]
    again = tickets.send("fields.set", htmx=True, target="queue", source="cases.state")
    assert again.status_code == 204  # nothing new: nothing to preview


def test_it_names_a_change_it_does_not_know(tickets: Bench) -> None:
    tickets.change("drop.table")
    assert "does not know this change" in tickets.page()


# -- hostile names -----------------------------------------------------------------------------------------------


@pytest.mark.req("C9")
def test_it_escapes_the_names_and_values_of_a_hostile_source(bench: Bench) -> None:
    bench.begin("tickets").change("tables.use", table=f"public.{HOSTILE}")
    bench.change("fields.set", target="title", source=next(o for o in options(bench) if "img" in o))
    detail = bench.client.get(
        reverse("builder_table", args=[bench.profile.pk]), {"name": HOSTILE, "schema": "public", "key": bench.key}
    ).content.decode()
    for text in (bench.page(show="1"), bench.result(), detail):
        assert "<img" not in text
        assert Dangers(text).found == []
        assert '<b hx-get="/logout"' not in text


def options(bench: Bench) -> list[str]:
    from html import unescape

    return [unescape(part.split('"')[0]) for part in bench.page().split('<option value="')[1:]]
