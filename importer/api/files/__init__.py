"""`/api/v1/data/import`: files into tables (guide B); callers of `importer.operations.files`."""
