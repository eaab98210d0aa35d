"""Answers to requests that come to nothing: they name what is missing and whom to ask; programs get JSON (C7)."""

from __future__ import annotations

from django.contrib.auth import get_user_model
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.template import loader

from permissions import audit, roles
from permissions.policy import Denied
from servicevault.api.failures import RETRY_AFTER, failure_body
from servicevault.uploads import UploadTooLarge
from servicevault.wording import say

API = "/api/"

# Rights on single objects; the named permissions describe themselves in permissions.roles.
OBJECT_RIGHTS = {
    "view_importprofile": say("See this import profile"),
    "change_importprofile": say("Change this import profile"),
    "delete_importprofile": say("Delete this import profile"),
    "execute_importprofile": say("Run imports of this profile"),
}


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """404."""
    if request.path.startswith(API):
        return JsonResponse(failure_body(request, "not_found", say("There is no such address.")), status=404)
    return render(request, "404.html", status=404)


def malformed(request: HttpRequest, exception: Exception) -> HttpResponse:
    """400; 413 for a file that is too large, which is refused while it comes."""
    too_large = isinstance(exception, UploadTooLarge)
    words = str(exception) if too_large else say("The request cannot be read.")
    status = 413 if too_large else 400
    if request.path.startswith(API):
        code = "IMPORT_001" if too_large else "malformed_request"
        return JsonResponse(failure_body(request, code, words), status=status)
    return HttpResponse(loader.get_template("400.html").render({"words": words}), status=status)


def unforeseen(request: HttpRequest) -> HttpResponse:
    """500: nothing about the failure, but the number under which the log has it."""
    if request.path.startswith(API):
        words = say("Something failed here. The log has it under the request_id.")
        return JsonResponse(failure_body(request, "internal_error", words), status=500)
    # Without context processors: what failed may be the database they ask.
    return HttpResponse(
        loader.get_template("500.html").render({"request_id": getattr(request, "request_id", "")}), status=500
    )


def unavailable(request: HttpRequest) -> HttpResponse:
    """503: nothing was done, because the audit log could not be written (G27)."""
    headers = {"Retry-After": RETRY_AFTER}
    if request.path.startswith(API):
        words = say("The audit log cannot be written, so nothing was done. Try again.")
        return JsonResponse(failure_body(request, "service_unavailable", words), status=503, headers=headers)
    context = {"request_id": getattr(request, "request_id", ""), "nothing_done": True}
    page = loader.get_template("500.html").render(context)
    return HttpResponse(page, status=503, headers=headers)


def denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """403: the permission's name and meaning, and the people who can give it."""
    permission = exception.permission if isinstance(exception, Denied) else ""
    if permission:
        audit.record_denied(permission, request.path, request.method or "", user=request.user)
    is_object_right = permission in OBJECT_RIGHTS
    context = {
        "permission": permission,
        "meaning": OBJECT_RIGHTS.get(permission) or roles.ALL.get(permission, ""),
        "is_object_right": is_object_right,
        "super_admins": get_user_model().objects.filter(is_superuser=True, is_active=True)[:3],
    }
    return render(request, "403.html", context, status=403)
