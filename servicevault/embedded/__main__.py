from __future__ import annotations

import sys

from servicevault.embedded import main

raise SystemExit(main(sys.argv[1:]))
