"""What to do about a finding, by its code."""

from __future__ import annotations

SUGGESTIONS = {
    "required_empty": "Fill the cell, or set a default in the mapping.",
    "not_a_number": "Write digits only, or set the separators in the options.",
    "out_of_range": "Use a value that the column holds.",
    "not_a_boolean": "Write true or false, yes or no, 1 or 0.",
    "bad_date": "Write it as 2024-12-31, or choose the date format.",
    "ambiguous_date": "Choose the date format: DD/MM/YYYY or MM/DD/YYYY.",
    "bad_email": "Correct the address.",
    "foreign_key": "Import the row it names first, or correct the value.",
    "duplicate": "Remove the row, or let rows be skipped or updated.",
    "unique_conflict": "Give the row a value of its own.",
    "too_long": "Shorten the text.",
    "too_many_columns": "Quote cells that hold the delimiter.",
    "unmapped_value": "Say in the mapping what the value means, or correct it.",
    "unresolved_reference": "Import the row it names first, or correct the id.",
    "ambiguous_reference": "Say in the mapping which query the id belongs to.",
    "no_account": "Name its account, or a customer who has one; or ask for the right to import into accounts.",
    "blocked_by_parent": "Correct the row it belongs to; both are imported then.",
    "ambiguous_match": "Give the row an external id, or correct the value it is recognised by.",
    "unmapped_required": "Map a column of the file to it, or give it a default.",
}
