"""Rows into any table: recognised by a key of the table's own instead of external references.

Reading, transforming, judging and the bookkeeping of a slice are those of every import; what differs is how a row
finds the one that is there already (`decide`) and how it is written (`write`).
"""
