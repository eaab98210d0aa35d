"""The formats there are. A new one is a class and an entry here."""

from __future__ import annotations

from servicevault.tabular.contract import Format
from servicevault.tabular.delimited import Delimited
from servicevault.tabular.errors import OptionRefused
from servicevault.tabular.json_records import Json, JsonLines
from servicevault.tabular.workbook import Xls, Xlsx
from servicevault.tabular.xml_records import Xml
from servicevault.tabular.yaml_records import Yaml
from servicevault.wording import say

# In the order in which content is asked: what is surest first, plain text last.
FORMATS: dict[str, Format] = {
    each.name: each for each in (Xlsx(), Xls(), Xml(), JsonLines(), Json(), Yaml(), Delimited())
}


def register(format_: Format) -> None:
    """Add a format; it is asked before those that were there."""
    others = dict(FORMATS)
    FORMATS.clear()
    FORMATS.update({format_.name: format_, **others})


def named(name: str) -> list[Format]:
    """Return the formats a name or an alias means: `excel` is XLSX and XLS, `tsv` is CSV. Raises OptionRefused."""
    wanted = name.lower().lstrip(".")
    found = [each for each in FORMATS.values() if wanted == each.name or wanted in each.aliases]
    if not found:
        raise OptionRefused(
            "format",
            say(
                "There is no format {name!r}. Known formats: {formats}.", name=name, formats=", ".join(sorted(FORMATS))
            ),
        )
    return found


def writable(name: str) -> Format:
    """Return the format to write; XLS is refused with the advice XLSX. Raises OptionRefused."""
    for each in named(name):
        if each.can_write:
            return each
    raise OptionRefused("format", say("{name} is only read, not written. Choose xlsx.", name=name))
