"""The web application for an ASGI server, pages and sockets: `uvicorn servicevault.asgi:application`."""

from __future__ import annotations

import os

import django
from channels.routing import ProtocolTypeRouter

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "servicevault.settings")
os.environ.setdefault("DATABASE_POOL_SIZE", "20")
django.setup(set_prefix=False)

from servicevault.live.routing import sockets  # noqa: E402
from servicevault.web.streaming import Pages  # noqa: E402

application = ProtocolTypeRouter({"http": Pages(), "websocket": sockets})
