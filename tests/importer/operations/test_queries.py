"""Queries, their drafts and previews by the functions that pages, API and commands call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from importer import operations
from importer.models import ImportProfile, QueryDraft
from importer.operations import drafts, schema
from importer.query.problems import QueryProblems
from permissions.policy import Denied

pytestmark = pytest.mark.django_db


@pytest.mark.req("Q3", "Q4", "Q6", "Q20")
def test_a_saved_query_reads_back_the_same(shop: ImportProfile, people_query: dict[str, Any], alice: Any) -> None:
    first = operations.save_query(shop, people_query, by=alice)
    assert first.is_new
    shop.refresh_from_db()
    assert shop.has_custom_queries
    again = operations.save_query(shop, operations.body_of(first.query), by=alice)
    assert not again.is_new
    assert again.query.spec == first.query.spec
    assert again.judged.compiled.sql_hash == first.judged.compiled.sql_hash
    assert shop.queries.count() == 1


@pytest.mark.req("Q2", "Q10", "Q35")
@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"base_table": ""}, "base_table"),
        ({"fields": []}, "fields"),
        ({"target_type": "invoices"}, "target_type"),
        ({"base_table": "persons"}, "base_table"),
        ({"fields": [{"source": "people.mail", "target": "external_id"}]}, "fields[0].source"),
        ({"filters": [{"field": "people.id", "operator": "<=", "value": "ten"}]}, "filters[0]"),
        ({"filtres": [], "filters": [{"feld": "people.id"}]}, "filters[0].feld"),
    ],
)
def test_a_query_with_an_error_is_refused_at_its_member(
    shop: ImportProfile, people_query: dict[str, Any], alice: Any, change: dict[str, Any], path: str
) -> None:
    with pytest.raises(QueryProblems) as refused:
        operations.save_query(shop, people_query | change, by=alice)
    assert any(problem.path.startswith(path) for problem in refused.value.problems), refused.value.problems
    assert not shop.queries.exists()


@pytest.mark.req("Q17")
def test_preview_count_validation_and_run_share_one_statement(
    shop: ImportProfile, people_query: dict[str, Any], alice: Any
) -> None:
    saved = operations.save_query(shop, people_query, by=alice)
    validated = operations.validate_query(shop, people_query, by=alice)
    previewed = operations.preview_query(shop, people_query, by=alice, steps=True)
    hashes = {found.compiled.sql_hash for found in (saved.judged, validated, previewed.judged)}
    assert len(hashes) == 1
    assert (validated.rows.rows, validated.rows.exact) == (10, True)
    assert previewed.steps == (12, 12, 10)


@pytest.mark.req("X17", "Q13")
def test_personal_data_is_masked_unless_revealed(shop: ImportProfile, people_query: dict[str, Any], alice: Any) -> None:
    query = people_query | {"filters": [{"field": "people.id", "operator": "=", "value": 1}]}
    hidden = operations.preview_query(shop, query, by=alice).records()[0]
    assert hidden["email"] == "p•••@•••.example"
    assert hidden["name"] == "P••• 1•••"
    assert hidden["external_id"] == 1
    shown = operations.preview_query(shop, query, by=alice, reveal=True).records()[0]
    assert shown["email"] == "p1@shop.example"
    table = operations.preview_table(shop, "people", by=alice, limit=1)
    assert "shop.example" not in str(table.rows)


@pytest.mark.req("X17")
@pytest.mark.parametrize(
    "source", ["people.email", "UPPER(people.email)", "SUBSTRING(people.full_name, 2)", "CONCAT(people.id, email)"]
)
def test_another_name_or_an_expression_does_not_unmask(
    shop: ImportProfile, people_query: dict[str, Any], alice: Any, source: str
) -> None:
    fields = [{"source": source, "target": "external_id"}, {"source": "people.full_name", "target": "custom_fields.x"}]
    needed = [{"source": "people.id", "target": "name"}, {"source": "people.email", "target": "email"}]
    query = people_query | {"fields": [*fields, *needed]}
    for rows in (operations.preview_query(shop, query, by=alice), operations.sample_query(shop, query, by=alice)):
        told = repr(rows.sample.rows).lower()
        assert "@shop.example" not in told
        assert "erson" not in told
    shown = operations.preview_query(shop, query, by=alice, reveal=True)
    assert "Person 1" in repr(shown.sample.rows)


@pytest.mark.req("C10")
def test_a_query_saved_by_somebody_else_is_not_overwritten(
    shop: ImportProfile, people_query: dict[str, Any], alice: Any, root: Any
) -> None:
    draft = drafts.open_draft(shop, alice, "people", start=people_query)
    saved = drafts.save_draft(draft, by=alice)
    drafts.change_draft(draft, people_query | {"name": "Mine"})
    operations.save_query(shop, people_query | {"name": "Hers"}, by=root, version=saved.query.version)
    draft.refresh_from_db()
    with pytest.raises(operations.VersionConflict):
        drafts.save_draft(draft, by=alice)
    assert drafts.save_draft(draft, by=alice, overwrite=True).query.name == "Mine"


@pytest.mark.req("Q26", "Q33", "Q38")
def test_a_draft_can_be_stepped_through_and_discarded(
    shop: ImportProfile, people_query: dict[str, Any], alice: Any, root: Any
) -> None:
    draft = drafts.open_draft(shop, alice, "people", start={"target_type": "customer_users"})
    assert drafts.is_changed(draft)  # not saved yet
    draft = drafts.change_draft(draft, people_query)
    draft = drafts.change_draft(draft, people_query | {"joins": []})
    draft = drafts.change_draft(draft, people_query | {"joins": []})  # nothing new
    assert len(draft.steps) == 3
    draft = drafts.undo(draft)
    assert drafts.body_in(draft) == people_query
    draft = drafts.undo(drafts.undo(draft))
    assert drafts.body_in(draft)["fields"] == []
    draft = drafts.redo(draft)
    saved = drafts.save_draft(draft, by=alice)
    draft.refresh_from_db()
    assert not drafts.is_changed(draft)
    other = drafts.open_draft(shop, root, "people")
    assert drafts.body_in(other)["fields"] == saved.query.spec["fields"]  # saved work is everybody's
    drafts.change_draft(draft, people_query | {"name": "Unsaved"})
    drafts.discard_draft(draft)
    assert drafts.body_in(drafts.open_draft(shop, alice, "people"))["name"] == saved.query.name
    for number in range(60):
        other = drafts.change_draft(other, people_query | {"name": f"n{number}"})
    assert len(other.steps) == drafts.STEPS + 1


@pytest.mark.req("Q26")
def test_earlier_forms_can_be_restored(shop: ImportProfile, people_query: dict[str, Any], alice: Any) -> None:
    first = operations.save_query(shop, people_query, by=alice)
    operations.save_query(shop, people_query | {"filters": []}, by=alice)
    restored = operations.restore_version(first.query, 1, by=alice)
    assert restored.query.spec["filters"] == first.query.spec["filters"]
    assert restored.query.version == 3
    assert [version.number for version in restored.query.versions.all()] == [3, 2, 1]
    query = operations.switch_query(operations.rename_query(restored.query, "Folk", by=alice), on=False, by=alice)
    assert [version.number for version in query.versions.all()] == [5, 4, 3, 2, 1]  # every change is one
    assert operations.restore_version(query, 4, by=alice).query.name == "Folk"


@pytest.mark.req("Q24")
def test_raw_sql_needs_its_permission(shop: ImportProfile, alice: Any, root: Any) -> None:
    body = {
        "key": "people",
        "kind": "sql",
        "target_type": "customer_users",
        "sql": "SELECT id AS external_id, full_name AS name, email FROM people WHERE id < :most",
        "params": {"most": 5},
    }
    asked: list[Callable[..., Any]] = [
        operations.save_query,
        operations.validate_query,
        operations.preview_query,
        operations.analyze_joins,
        operations.sample_query,
    ]
    for ask in asked:
        with pytest.raises(Denied, match="raw_sql"):
            ask(shop, body, by=alice)
    assert operations.save_query(shop, body, by=root).is_new
    assert operations.preview_query(shop, body, by=alice).sample.rows  # somebody who may wrote it
    with pytest.raises(Denied, match="raw_sql"):
        operations.preview_query(shop, body | {"sql": body["sql"] + " OR true"}, by=alice)


def test_queries_are_ordered_switched_copied_and_deleted(
    shop: ImportProfile, people_query: dict[str, Any], alice: Any
) -> None:
    people = operations.save_query(shop, people_query, by=alice).query
    copy = operations.duplicate_query(people, by=alice)
    assert (copy.key, copy.entity, copy.enabled) == ("people_2", "people_2", False)
    assert operations.reorder_queries(shop, ["people_2"]) == ["people_2", "people"]
    with pytest.raises(operations.InvalidFields, match="no_such"):
        operations.reorder_queries(shop, ["no_such"])
    assert operations.switch_query(copy, on=True, by=alice).enabled
    operations.delete_query(people)
    assert [query.key for query in shop.queries.all()] == ["people_2"]


@pytest.mark.req("I4", "I8", "Q8")
def test_the_map_is_kept_searched_and_joined(shop: ImportProfile, shop_url: str) -> None:
    found = operations.source_map(shop)
    assert operations.source_map(shop).read_at == found.read_at
    assert operations.source_map(shop, refresh=True).read_at > found.read_at
    by_column = schema.search_tables(found.schema, "subject")
    assert [(hit.table.name, hit.matched) for hit in by_column] == [("cases", ("column subject",))]
    assert schema.search_tables(found.schema, "customers asked")[0].matched == ("comment",)
    joins = schema.suggest_joins(shop, ["people"])
    assert {(join.table, join.ref_table) for join in joins} >= {("people", "orgs"), ("cases", "people")}
    offered = operations.offer_filters(
        shop, {"base_table": "people", "target_type": "customer_users", "fields": ["id"]}, by=None
    )
    assert any("ctive" in item.suggestion.label and item.rows.rows == 6 for item in offered)


@pytest.mark.req("Q33")
def test_a_person_keeps_two_hundred_drafts_and_the_oldest_unchanged_goes_first(
    shop: ImportProfile, people_query: dict[str, Any], alice: Any, root: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert drafts.MOST_DRAFTS == 200
    monkeypatch.setattr(drafts, "MOST_DRAFTS", 4)
    saved = drafts.save_draft(drafts.open_draft(shop, alice, "people", start=people_query), by=alice)
    drafts.open_draft(shop, root, "people")
    for number in range(3):
        drafts.open_draft(shop, alice, f"mine-{number}", start=people_query)
    assert drafts.open_draft(shop, alice, saved.query.key).key == "people"
    assert QueryDraft.objects.filter(user=alice).count() == 4
    drafts.open_draft(shop, alice, "mine-3", start=people_query)
    left = set(QueryDraft.objects.filter(user=alice).values_list("key", flat=True))
    assert left == {"mine-0", "mine-1", "mine-2", "mine-3"}  # that of the saved query had nothing to lose
    drafts.open_draft(shop, alice, "mine-4", start=people_query)
    left = set(QueryDraft.objects.filter(user=alice).values_list("key", flat=True))
    assert left == {"mine-1", "mine-2", "mine-3", "mine-4"}
    assert QueryDraft.objects.filter(user=root).exists()
