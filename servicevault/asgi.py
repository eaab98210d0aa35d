"""The web application for an ASGI server, pages and sockets: `uvicorn servicevault.asgi:application`."""

from __future__ import annotations

import os

from channels.routing import ProtocolTypeRouter
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "servicevault.settings")
os.environ.setdefault("DATABASE_POOL_SIZE", "20")

_pages = get_asgi_application()  # sets Django up, which the sockets need

from servicevault.live.routing import sockets  # noqa: E402

application = ProtocolTypeRouter({"http": _pages, "websocket": sockets})
