"""What to do about a finding, by its code."""

from __future__ import annotations

from servicevault.wording import say

SUGGESTIONS = {
    "required_empty": say("Fill the cell, or set a default in the mapping."),
    "not_a_number": say("Write digits only, or set the separators in the options."),
    "out_of_range": say("Use a value that the column holds."),
    "not_a_boolean": say("Write true or false, yes or no, 1 or 0."),
    "bad_date": say("Write it as 2024-12-31, or choose the date format."),
    "ambiguous_date": say("Choose the date format: DD/MM/YYYY or MM/DD/YYYY."),
    "bad_email": say("Correct the address."),
    "foreign_key": say("Import the row it names first, or correct the value."),
    "duplicate": say("Remove the row, or let rows be skipped or updated."),
    "unique_conflict": say("Give the row a value of its own."),
    "too_long": say("Shorten the text."),
    "too_many_columns": say("Quote cells that hold the delimiter."),
    "unmapped_value": say("Say in the mapping what the value means, or correct it."),
    "unresolved_reference": say("Import the row it names first, or correct the id."),
    "ambiguous_reference": say("Say in the mapping which query the id belongs to."),
    "no_account": say("Name its account, or a customer who has one; or ask for the right to import into accounts."),
    "blocked_by_parent": say("Correct the row it belongs to; both are imported then."),
    "ambiguous_match": say("Give the row an external id, or correct the value it is recognised by."),
    "unmapped_required": say("Map a column of the file to it, or give it a default."),
}
