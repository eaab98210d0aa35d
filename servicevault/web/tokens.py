"""`/settings/tokens`: a person's own ways in for programs: list, make, revoke (U55, C2)."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from permissions.tokens import ApiToken
from servicevault.web.pages import PageRequest, members_only, render_page
from servicevault.wording import say

LIFETIMES = [("30", say("30 days")), ("90", say("90 days")), ("365", say("a year")), ("", say("until it is revoked"))]
MOST_TOKENS = 50


class TokenForm(forms.Form):
    name = forms.CharField(
        label=say("Name"),
        max_length=100,
        widget=forms.TextInput(attrs={"class": "form-control", "autocomplete": "off"}),
    )
    days = forms.ChoiceField(
        label=say("Valid for"),
        choices=LIFETIMES,
        required=False,
        initial="90",
        widget=forms.Select(attrs={"class": "form-select"}),
    )

    name.widget.attrs["placeholder"] = say("What is it for?")


@members_only
@require_http_methods(["GET", "HEAD", "POST"])
def tokens(request: PageRequest) -> HttpResponse:
    """The person's tokens; a POST makes one, whose text the answer shows and nobody sees again."""
    mine = ApiToken.objects.filter(user=request.user)
    form = TokenForm(request.POST or None)
    made, text, status = None, "", 200
    if request.method == "POST":
        status = 422
        if form.is_valid():
            if mine.filter(revoked_at=None).count() >= MOST_TOKENS:
                form.add_error(
                    None, say("You have {most_tokens} tokens. Revoke one you no longer need.", most_tokens=MOST_TOKENS)
                )
            else:
                days = form.cleaned_data["days"]
                made, text = ApiToken.objects.make(
                    request.user, form.cleaned_data["name"], days=int(days) if days else None
                )
                form, status = TokenForm(), 200
    context = {
        "form": form,
        "tokens": mine.order_by("revoked_at", "-created_at")[: 2 * MOST_TOKENS],
        "made": made,
        "text": text,
        "now": timezone.now(),
    }
    response = render_page(request, "servicevault/tokens.html", "servicevault/tokens.html", context, status=status)
    response.headers["Cache-Control"] = "no-store"
    return response


@members_only
@require_POST
def revoke(request: PageRequest, pk: Any) -> HttpResponse:
    """Refuse one of the person's tokens from now on."""
    token = get_object_or_404(ApiToken.objects.filter(user=request.user), pk=pk)
    token.revoke()
    messages.success(
        request, say("“{token}” is revoked: programs that use it are refused from now on.", token=token.name)
    )
    return redirect("tokens")
