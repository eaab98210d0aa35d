"""Generated expressions and queries over the guide's tables."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from importer.query import nodes
from importer.query.functions import FUNCTIONS
from importer.query.nodes import Node

from .conftest import CUSTOMERS_SCOPE_COLUMNS

columns = st.sampled_from(list(CUSTOMERS_SCOPE_COLUMNS)).flatmap(
    lambda name: st.sampled_from([nodes.Column(name), nodes.Column(name, "customers")])
)
texts = st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12)
values = st.one_of(
    columns,
    texts.map(nodes.Text),
    st.from_regex(r"[0-9]{1,18}(\.[0-9]{1,18})?", fullmatch=True).filter(str.isascii).map(nodes.Number),
    st.booleans().map(nodes.Boolean),
    st.just(nodes.Null()),
    st.sampled_from(["date", "timestamp", "interval"]).flatmap(
        lambda name: texts.map(lambda t: nodes.TypedText(name, t))
    ),
)
PLAIN_FUNCTIONS = [
    function
    for function in FUNCTIONS.values()
    if not function.aggregate and set(function.parameters) <= {"text", "value"} and function.name != "TRIM"
] + [FUNCTIONS["TRIM"]]


def _grown(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    symbols = ["=", "<>", "<", "<=", ">", ">=", "+", "-", "*", "/", "%", "||", "->", "->>", "like", "not ilike",
               "is distinct from", "is not distinct from", "at time zone"]  # fmt: skip
    pairs = st.tuples(inner, inner)

    def call(function: Any) -> st.SearchStrategy[Node]:
        most = 1 if function.name == "TRIM" else min(function.most, 3)
        least = function.least
        arguments = st.lists(inner, min_size=least, max_size=max(most, least)).map(tuple)
        return arguments.map(lambda found: nodes.Call(function.name, found))

    return st.one_of(
        st.builds(nodes.Binary, st.sampled_from(symbols), inner, inner),
        st.builds(nodes.Binary, st.just("~"), inner, st.just(nodes.Text("^a"))),
        st.builds(nodes.Unary, st.sampled_from(["-", "+", "not"]), inner),
        st.builds(nodes.Logical, st.sampled_from(["and", "or"]), pairs),
        st.builds(nodes.IsNull, inner, st.booleans()),
        st.builds(nodes.In, inner, st.lists(inner, min_size=1, max_size=3).map(tuple), st.booleans()),
        st.builds(nodes.Between, inner, inner, inner, st.booleans()),
        st.builds(nodes.Case, st.none() | inner, st.lists(pairs, min_size=1, max_size=2).map(tuple), st.none() | inner),
        st.builds(
            nodes.Cast, inner, st.sampled_from(["text", "integer", "numeric", "timestamptz", "jsonb", "varchar"])
        ),
        st.builds(nodes.Extract, st.sampled_from(["year", "epoch"]), inner),
        st.sampled_from(PLAIN_FUNCTIONS).flatmap(call),
    )


trees = st.recursive(values, _grown, max_leaves=12)
