"""`Idempotency-Key`: the same request sent twice has one effect and one answer (C9)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Any

from django.db import transaction
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from servicevault.api import failures
from servicevault.api.models import IdempotentRequest
from servicevault.api.rendering import TranslatedJSON
from servicevault.wording import say

KEPT = timedelta(hours=24)
LONGEST_KEY = 255
HEADER = OpenApiParameter(
    "Idempotency-Key", str, OpenApiParameter.HEADER, description="The same key within 24 h returns the first answer."
)
View = Callable[..., Response]


class IdempotencyConflict(Exception):
    """The key was used for another request."""


def once(view: View) -> View:
    """Answer a repeated request with the first answer; a failed one leaves no trace and may be tried again."""

    @extend_schema(parameters=[HEADER])
    @wraps(view)
    def answered(self: Any, request: Request, *args: Any, **kwargs: Any) -> Response:
        key = request.headers.get("Idempotency-Key", "")
        if not key:
            return view(self, request, *args, **kwargs)
        if len(key) > LONGEST_KEY or not key.isprintable():
            raise ValidationError(
                {
                    "Idempotency-Key": [
                        say("A key has 1 to {longest_key} printable characters.", longest_key=LONGEST_KEY)
                    ]
                }
            )
        sent = {"path": request.path, "body_digest": _digest(request.data)}
        with transaction.atomic():
            kept = IdempotentRequest.objects.filter(user=request.user, key=key)
            kept.filter(created_at__lt=timezone.now() - KEPT).delete()
            # A second request at the same time waits here until the first has its answer.
            row, is_first = kept.get_or_create(user=request.user, key=key, defaults=sent)
            if not is_first:
                if (row.path, row.body_digest) != (sent["path"], sent["body_digest"]):
                    raise IdempotencyConflict
                return Response(row.answer, status=row.status)
            answer = view(self, request, *args, **kwargs)
            row.status, row.answer = answer.status_code, json.loads(TranslatedJSON().render(answer.data))
            row.save(update_fields=["status", "answer"])
        return answer

    return answered


def _digest(data: Any) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True, default=str).encode("utf-8", "replace")).hexdigest()


def _tell(error: Exception) -> failures.Told | None:
    if isinstance(error, IdempotencyConflict):
        return 409, "idempotency_conflict", say("This Idempotency-Key was used for another request."), {}
    return None


failures.register(_tell)
