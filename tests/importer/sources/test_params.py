"""A pasted URL becomes fields, and its password stays out of every text."""

from __future__ import annotations

import dataclasses

import pytest

from importer.errors import SourceError
from importer.sources.params import SSL_MODES, ConnectionParams

PARAMS = ConnectionParams("db.example.org", 5432, "desk", "reader", "Pa55w0rd!")


@pytest.mark.req("P18")
def test_it_reads_every_field_of_a_url_and_decodes_it() -> None:
    params, unused = ConnectionParams.from_url(
        "postgresql://re%40der:p%3A%2F%40ss@db.example.org:5433/my%20desk?sslmode=require"
    )
    assert params == ConnectionParams("db.example.org", 5433, "my desk", "re@der", "p:/@ss", "require")
    assert unused == []


@pytest.mark.req("P18")
def test_it_lists_parameters_it_does_not_use() -> None:
    url = "postgres://u:p@h/d?options=-csearch_path%3Dx&host=evil&user=postgres&sslkey=/k&sslmode=bogus&hostaddr=1&hostaddr=2"
    params, unused = ConnectionParams.from_url(url)
    assert (params.host, params.username, params.ssl_mode) == ("h", "u", "prefer")
    assert unused == ["options", "host", "user", "sslkey", "sslmode", "hostaddr"]


@pytest.mark.req("P18")
@pytest.mark.parametrize(
    "url",
    ["", "mysql://u:Pa55w0rd!@h/d", "postgresql://u:Pa55w0rd!@h:port/d", "postgresql://u:Pa55w0rd!@h:99999/d", "postgresql://",
     "host=h password=Pa55w0rd!", "postgresql://u:Pa55w0rd!@[::1/d", "postgresql://u:Pa55w0rd!@h/d#x", "postgresql://u:Pa55w0rd!@h:0/d"],
)  # fmt: skip
def test_it_refuses_other_texts_without_repeating_them(url: str) -> None:
    with pytest.raises(SourceError) as caught:
        ConnectionParams.from_url(url)
    assert caught.value.code == "url_invalid"
    assert "Pa55" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.req("P1")
def test_it_never_shows_the_password() -> None:
    assert "Pa55" not in repr(PARAMS)
    assert "Pa55" not in str(PARAMS)


@pytest.mark.req("P17")
@pytest.mark.parametrize("mode", SSL_MODES)
def test_it_takes_all_six_tls_modes(mode: str) -> None:
    dataclasses.replace(PARAMS, ssl_mode=mode).validate()


@pytest.mark.parametrize(
    ("field", "value"),
    [("host", ""), ("port", 0), ("port", 65536), ("database", "a\0b"), ("database", "x" * 256), ("username", ""),
     ("password", "x" * 1025), ("password", "a\0"), ("ssl_mode", "maybe"), ("ssl_root_cert", "/etc/passwd")],
)  # fmt: skip
def test_it_names_the_field_that_cannot_be_right(field: str, value: object) -> None:
    with pytest.raises(SourceError) as caught:
        dataclasses.replace(PARAMS, **{field: value}).validate()
    assert (caught.value.code, caught.value.where) == ("params_invalid", field)
