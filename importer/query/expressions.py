"""The expression language (Q27): text in, tree stored, SQL composed from the tree.

One import for the rest of the importer; the work is done in `lexer`, `grammar`, `trees`, `rendering`, `scope`
and `composing`. Only ExpressionError leaves `parse` and `from_json`, whatever they are given.
"""

from __future__ import annotations

from .composing import Parameters, compose
from .functions import CAST_TYPES, FUNCTIONS, Function
from .grammar import parse
from .nodes import Node
from .rendering import render
from .scope import Scope, ScopeTable, check
from .trees import from_json, to_json

__all__ = [
    "CAST_TYPES",
    "FUNCTIONS",
    "Function",
    "Node",
    "Parameters",
    "Scope",
    "ScopeTable",
    "check",
    "compose",
    "from_json",
    "parse",
    "render",
    "to_json",
]
