"""Every address of the site."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.views import LogoutView
from django.urls import include, path

from servicevault.web import home, session, tickets

urlpatterns = [
    path("", home.home, name="home"),
    path("login", session.LogIn.as_view(), name="login"),
    path("logout", LogoutView.as_view(), name="logout"),
    path("tickets", tickets.ticket_list, name="ticket_list"),
    path("tickets/<uuid:pk>", tickets.ticket, name="ticket"),
    path("tickets/<uuid:pk>/body", tickets.ticket_body, name="ticket_body"),
    path("tickets/<uuid:pk>/comments/<uuid:comment>/body", tickets.comment_body, name="comment_body"),
    path("from/<str:source_key>/<str:entity>/<path:external_id>", tickets.from_source, name="from_source"),
    path("", include("importer.urls")),
    path("admin/", admin.site.urls),
]

handler403 = "servicevault.web.errors.denied"
