"""Pages for requests that come to nothing: they name what is missing and whom to ask."""

from __future__ import annotations

from django.contrib.auth import get_user_model
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from permissions import roles
from permissions.policy import Denied

# Rights on single objects; the named permissions describe themselves in permissions.roles.
OBJECT_RIGHTS = {
    "view_importprofile": "See this import profile",
    "change_importprofile": "Change this import profile",
    "delete_importprofile": "Delete this import profile",
    "execute_importprofile": "Run imports of this profile",
}


def denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """403: the permission's name and meaning, and the people who can give it."""
    permission = exception.permission if isinstance(exception, Denied) else ""
    is_object_right = permission in OBJECT_RIGHTS
    context = {
        "permission": permission,
        "meaning": OBJECT_RIGHTS.get(permission) or roles.ALL.get(permission, ""),
        "is_object_right": is_object_right,
        "super_admins": get_user_model().objects.filter(is_superuser=True, is_active=True)[:3],
    }
    return render(request, "403.html", context, status=403)
