"""Service Vault: a help desk's past, moved into its future."""

from servicevault.celery import app as celery_app

__version__ = "0.1.0"
__all__ = ["celery_app"]
