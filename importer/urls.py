"""Addresses of the import pages (DEC-12)."""

from __future__ import annotations

from django.urls import include, path

from importer.web import jobs, profiles

urlpatterns = [
    path("import", profiles.import_page, name="import"),
    path("import/profiles/<uuid:pk>/start", profiles.start, name="profile_start"),
    path("import/profiles/<uuid:pk>/", include("importer.web.builder.urls")),
    path("import/jobs/<uuid:pk>", jobs.job_page, name="job"),
    path("import/jobs/<uuid:pk>/records", jobs.job_records, name="job_records"),
    path("import/jobs/<uuid:pk>/cancel", jobs.cancel, name="job_cancel"),
    path("import/jobs/<uuid:pk>/resume", jobs.resume, name="job_resume"),
]
