"""The servers of the tests, named before anything reads the settings: pytest loads this before its other plugins.

They are not those of the demo, and need not survive the machine.
"""

from __future__ import annotations

import os

from servicevault import embedded

os.environ.setdefault("SERVICEVAULT_DATA_DIR", ".data/tests")
os.environ.setdefault("SERVICEVAULT_VOLATILE", "true")
embedded.export()
