"""How often parts of pages renew themselves for one person: counted like the API's requests (G30 to G32)."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from django.http import HttpResponse

from servicevault.api.limits import asked
from servicevault.web.pages import PageRequest

P = ParamSpec("P")
View = Callable[Concatenate[PageRequest, P], HttpResponse]


def renewed(view: View[P]) -> View[P]:
    """Count what htmx asks for by itself as `monitoring`: polling, counts. A page that a person opens counts as nothing.

    Over the limit the part stays as it is, and asks again.
    """

    @wraps(view)
    def counted(request: PageRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        if request.method != "GET" or not request.htmx or request.htmx.boosted:
            return view(request, *args, **kwargs)
        allowance = asked("monitoring", request.user)
        if allowance.allowed:
            answer = view(request, *args, **kwargs)
        else:
            answer = HttpResponse(status=429, headers={"HX-Reswap": "none"})
        for name, value in allowance.headers().items():
            answer.headers[name] = value
        return answer

    return counted
