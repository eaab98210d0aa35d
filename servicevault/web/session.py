"""Logging in and out."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse

from permissions import audit
from servicevault.api.limits import spend
from servicevault.web.addresses import client_address
from servicevault.wording import say


class LogInForm(AuthenticationForm):
    """Django's form with our words; the backend takes a username or an e-mail address."""

    error_messages = {
        "invalid_login": say(
            "That name and password do not belong together. Both are case-sensitive, an e-mail address is not."
        ),
        "inactive": say("This account is switched off. Ask an administrator."),
    }

    def __init__(self, request: HttpRequest | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(request, *args, **kwargs)
        self.fields["username"].label = say("Username or e-mail")
        for name, field in self.fields.items():
            field.widget.attrs["class"] = "form-control"
            if self.is_bound and self.errors:
                field.widget.attrs |= {"class": "form-control is-invalid", "aria-describedby": "login-error"}
            field.widget.attrs["id"] = f"id_{name}"


class LogIn(LoginView):
    """Answers 422 to a wrong password, so that no cache and no client takes it for a success."""

    form_class = LogInForm
    template_name = "registration/login.html"
    redirect_authenticated_user = True

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Ten tries a minute and address (G30): enough for people, too few for guessing."""
        allowance = spend("login", client_address(request))
        if allowance.allowed:
            return super().post(request, *args, **kwargs)
        if allowance.is_first_refusal:
            audit.record("rate_limited", result="denied", details={"limit": "login"})
        form = self.form_class(request)
        context = self.get_context_data(form=form, wait_seconds=allowance.reset)
        return self.response_class(
            request, self.template_name, context, status=429, headers={"Retry-After": str(allowance.reset)}
        )

    def form_invalid(self, form: Any) -> Any:
        return self.render_to_response(self.get_context_data(form=form), status=422)
