"""Settings of Service Vault, read from the environment.

Unset DATABASE_URL and REDIS_URL mean the embedded servers; manage.py starts them and sets
both variables before Django is configured. Names and defaults: spec G40.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from django.conf.locale import LANG_INFO
from django.core.exceptions import ImproperlyConfigured

from servicevault import embedded

BASE_DIR = Path(__file__).resolve().parent.parent


def _flag(name: str, default: bool) -> bool:
    value = os.environ.get(name, "").strip().lower()
    if value not in {"", "1", "0", "true", "false", "yes", "no", "on", "off"}:
        raise ImproperlyConfigured(f"{name} is {value!r}; allowed are true and false.")
    return default if not value else value in {"1", "true", "yes", "on"}


def _number(name: str, default: int, low: int, high: int) -> int:
    text = os.environ.get(name, "").strip()
    if not text:
        return default
    if not text.lstrip("-").isdigit() or not low <= int(text) <= high:
        raise ImproperlyConfigured(f"{name} is {text!r}; allowed is a whole number from {low} to {high}.")
    return int(text)


def _names(name: str, default: str = "") -> list[str]:
    return [part.strip() for part in os.environ.get(name, default).split(",") if part.strip()]


def _formats(name: str, allowed: str) -> list[str]:
    """Lower-case names without dots; all of the allowed ones when the variable is unset."""
    chosen = [part.lower().lstrip(".") for part in _names(name)] or allowed.split(",")
    if unknown := [part for part in chosen if part not in allowed.split(",")]:
        raise ImproperlyConfigured(f"{name} holds {unknown[0]!r}; allowed are {allowed.replace(',', ', ')}.")
    return chosen


def _languages(name: str) -> list[tuple[str, str]]:
    """Code and name of each language, English first: it is what the texts are written in."""
    codes = ["en", *(code.lower() for code in _names(name) if code.lower() != "en")]
    if unknown := [code for code in codes if not LANG_INFO.get(code, {}).get("name_local")]:
        raise ImproperlyConfigured(f"{name} holds {unknown[0]!r}; allowed are codes that Django knows, such as de, fr.")
    return [(code, LANG_INFO[code]["name_local"]) for code in codes]


def _columns(name: str) -> list[str]:
    found = _names(name)
    for part in found:
        if not all(part.rpartition(".")[::2]):
            raise ImproperlyConfigured(f"{name} holds {part!r}; allowed are names written table.column.")
    return found


def _level(name: str) -> str:
    level = os.environ.get(name, "").strip().upper() or "INFO"
    if level not in {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}:
        raise ImproperlyConfigured(f"{name} is {level!r}; allowed are DEBUG, INFO, WARNING, ERROR and CRITICAL.")
    return level


def _rates(name: str) -> dict[str, tuple[int, int]]:
    """`builder=60/60,login=5/60`: limit, requests, seconds. An unknown limit is refused by servicevault.apps."""
    found = {}
    for part in _names(name):
        limit, _, rate = part.partition("=")
        requests, _, seconds = rate.partition("/")
        if not (
            requests.isdigit() and seconds.isdigit() and 1 <= int(requests) <= 10**9 and 1 <= int(seconds) <= 86_400
        ):
            raise ImproperlyConfigured(
                f"{name} holds {part!r}; allowed are limits written name=requests/seconds, "
                "with 1 to 1000000000 requests in 1 to 86400 seconds."
            )
        found[limit.strip()] = (int(requests), int(seconds))
    return found


def _database(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    if parts.scheme not in {"postgres", "postgresql"} or not parts.path.strip("/"):
        raise ImproperlyConfigured("DATABASE_URL must look like postgresql://user:password@host:5432/name.")
    pool = {"min_size": 1, "max_size": POOL_SIZE, "timeout": 10}
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": str(parts.port or 5432),
        # Under ASGI each request has a thread of its own, and would leave a connection behind in it.
        "CONN_MAX_AGE": 0 if POOL_SIZE else 60,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {"application_name": "service-vault"} | ({"pool": pool} if POOL_SIZE else {}),
    }


POOL_SIZE = _number("DATABASE_POOL_SIZE", 0, 0, 1000)  # connections of a web process; set by servicevault.asgi
EMBEDDED = "DATABASE_URL" not in os.environ or _flag("SERVICEVAULT_EMBEDDED", False)
DATABASE_URL = os.environ.get("DATABASE_URL") or embedded.addresses().database_url
REDIS_URL = os.environ.get("REDIS_URL") or embedded.addresses().redis_url

SECRET_KEY = os.environ.get("SECRET_KEY") or (embedded.secret("SECRET_KEY") if EMBEDDED else "")
FIELD_ENCRYPTION_KEYS = _names("FIELD_ENCRYPTION_KEYS") or (
    [embedded.secret("FIELD_ENCRYPTION_KEYS")] if EMBEDDED else []
)
if not SECRET_KEY or not FIELD_ENCRYPTION_KEYS:
    raise ImproperlyConfigured("SECRET_KEY and FIELD_ENCRYPTION_KEYS must be set when DATABASE_URL is set.")

DEBUG = _flag("DEBUG", False)
ALLOWED_HOSTS = _names("ALLOWED_HOSTS", "127.0.0.1,localhost,[::1]" if EMBEDDED else "")
TRUSTED_PROXIES = _names("TRUSTED_PROXIES")  # addresses or networks whose X-Forwarded-For is believed
SITE_URL = os.environ.get("SITE_URL", "http://127.0.0.1:8000").rstrip("/")  # of links in mails
CSRF_TRUSTED_ORIGINS = _names("CSRF_TRUSTED_ORIGINS")

INSTALLED_APPS = [
    "servicevault",
    "permissions",
    "importer",
    "exporter",
    "templates_registry",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django.contrib.postgres",
    "guardian",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_htmx",
    "django_celery_beat",
    "import_export",
]

MIDDLEWARE = [
    "servicevault.web.middleware.RequestId",
    "servicevault.web.middleware.RequestOrigin",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "servicevault.web.middleware.ContentSecurityPolicy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
            "builtins": ["django.templatetags.i18n"],  # every text of ours is translatable
        },
    },
]

ROOT_URLCONF = "servicevault.urls"
ASGI_APPLICATION = "servicevault.asgi.application"
CHANNEL_LAYERS = {  # hints of what happens; the database knows the rest
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [{"address": REDIS_URL, "socket_connect_timeout": 1.0}], "prefix": "servicevault"},
    }
}
APPEND_SLASH = False  # C1: a trailing slash is a 404, never a redirect that loses the body

DATABASES = {"default": _database(DATABASE_URL)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
CACHES = {"default": {"BACKEND": "servicevault.cache.ForgivingCache", "LOCATION": REDIS_URL}}

AUTH_USER_MODEL = "servicevault.User"
AUTHENTICATION_BACKENDS = [
    "permissions.backends.EmailBackend",
    "guardian.backends.ObjectPermissionBackend",
]
ANONYMOUS_USER_NAME: str | None = None  # guardian: no row for people who are not logged in
GUARDIAN_MONKEY_PATCH_USER = False
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.ScryptPasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "login"

LANGUAGE_CODE = "en"
LANGUAGES = _languages("LANGUAGES")  # codes that people are offered by what their browser asks for
LOCALE_PATHS = [BASE_DIR / "locale"]
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = True
USE_THOUSAND_SEPARATOR = True

FILE_UPLOAD_HANDLERS = [
    "django.core.files.uploadhandler.MemoryFileUploadHandler",
    "servicevault.uploads.SealedUploadHandler",
]

STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = Path(os.environ.get("STATIC_ROOT", BASE_DIR / "staticfiles"))
WHITENOISE_USE_FINDERS = EMBEDDED

SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_AGE = 8 * 60 * 60
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = not EMBEDDED and not DEBUG
SECURE_HSTS_SECONDS = 0 if EMBEDDED or DEBUG else 31_536_000
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = SECURE_HSTS_SECONDS > 0
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "servicevault.api.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_PARSER_CLASSES": ["servicevault.api.parsing.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "servicevault.api.documents.Document",
    "EXCEPTION_HANDLER": "servicevault.api.failures.handle",
    "DATETIME_FORMAT": "%Y-%m-%dT%H:%M:%S.%fZ",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Service Vault",
    "DESCRIPTION": "Imports any PostgreSQL help desk. Failures have one body: message, code, errors, request_id.",
    "VERSION": "0.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "DEFAULT_GENERATOR_CLASS": "servicevault.api.document.Document",
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "SCHEMA_PATH_PREFIX": "/api",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "ENUM_NAME_OVERRIDES": {
        "ServiceStatus": ["healthy", "degraded", "unhealthy"],
        "ApprovalKind": "permissions.models.approvals.Kind",
        "ApprovalStatus": "permissions.models.approvals.Decision",
        "JobState": "servicevault.jobs.models.JobStatus",
        "MissedRun": ["run_once", "skip"],
        "QueryKind": ["builder", "sql"],
    },
}
RATE_LIMITS = _rates("RATE_LIMITS")  # name → requests, seconds; names in servicevault.api.limits (G30)

CELERY_BROKER_URL = REDIS_URL
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_MAX_TASKS_PER_CHILD = 200
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_IGNORE_RESULT = True
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 12 * 60 * 60}  # longer than any slice of a job
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULE = {
    "wake-jobs": {"task": "importer.tasks.wake_jobs", "schedule": 15.0},
    "expire-files": {"task": "importer.tasks.expire_files", "schedule": 3600.0},
    "drop-staged": {"task": "importer.tasks.drop_staged", "schedule": 3600.0},
    "wake-exports": {"task": "exporter.tasks.wake_exports", "schedule": 15.0},
    "run-export-schedules": {"task": "exporter.tasks.run_schedules", "schedule": 30.0},
    "clean-exports": {"task": "exporter.tasks.clean_exports", "schedule": 300.0},
    "expire-approvals": {"task": "permissions.tasks.expire_approvals", "schedule": 3600.0},
    "forget-notifications": {"task": "permissions.tasks.forget_notifications", "schedule": 86_400.0},
    "purge-audit-log": {"task": "permissions.tasks.purge_audit_log", "schedule": 86_400.0},
}

IMPORT_ALLOW_LOOPBACK = _flag("IMPORT_ALLOW_LOOPBACK", EMBEDDED)
IMPORT_HOST_ALLOWLIST = _names("IMPORT_HOST_ALLOWLIST")
IMPORT_PACK_URLS = _names("IMPORT_PACK_URLS")  # hosts that packs may be fetched from, over https
IMPORT_PACK_KEYS = _names("IMPORT_PACK_KEYS")  # public Ed25519 keys in base64 whose packs install without a warning
IMPORT_ALLOW_PRIVILEGED_SOURCE = _flag("IMPORT_ALLOW_PRIVILEGED_SOURCE", False)
IMPORT_SOURCE_REQUIRE_AUTH = os.environ.get("IMPORT_SOURCE_REQUIRE_AUTH", "scram-sha-256")
IMPORT_SOURCE_STATEMENT_TIMEOUT = _number("IMPORT_SOURCE_STATEMENT_TIMEOUT", 300, 1, 86_400)
IMPORT_SOURCE_PREVIEW_TIMEOUT = _number("IMPORT_SOURCE_PREVIEW_TIMEOUT", 5, 1, 600)
IMPORT_SOURCE_LOCK_TIMEOUT = _number("IMPORT_SOURCE_LOCK_TIMEOUT", 5, 1, 600)
IMPORT_SOURCE_CONNECT_TIMEOUT = _number("IMPORT_SOURCE_CONNECT_TIMEOUT", 10, 1, 120)
IMPORT_BATCH_SIZE = _number("IMPORT_BATCH_SIZE", 5000, 10, 10_000)  # rows in one transaction; measured best
IMPORT_FILE_BATCH_SIZE = _number("IMPORT_FILE_BATCH_SIZE", IMPORT_BATCH_SIZE, 10, 50_000)  # the same for files
IMPORT_READ_AHEAD = _number("IMPORT_READ_AHEAD", 50, 1, 10_000)  # rows a worker asks of the source at a time
IMPORT_JOB_TIMEOUT = _number("IMPORT_JOB_TIMEOUT", 3600, 60, 86_400)
IMPORT_MAX_GROWTH = _number("IMPORT_MAX_GROWTH", 0, 0, 100_000_000)  # MB one import may add to the database; 0: any
IMPORT_MAX_CONCURRENT_JOBS = _number("IMPORT_MAX_CONCURRENT_JOBS", 5, 1, 20)
IMPORT_MAX_FILE_SIZE = _number("IMPORT_MAX_FILE_SIZE", 100, 1, 1000)  # MB
IMPORT_MAX_ROWS = _number("IMPORT_MAX_ROWS", 1_000_000, 1, 2_147_483_647)
IMPORT_ALLOWED_EXTENSIONS = _formats("IMPORT_ALLOWED_EXTENSIONS", "csv,json,jsonl,xlsx,xls,xml,yaml")
IMPORT_SCAN_CONTENT = _flag("IMPORT_SCAN_CONTENT", True)
IMPORT_SCAN_COMMAND = os.environ.get(
    "IMPORT_SCAN_COMMAND", ""
)  # gets the file on stdin; an exit code other than 0 refuses it
UI_NEW_BADGES = _flag("UI_NEW_BADGES", True)  # "New" beside data import and export in the navigation (F-152)
IMPORT_REQUIRE_APPROVAL = _flag("IMPORT_REQUIRE_APPROVAL", False)
EXPORT_MAX_ROWS = _number("EXPORT_MAX_ROWS", 1_000_000, 1, 2_147_483_647)
EXPORT_FILE_RETENTION_HOURS = _number("EXPORT_FILE_RETENTION_HOURS", 24, 1, 8760)
EXPORT_ALLOWED_FORMATS = _formats("EXPORT_ALLOWED_FORMATS", "csv,json,jsonl,xlsx,xml,yaml")
EXPORT_COMPRESS_LARGE_FILES = _flag("EXPORT_COMPRESS_LARGE_FILES", True)
EXPORT_COMPRESS_THRESHOLD = _number("EXPORT_COMPRESS_THRESHOLD", 10, 1, 10_000)  # MB
_TEMP_DIR = embedded.data_directory() if EMBEDDED else Path("/tmp")  # noqa: S108 - the documented default (G40)
IMPORT_TEMP_DIR = Path(os.environ.get("IMPORT_TEMP_DIR") or _TEMP_DIR / "imports")
EXPORT_TEMP_DIR = Path(os.environ.get("EXPORT_TEMP_DIR") or _TEMP_DIR / "exports")
if IMPORT_TEMP_DIR.resolve() == EXPORT_TEMP_DIR.resolve():  # each is cleaned of files that its own jobs do not know
    raise ImproperlyConfigured("IMPORT_TEMP_DIR and EXPORT_TEMP_DIR are one folder; allowed are two different ones.")

AUDIT_RETENTION_DAYS = _number("AUDIT_RETENTION_DAYS", 730, 1, 36_500)
DATA_SENSITIVE_COLUMNS = _columns("DATA_SENSITIVE_COLUMNS")  # table.column that must never leave (G15)
DATA_ALLOWED_COLUMNS = _columns("DATA_ALLOWED_COLUMNS")  # table.column whose name was caught wrongly
METRICS_TOKEN = os.environ.get("METRICS_TOKEN", "")
if METRICS_TOKEN and len(METRICS_TOKEN) < 16:
    raise ImproperlyConfigured("METRICS_TOKEN is too short; allowed are 16 characters and more.")

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": "servicevault.logs.JsonLines"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {
        "channels_redis": {"level": "CRITICAL"},  # a traceback a second while the broker is away; we say it ourselves
        "servicevault.imports": {"level": _level("LOG_LEVEL_IMPORT")},
        "servicevault.exports": {"level": _level("LOG_LEVEL_EXPORT")},
    },
}
