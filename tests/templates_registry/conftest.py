"""Packs are held against real databases; imports of theirs run on connections of their own."""

from tests.importer.conftest import desk, target

__all__ = ["desk", "target"]
