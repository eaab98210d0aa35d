"""What a query may say: the expression language and the target fields, as data (Q30, M10)."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from importer import operations
from importer.api.profiles import ImportApi
from importer.pipeline.transforms import KINDS
from importer.query.functions import FUNCTIONS
from importer.query.operators import FILTER_OPERATORS
from servicevault import catalog
from servicevault.api.documents import envelope

LIST = serializers.ListField(child=serializers.DictField())


class Expressions(ImportApi):
    @extend_schema(
        operation_id="list_expressions",
        responses=envelope("Expressions", functions=LIST, filter_operators=LIST),
        tags=["builder"],
    )
    def get(self, request: Request) -> Response:
        """The functions of the expression language with an example each, and the operators of filters."""
        return Response(
            {
                "functions": [
                    {
                        "name": function.name,
                        "signature": function.signature,
                        "example": function.example,
                        "result": function.result,
                    }
                    for function in FUNCTIONS.values()
                ],
                "filter_operators": [
                    {"name": name, "arity": operator.arity} for name, operator in FILTER_OPERATORS.items()
                ],
            }
        )


class TargetParameters(serializers.Serializer[object]):
    name = serializers.CharField(required=False, max_length=255, help_text="one target type, or table:<name>")


class TargetTypes(ImportApi):
    @extend_schema(
        operation_id="list_target_types",
        parameters=[TargetParameters],
        responses=envelope(
            "TargetTypes", target_types=LIST, tables=serializers.ListField(child=serializers.CharField())
        ),
        tags=["builder"],
    )
    def get(self, request: Request) -> Response:
        """What rows can become, with the fields of each (M10, E14); `tables` may be asked for by name (M14)."""
        wanted = self.query(TargetParameters).get("name", "")
        operations.require_target(wanted, request.user)
        found = [operations.target_named(wanted)] if wanted else list(catalog.all_targets())
        choices = [name for name, _ in operations.target_choices(request.user) if name.startswith("table:")]
        return Response({"target_types": [target_json(target) for target in found], "tables": choices})


def target_json(target: catalog.Target) -> dict[str, object]:
    """A target with its fields as the mapper shows them."""
    return {
        "name": target.name,
        "label": target.label,
        "takes_custom_fields": bool(target.json_column),
        "match_fields": list(target.match_fields),
        "fields": [
            {
                "name": field.name,
                "label": field.label or field.name.replace("_", " ").capitalize(),
                "type": field.sql_type or field.type,
                "must_map": field.must_map,
                "not_empty": field.not_empty,
                "max_length": field.max_length,
                "allowed_values": list(field.choices),
                "help": field.help,
                "aliases": list(field.aliases),
            }
            for field in target.fields
        ],
    }


class Transformations(ImportApi):
    @extend_schema(
        operation_id="list_transformations",
        responses=envelope("Transformations", transformations=LIST),
        tags=["builder"],
    )
    def get(self, request: Request) -> Response:
        """The transformations of a mapped field, each with its parameters and an example (M6)."""
        return Response(
            {
                "transformations": [
                    {
                        "name": kind.name,
                        "label": kind.label,
                        "example": {"before": kind.example[0], "after": kind.example[1]},
                    }
                    for kind in KINDS.values()
                ]
            }
        )
