"""Help with mapping by the functions that pages and API call."""

from __future__ import annotations

from typing import Any

import pytest

from importer import operations
from importer.models import ImportProfile

pytestmark = pytest.mark.django_db(transaction=False)


@pytest.mark.req("M8", "M17")
def test_columns_are_proposed_and_confirmed_ones_remembered(
    shop: ImportProfile, people_query: dict[str, Any], alice: Any
) -> None:
    body = {**people_query, "fields": []}
    found = {item.target: item for item in operations.auto_map(shop, "customer_users", body=body).mappings}
    assert found["email"].source == "people.email"
    assert found["name"].source == "people.full_name"
    odd = [{"source": "people.id", "target": "external_id"}, {"source": "people.email", "target": "name"}]
    operations.save_query(shop, people_query | {"fields": odd}, by=alice)
    again = {item.target: item for item in operations.auto_map(shop, "customer_users", body=body).mappings}
    assert again["name"].source == "people.email"
    assert again["name"].reason.startswith("used on")
    assert "Alice" in again["name"].reason
    plain = operations.auto_map(shop, "customer_users", columns=["E-Mail", "Full Name", "shoe size"])
    assert {(item.source, item.target) for item in plain.mappings} >= {("E-Mail", "email"), ("Full Name", "name")}
    assert "shoe size" in plain.unused_sources
    with pytest.raises(operations.InvalidFields, match="target type"):
        operations.auto_map(shop, "shoes", columns=["a"])


@pytest.mark.req("Q32")
def test_pasted_sql_becomes_parts_of_the_builder(shop: ImportProfile, alice: Any) -> None:
    text = "SELECT p.id AS external_id, p.full_name AS name FROM people p JOIN orgs o ON o.id = p.org_id WHERE p.active"
    found = operations.parse_sql(shop, text)
    assert found.unsupported == []
    body = {**found.query, "key": "pasted", "target_type": "customer_users"}
    assert operations.validate_query(shop, body, by=alice).is_valid


@pytest.mark.req("U25", "E33")
def test_coded_values_are_counted_suggested_and_mapped(shop: ImportProfile, alice: Any) -> None:
    body = {
        "key": "cases",
        "base_table": "cases",
        "target_type": "tickets",
        "fields": [
            {"source": "cases.id", "target": "external_id"},
            {"source": "cases.subject", "target": "title"},
            {"source": "cases.state", "target": "status"},
        ],
    }
    query = operations.save_query(shop, body, by=alice).query
    (status,) = operations.coded_fields(shop, query, by=alice)
    assert {(seen.value, seen.count) for seen in status.values} == {("1", 15), ("2", 15)}
    assert {seen.value for seen in status.unmapped} == {"1", "2"}
    operations.set_value_map(query, "status", {"1": "open", "2": "closed"}, by=alice)
    (status,) = operations.coded_fields(shop, query, by=alice)
    assert status.unmapped == ()
    outdated = type(query).objects.get(pk=query.pk)
    operations.set_value_map(query, "priority", {"9": "high"}, by=alice)
    both = operations.set_value_map(outdated, "status", {"1": "closed"}, by=alice)
    assert both.value_maps == {"status": {"1": "closed"}, "priority": {"9": "high"}}
    assert both.version == 4
    with pytest.raises(operations.InvalidFields, match="opened"):
        operations.set_value_map(query, "status", {"1": "opened"}, by=alice)


@pytest.mark.req("X17")
@pytest.mark.parametrize("source", ["people.email", "LOWER(people.email)"])
def test_the_values_of_a_column_with_personal_data_are_not_listed(
    shop: ImportProfile, people_query: dict[str, Any], alice: Any, source: str
) -> None:
    fields = [
        {"source": "people.id", "target": "external_id"},
        {"source": "people.full_name", "target": "title"},
        {"source": source, "target": "status"},
    ]
    query = operations.save_query(shop, people_query | {"target_type": "tickets", "fields": fields}, by=alice).query
    (status,) = operations.coded_fields(shop, query, by=alice)
    assert status.values
    assert "shop.example" not in repr(status)
