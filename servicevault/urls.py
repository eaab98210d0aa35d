"""Every address of the site."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.views import LogoutView
from django.urls import include, path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView

from servicevault.api import documentation as pages
from servicevault.api import monitoring
from servicevault.notifications import web as notifications
from servicevault.web import home, session, tickets, tokens

urlpatterns = [
    path("", home.home, name="home"),
    path("login", session.LogIn.as_view(), name="login"),
    path("logout", LogoutView.as_view(), name="logout"),
    path("settings/tokens", tokens.tokens, name="tokens"),
    path("settings/tokens/<uuid:pk>/revoke", tokens.revoke, name="token_revoke"),
    path("notifications", notifications.notification_list, name="notifications"),
    path("notifications/bell", notifications.bell, name="notifications_bell"),
    path("notifications/read", notifications.read_all, name="notifications_read"),
    path("notifications/<uuid:pk>", notifications.notification, name="notification"),
    path("tickets", tickets.ticket_list, name="ticket_list"),
    path("tickets/<uuid:pk>", tickets.ticket, name="ticket"),
    path("tickets/<uuid:pk>/body", tickets.ticket_body, name="ticket_body"),
    path("tickets/<uuid:pk>/comments/<uuid:comment>/body", tickets.comment_body, name="comment_body"),
    path("from/<str:source_key>/<str:entity>/<path:external_id>", tickets.from_source, name="from_source"),
    path("", include("importer.urls")),
    path("", include("exporter.urls")),
    path("", include("templates_registry.urls")),
    path("", include("permissions.urls")),
    path("api/import/", include("importer.api.urls")),
    path("api/import/", include("templates_registry.api.urls")),
    path("api/v1/data/", include("permissions.api.urls")),
    path("api/v1/data/", include("importer.api.files.urls")),
    path("api/v1/data/", include("exporter.api.urls")),
    path("api/v1/data/health", monitoring.Health.as_view(), name="api_health"),
    path("api/v1/data/metrics", monitoring.Metrics.as_view(), name="api_metrics"),
    path("health", monitoring.alive, name="health"),
    path("metrics", monitoring.prometheus, name="metrics"),
    path("api/schema", SpectacularAPIView.as_view(), name="api_schema"),
    path("docs", pages.Documentation.as_view(), name="docs"),
    path("api/docs", RedirectView.as_view(pattern_name="docs"), name="api_docs"),
    path("admin/", admin.site.urls),
]

handler400 = "servicevault.web.errors.malformed"
handler403 = "servicevault.web.errors.denied"
handler404 = "servicevault.web.errors.not_found"
handler500 = "servicevault.web.errors.unforeseen"
