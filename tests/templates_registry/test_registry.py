"""Templates as objects: shipped ones stay, others are made, changed, copied, saved from profiles."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from importer.errors import ImporterError
from importer.models import ImportProfile
from templates_registry import operations
from templates_registry.lint import LintFailed
from templates_registry.models import Template
from templates_registry.operations import SystemTemplate

Pack = dict[str, Any]


@pytest.fixture
def mine(db: None, pack: Pack) -> Template:
    return operations.create(pack)


@pytest.mark.req("T1", "T9")
def test_it_finds_templates_by_name_platform_and_state(mine: Template) -> None:
    assert list(operations.templates(search="custom plat")) == [mine]
    assert list(operations.templates(platform="custom_platform")) == [mine]
    assert not operations.templates(search="custom plat", database_type="mysql").exists()
    Template.objects.filter(pk=mine.pk).update(is_active=False)
    assert mine not in operations.templates()
    assert mine in operations.templates(active=None)


@pytest.mark.req("T9")
def test_it_changes_and_deletes_its_own_but_no_shipped_one(mine: Template, pack: Pack) -> None:
    changed = operations.update(mine, {**pack, "version": "1.1.0"})
    assert (changed.version, changed.definition["version"]) == ("1.1.0", "1.1.0")
    shipped = Template.objects.get(platform="freescout", is_system=True)
    for attempt in (lambda: operations.update(shipped, pack), lambda: operations.delete(shipped)):
        with pytest.raises(SystemTemplate) as caught:
            attempt()
        assert caught.value.code == "permission_denied"
    copied = operations.copy(shipped)
    assert (copied.name, copied.is_system, copied.files) == ("FreeScout Platform (copy)", False, shipped.files)
    operations.delete(copied)
    assert not Template.objects.filter(pk=copied.pk).exists()


@pytest.mark.req("T9", "N-151")
def test_it_stores_nothing_with_faults(db: None, pack: Pack) -> None:
    broken = copy.deepcopy(pack)
    broken["configuration"]["queries"]["users"]["fields"] = [{"source": "id", "target": "externalid"}]
    with pytest.raises(LintFailed, match="Did you mean external_id"):
        operations.create(broken)
    assert not Template.objects.filter(platform="custom_platform").exists()


@pytest.fixture
def built(profile: ImportProfile) -> ImportProfile:
    """A profile with a query that a person built, secrets and filter values included."""
    query = profile.queries.get()
    query.key, query.name, query.target_type, query.value_maps = (
        "people",
        "People",
        "customer_users",
        {"locale": {"1": "en"}},
    )
    query.spec = {
        "target_type": "customer_users",
        "base_table": "users",
        "fields": [{"source": "id", "target": "external_id"}, {"source": "LOWER(email)", "target": "email"}],
        "filters": [
            {"field": "name", "operator": "=", "value": "Mrs. Secret"},
            {"field": "email", "operator": "IS NOT NULL"},
            "note = 'whisper'",
        ],
    }
    query.save()
    profile.priority_order, profile.database, profile.username = ["people"], "hidden-database", "hidden-login"
    profile.save()
    return profile


@pytest.mark.req("T10")
def test_it_saves_a_profile_as_a_template_without_its_connection_and_filter_values(built: ImportProfile) -> None:
    made = operations.save_as_template(built, "Our desk", description="As built")
    text = operations.export_template(made, "yaml").content.decode()
    for secret in (built.host, built.database, built.username, "Mrs. Secret", "whisper", "_tree"):
        assert secret not in text
    (query,) = made.definition["configuration"]["queries"].values()
    assert (made.platform, query["filters"]["items"][0]["operator"]) == ("our-desk", "IS NOT NULL")
    assert query["value_maps"] == {"locale": {"1": "en"}}


@pytest.mark.req("T10")
def test_it_keeps_filter_values_when_asked(built: ImportProfile) -> None:
    made = operations.save_as_template(built, "Our desk", keep_filter_values=True)
    text = operations.export_template(made, "yaml").content.decode()
    assert "Mrs. Secret" in text
    assert "whisper" in text
    assert built.host not in text


@pytest.mark.req("T10")
def test_it_saves_no_empty_profile(profile: ImportProfile) -> None:
    profile.queries.all().delete()
    with pytest.raises(ImporterError, match="no queries"):
        operations.save_as_template(profile, "Nothing")
