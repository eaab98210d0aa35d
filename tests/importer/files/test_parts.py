"""The parts of a document: each mapped and read in its own way, kept as a template, applied to the next (F-067, F-069)."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import psycopg
import pytest

from importer.file_parts import parts_of
from importer.models import ImportTemplate
from importer.operations import files
from importer.operations.failures import Conflict
from importer.options import InvalidOption
from tests.conftest import person
from tests.importer.files.conftest import outcomes, uploaded
from tests.importer.files.test_desk import help_desk, run  # noqa: F401 - a fixture

TABLES = {"accounts.csv": "accounts", "people.csv": "customer_users"}


def archive(**members: str) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as written:
        for name, text in members.items():
            written.writestr(f"{name}.csv", text)
    return data.getvalue()


FIRST = archive(
    accounts="skip this line\nnr,firma\na,Acme\n",
    people="nr;wer;mail;seit;bei\n7;Cora;cora@acme.example;03.04.2024;a\n",
)
SECOND = archive(
    accounts="skip this line\nnr,branch\nb,x\n",
    people="nr;wer;mail;seit;bei\n8;Dan;dan@beta.example;05.04.2024;b\n",
    tickets="external_id,title,description\n1,Printer,on fire\n",
)
MAPPINGS = {
    "accounts.csv": {"nr": "external_id", "firma": "name"},
    "people.csv": {
        "nr": "external_id",
        "wer": "name",
        "mail": "email",
        "seit": "created_at",
        "bei": "account_external_id",
    },
}
PARTS = {
    "accounts.csv": {"skip_rows": 1},
    "people.csv": {"date_format": "DD.MM.YYYY", "on_duplicate": "update"},
}


@pytest.mark.req("F-067", "F-069", "F-065")
def test_each_part_is_read_and_mapped_in_its_own_way_and_kept_as_a_template(
    help_desk: psycopg.Connection,  # noqa: F811
) -> None:
    root = person("root", is_superuser=True)
    job = uploaded(FIRST, name="first.zip", options={"tables": TABLES}, mappings={name: {} for name in TABLES})
    assert [part.headers for part in parts_of(job.file)] == [["skip this line"], ["nr", "wer", "mail", "seit", "bei"]]
    for place, options in PARTS.items():
        files.configure(job, root, part=place, options=options)
        files.configure(job, root, part=place, mappings=MAPPINGS[place])
    assert job.file.import_options == {"tables": TABLES, "parts": PARTS}
    assert run(job) == {"read": 2, "created": 2}
    assert help_desk.execute(
        "SELECT u.name, a.name, u.created_at::date::text FROM users u JOIN accounts a ON a.id = u.account_id"
    ).fetchall() == [("Cora", "Acme", "2024-04-03")]
    again = uploaded(FIRST, name="again.zip", options={"tables": TABLES, "parts": PARTS}, mappings=MAPPINGS)
    assert run(again) == {"read": 2, "skipped": 1, "unchanged": 1}  # the people are updated, the accounts are not

    template = files.templates.of_job(root, job, "Old desk")
    assert (template.is_document, template.goes_to) == (True, "Accounts, Customer users")
    assert list(files.templates.visible(root, documents=True)) == [template]
    assert not files.templates.visible(root, table_name="accounts").exists()
    tables = TABLES | {"tickets.csv": "tickets"}
    other = uploaded(
        SECOND, name="second.zip", options={"tables": tables, "source_key": "new"}, mappings={key: [] for key in tables}
    )
    found = {each.part: each for each in files.apply(template, other, root)}
    assert (found["accounts.csv"].missing_columns, found["accounts.csv"].new_columns) == (("firma",), ("branch",))
    assert found["tickets.csv"].only_in == "file"
    assert set(found) == {"accounts.csv", "tickets.csv"}
    other.refresh_from_db()
    assert other.file.import_options == {"tables": tables, "parts": PARTS, "source_key": "new"}
    assert {part.place: len(part.field_mappings) for part in parts_of(other.file)} == {
        "accounts.csv": 1,
        "people.csv": 5,
        "tickets.csv": 0,
    }
    template.refresh_from_db()
    assert template.usage_count == 1
    renamed = json.dumps({"kunden": [{"nr": 9, "wer": "Eve", "mail": "eve@acme.example"}]})
    taken = uploaded(renamed, name="third.json", options={"tables": {"kunden": "customer_users"}})
    told = {each.part: each for each in files.apply(template, taken, root)}
    assert told["kunden"].missing_columns == ("seit", "bei")  # known by its target, whatever it is called
    assert told["accounts.csv"].only_in == "template"
    with pytest.raises(Conflict, match="Accounts"):
        files.apply(template, uploaded("external_id,name\n1,x\n", target_type="accounts"), root)


@pytest.mark.req("F-067", "F-065", "F-069")
@pytest.mark.parametrize(
    ("parts", "where"),
    [
        ({"nobody": {}}, "import_options.parts.nobody"),
        ({"people.csv": {"tables": {}}}, "import_options.parts.people.csv.tables"),
        ({"people.csv": {"date_format": 5}}, "import_options.parts.people.csv.date_format"),
        ([], "import_options.parts"),
    ],
)
def test_options_of_parts_that_cannot_be_right_are_named(
    help_desk: psycopg.Connection,  # noqa: F811
    parts: Any,
    where: str,
) -> None:
    with pytest.raises(InvalidOption) as refused:
        uploaded(FIRST, name="first.zip", options={"tables": TABLES, "parts": parts})
    assert refused.value.where == where
    job = uploaded(FIRST, name="first.zip", options={"tables": TABLES}, mappings={name: {} for name in TABLES})
    with pytest.raises(InvalidOption):
        files.configure(job, None, part="nobody", options={}, system=True)
    root = person("root", is_superuser=True)
    given = {"name": "x", "import_options": {"tables": TABLES}, "field_mappings": {"nobody": []}}
    with pytest.raises(InvalidOption, match="an object"):
        files.templates.save(root, given)
    assert not ImportTemplate.objects.exists()


@pytest.mark.req("F-067", "F-089")
def test_rows_of_a_part_come_back_to_be_corrected_with_its_own_options(
    help_desk: psycopg.Connection,  # noqa: F811
) -> None:
    bad = archive(
        accounts="skip this line\nnr,firma\na,Acme\n", people="nr;wer;mail;seit;bei\n7;Cora;no address;03.04.2024;a\n"
    )
    job = uploaded(bad, name="bad.zip", options={"tables": TABLES, "parts": PARTS}, mappings=MAPPINGS)
    assert outcomes(job) == {}
    assert run(job) == {"read": 2, "created": 1, "failed": 1}
    data = io.BytesIO()
    files.error_file(job, "csv", data)
    fixed = data.getvalue().replace(b"no address", b"cora@acme.example")
    retry, refused = files.retry_from_file(job, None, io.BytesIO(fixed), "fixed.csv", system=True)
    assert refused == []
    assert run(retry) == {"read": 1, "created": 1}
    assert help_desk.execute("SELECT created_at::date::text FROM users WHERE name = 'Cora'").fetchone() == (
        "2024-04-03",
    )
