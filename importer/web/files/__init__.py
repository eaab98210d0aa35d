"""Pages that bring a file into a table: choose, upload, map, check, import, correct (F-150 to F-161)."""
