"""What the codes of records are called, in a few words: for facets, and where no sentence tells more (C14).

Programs read the codes; people read these. A code that a plugin or an older record brings is shown as it is.
"""

from __future__ import annotations

from servicevault.wording import say

WORDS = {
    # What kept a row out, or made it wait
    "ambiguous_match": say("several could be it"),
    "ambiguous_reference": say("several could be meant"),
    "blocked_by_parent": say("what it belongs to is not here"),
    "duplicate": say("here already, or twice in the source"),
    "duplicate_in_source": say("twice in the source"),
    "exists": say("here already"),
    "late_link": say("linked later"),
    "no_account": say("no account"),
    "not_found": say("not here"),
    "number_taken": say("number taken"),
    "placeholder_agent": say("a placeholder stands for it"),
    "replanned": say("not as planned"),
    "target_deleted": say("deleted here"),
    "uncertain_match": say("not sure that it is the same"),
    "unique_conflict": say("a value that must be unique is taken"),
    "unmapped_value": say("a code that no value map knows"),
    "unmatched_agent": say("an agent nobody matched"),
    "agent_choice": say("an agent somebody chose is gone"),
    # What is wrong with a value
    "ambiguous_date": say("can be two dates"),
    "bad_date": say("no date"),
    "bad_duration": say("no duration"),
    "bad_email": say("no e-mail address"),
    "bad_json": say("no JSON"),
    "bad_list": say("no list"),
    "bad_timezone": say("no time zone"),
    "bad_url": say("no web address"),
    "bad_uuid": say("no UUID"),
    "bad_value": say("not a value of its type"),
    "external_id_empty": say("no identifier"),
    "name_empty": say("no name"),
    "not_a_boolean": say("neither yes nor no"),
    "not_a_number": say("no number"),
    "not_after": say("not after the other"),
    "not_one_of": say("none of the allowed values"),
    "not_unique": say("not unique"),
    "nothing_found": say("nothing found for it"),
    "nul_byte": say("a character that cannot be stored"),
    "out_of_range": say("out of range"),
    "pattern_mismatch": say("does not fit the pattern"),
    "required_empty": say("empty and needed"),
    "row_too_large": say("row too large"),
    "time_does_not_exist": say("a time that the clocks skipped"),
    "time_is_ambiguous": say("a time that came twice"),
    "too_large": say("too large"),
    "too_long": say("too long"),
    "too_small": say("too small"),
    "too_short": say("too short"),
    # What the database refused
    "check_violation": say("refused by a rule"),
    "foreign_key": say("points to nothing"),
    "rejected": say("refused by the database"),
    # What goes in all the same
    "account_taken_from_ticket": say("account of the ticket taken"),
    "empty_replaced": say("empty value replaced"),
    "leading_zeros": say("leading zeros lost"),
    "login_kept": say("login kept"),
    "replacement_character": say("unreadable characters replaced"),
    "unusual_date": say("unusual date"),
    "unusual_duration": say("unusual duration"),
    "unusual_value": say("unusual value"),
}


def words(code: str) -> str:
    """What people call the code."""
    return WORDS.get(code) or code.replace("_", " ")
