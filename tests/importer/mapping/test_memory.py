"""What people mapped before is proposed first the next time (M17)."""

from __future__ import annotations

from typing import Any

import pytest

from importer.mapping import memory
from importer.mapping.auto import SourceColumn, auto_map
from importer.models import MappingMemory
from importer.query.parsing import parse_spec
from servicevault import catalog

pytestmark = pytest.mark.django_db


@pytest.mark.req("M17")
def test_a_confirmed_mapping_is_proposed_with_its_date_and_its_person(alice: Any) -> None:
    source = memory.of_source("old-desk")
    memory.remember(source, "agents", [("feld_7", "email", [("lower", {})]), ("kürzel", "job_title", [])], user=alice)
    remembered = memory.recall(source, "agents")
    columns = [SourceColumn("email"), SourceColumn("feld_7"), SourceColumn("kürzel")]
    found = {item.target: item for item in auto_map(catalog.get("agents"), columns, remembered=remembered).mappings}
    day = MappingMemory.objects.first().used_at.date().isoformat()
    assert (found["email"].source, found["email"].confidence) == ("feld_7", 1.0)
    assert found["email"].reason == f"used on {day} by Alice Ng"
    assert found["email"].transformation == (("lower", {}),)
    assert found["job_title"].source == "kürzel"


@pytest.mark.req("M17")
def test_the_last_one_counts_and_each_source_and_type_has_its_own() -> None:
    source, other = memory.of_source("old-desk"), memory.of_source("other")
    memory.remember(source, "agents", [("a", "email", [])])
    memory.remember(source, "agents", [("b", "email", [("trim", {})])])
    memory.remember(source, "customer_users", [("c", "email", [])])
    memory.remember(other, "agents", [("d", "email", [])])
    assert [(item.source, item.used_by) for item in memory.recall(source, "agents")] == [("b", "")]
    assert [item.source for item in memory.recall(source, "customer_users")] == ["c"]
    assert memory.recall(memory.of_source("never"), "agents") == []


@pytest.mark.req("M17")
def test_files_are_known_by_their_headers_whatever_the_order() -> None:
    assert memory.of_headers(["Name", "E-Mail "]) == memory.of_headers(["e-mail", "name"])
    assert memory.of_headers(["Name"]) != memory.of_headers(["Name", "E-Mail"])
    assert len(memory.of_headers(["x" * 10_000])) <= MappingMemory._meta.get_field("source").max_length


@pytest.mark.req("M17")
def test_a_saved_query_is_remembered_as_it_was_written() -> None:
    data = {
        "base_table": "c", "target_type": "accounts",
        "fields": [{"source": "c.id", "target": "external_id"}, {"source": "UPPER(c.nm)", "target": "name", "transformation": "trim"},
                   {"sources": ["c.a", "c.b"], "target": "notes", "transformation": "concat"}],
    }  # fmt: skip
    assert memory.remember_query("old", parse_spec(data)) == 2
    found = {
        item.target: (item.source, item.transformation) for item in memory.recall(memory.of_source("old"), "accounts")
    }
    assert found == {"external_id": ("c.id", ()), "name": ("UPPER(c.nm)", (("trim", {}),))}
