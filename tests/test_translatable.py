"""Whatever Python shows to a person goes through `say`, so that it can be translated (C14, docs/adr/0007)."""

from __future__ import annotations

import ast
import re
import string
from collections.abc import Iterator

import pytest

from tests.parsing import parsed
from tests.test_architecture import MODULES, name_of

SAYING = {"say": 1, "say_count": 2}  # how many of the first arguments are patterns
UNTRANSLATED = {
    "servicevault/settings.py": "read before there is a language; it speaks to whoever starts the server",
    "servicevault/api/documents.py": "the API's document, for programmers",
    "servicevault/demo/people.py": "the demo desk's data",
    "servicevault/demo/rows.py": "the demo desk's data",
    "servicevault/demo/shop.py": "the demo shop's data",
    "servicevault/demo/vocabulary.py": "the demo desk's data",
    "servicevault/metrics.py": "read by Prometheus, which knows its metrics by English descriptions",
    "servicevault/embedded/": "runs before Django; it speaks to whoever starts the server",
    "importer/mapping/synonyms.py": "names of columns in the languages of sources",
}
# Calls whose texts nobody reads as they stand: logs, SQL, patterns, and the documents for programmers, which are English.
SILENT = {"SQL", "execute", "executemany", "RawSQL", "RunSQL", "compile", "sub", "search", "match", "fullmatch",
          "split", "extend_schema", "extend_schema_view", "extend_schema_field", "inline_serializer", "OpenApiParameter",
          "OpenApiExample", "OpenApiResponse", "wrap", "PolymorphicProxySerializer", "Literal", "getLogger"}  # fmt: skip
LOGGERS = {"logger", "log", "logging"}
DOCUMENTS = {"help_text", "description", "summary", "tags"}  # of serializers: they become the API's document
PROGRAMMERS = {
    "RuntimeError",
    "AssertionError",
    "TypeError",
    "NotImplementedError",
    "AttributeError",
    "KeyError",
    "LookupError",
}
SHOWN = {"label", "help_text", "verbose_name", "verbose_name_plural", "hint", "short_description", "title", "caption",
         "empty_label", "placeholder", "help"}  # fmt: skip
SQL_WORDS = {"SELECT", "WITH", "INSERT", "UPDATE", "DELETE", "CREATE", "DROP", "ALTER", "GRANT", "REVOKE", "SET", "CASE", "DO", "ORDER",
             "GROUP", "WHERE", "FROM", "JOIN", "LEFT", "AND", "OR", "NOT", "EXPLAIN", "COPY", "LOCK", "BEGIN", "COMMIT", "ROLLBACK",
             "ON", "IN", "FETCH", "DECLARE", "CLOSE", "ANALYZE", "VALUES", "CAST", "AS", "UNION", "SAVEPOINT", "RELEASE", "SHOW", "IS", "NULLS"}  # fmt: skip
SMALL_WORDS = {"is", "are", "was", "were", "not", "no", "a", "an", "the", "of", "to", "for", "than", "at", "in", "by", "with", "has",
               "have", "may", "must", "can", "cannot", "it", "this", "that", "from", "be", "its", "only"}  # fmt: skip
DATA = {"Ann Lee", "Hi Ann", "a &lt; b", "is distinct from", "is not distinct from", "Jo Doe", "Doe, Jo", "Anna Maria", "a at b", "Super Admin", "Service Vault", "Service Vault demo",
        "Demo help desk", "Demo administrator", "JSON Lines", "Excel", "Excel (XLSX)", "Excel 97-2003 (XLS)"}  # fmt: skip  # kept in the database, or the same in every language
CODE = re.compile(  # alternatives, signatures, types and shell
    r"\S\|\S|HH:|\{copy\}|\$name|\{platform\}\n|\.\*|^[A-Z_]+\(.*\)$|^(timestamp|time|at) (with|without|time) |^<\w+>|^Bearer |^Quote |Content-Disposition"
)
VALUE = "\0"  # stands for an expression of an f-string


def reads_like_words(text: str) -> bool:
    """A label or sentence begins with a capital or a value; a piece of one has at least three words, one of them small."""
    text = text.strip()
    if text in DATA or CODE.search(text):
        return False
    if " " not in text or sum(each.isalnum() or each in " ,.'-:;“”?!()`_/\0" for each in text) < 0.85 * len(text):
        return False
    if re.split(r"[^A-Za-z]", text.lstrip("\0“`(\"' \n"))[0] in SQL_WORDS and not text.endswith("."):
        return False
    words = re.findall(r"(?<![\w<&.])[A-Za-z][a-z'-]*(?=[\s,.;:?!)”`\0]|$)", text)
    if re.match(r"[“`(\"]?([A-Z]|\0)", text):
        return len(words) >= 2 or (VALUE in text and len(words) == 1 and len(words[0]) > 1)
    return len(text.replace(VALUE, " X ").split()) >= 3 and not SMALL_WORDS.isdisjoint(words)


def text_of(node: ast.AST) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else VALUE for part in node.values)
    return None


def called(node: ast.AST) -> str:
    if not isinstance(node, ast.Call):
        return ""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def is_silent(node: ast.AST, name: str) -> bool:
    """Say whether nothing below the node is shown to a person."""
    match node:
        case ast.Expr(value=ast.Constant() | ast.JoinedStr()) | ast.Assert():
            return True
        case ast.Call(func=ast.Attribute(value=ast.Name(id=base))) if base in LOGGERS:
            return True
        case ast.Call():
            return called(node) in SILENT
        case ast.Raise(exc=ast.Call() as error):
            return called(error) in PROGRAMMERS
        case ast.keyword(arg=argument):
            return argument in DOCUMENTS and "/api/" in name
        case ast.Assign(targets=[ast.Subscript(slice=ast.Constant())], value=ast.Constant()):
            return True  # a header of an answer
    return False


def parts_of(node: ast.AST, name: str) -> Iterator[ast.AST]:
    """The children that may be shown: not what is only compared or looked up."""
    match node:
        case ast.Call() if called(node) in SAYING and isinstance(node.func, ast.Name):
            yield from (keyword.value for keyword in node.keywords)
        case ast.Dict(keys=keys, values=values):
            yield from (key for key in keys if key is not None and not isinstance(key, ast.Constant))
            silent = DOCUMENTS if "/api/" in name else set()
            for key, value in zip(keys, values, strict=True):
                if key is None or text_of(key) not in silent:
                    yield value
        case ast.Compare() | ast.Subscript():
            yield from (child for child in ast.iter_child_nodes(node) if text_of(child) is None)
        case _:
            yield from ast.iter_child_nodes(node)


def label_of(node: ast.AST) -> ast.expr | None:
    """What is given as a label, however short."""
    match node:
        case ast.keyword(arg=str(shown), value=value) if shown in SHOWN:
            pass
        case ast.Assign(targets=[ast.Name(id=shown)], value=value) if shown in SHOWN:
            pass
        case _:
            return None
    text = text_of(value) or ""
    return value if re.search("[a-z]{2}", text) and "_" not in text and text not in DATA else None


def is_named(field: ast.Call) -> bool:
    return any(each.arg == "label" or ast.unparse(each) == "widget=forms.HiddenInput" for each in field.keywords)


def unlabelled(node: ast.AST) -> Iterator[ast.expr]:
    """What Django would give a label to by itself, made from a name in English."""
    if not isinstance(node, ast.ClassDef):
        return
    is_choices = any(ast.unparse(base).endswith("TextChoices") for base in node.bases)
    for line in node.body:
        match line:
            case ast.Assign(value=ast.Constant(value=str()) as member) if is_choices:
                yield member
            case ast.Assign(value=ast.Tuple(elts=[_, ast.Constant() as label])) if is_choices:
                yield label
            case ast.Assign(value=ast.Call(func=ast.Attribute(value=ast.Name(id="forms"))) as field) if called(
                field
            ).endswith("Field") and not is_named(field):
                yield field


def words_of_choices(node: ast.AST) -> Iterator[ast.expr]:
    """The words of `(value, "Words")` pairs, of one word too; what is not capital and small letters is a name: CSV, UTF-8."""
    if not isinstance(node, ast.List | ast.Tuple):
        return
    pairs = [each for each in node.elts if isinstance(each, ast.Tuple) and len(each.elts) == 2]
    if len(pairs) < 2 or len(pairs) < len(node.elts):
        return
    for pair in pairs:
        words = text_of(pair.elts[1])
        if isinstance(pair.elts[0], ast.Constant) and words and re.fullmatch("[A-Z][a-z]+", words):
            yield pair.elts[1]


def unsaid(node: ast.AST, name: str) -> Iterator[ast.expr]:
    """The texts below the node that a person reads and no translator sees."""
    if is_silent(node, name):
        return
    yield from (text for text in (*unlabelled(node), *words_of_choices(node)) if text_of(text) not in DATA)
    if label := label_of(node):
        yield label
    elif isinstance(node, ast.expr) and reads_like_words(text_of(node) or ""):
        yield node
    else:
        for child in parts_of(node, name):
            yield from unsaid(child, name)


def misspoken(node: ast.AST) -> str:
    """What xgettext or `format` would stumble over in a call of `say`; empty when it is well."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.func.id not in SAYING:
        return ""
    patterns = [each.value for each in node.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]
    if len(patterns) != SAYING[node.func.id]:
        return "its patterns must be literal, as xgettext reads nothing else"
    given = {str(keyword.arg) for keyword in node.keywords}
    if node.func.id == "say" and not given:
        return ""  # as it stands, or a pattern in a table that .format() fills in
    wanted = {name for text in patterns for _, name, _, _ in string.Formatter().parse(text) if name is not None}
    if node.func.id == "say_count":
        wanted.discard("count")
    return "" if wanted == given else f"it names {sorted(wanted)} and gives {sorted(given)}"


def findings(source: str, name: str) -> list[str]:
    if name.startswith(tuple(UNTRANSLATED)):
        return []
    tree = parsed(source, name)
    unseen = [(node.lineno, repr(ast.unparse(node))) for node in unsaid(tree, name)]
    broken = [(getattr(node, "lineno", 0), said) for node in ast.walk(tree) if (said := misspoken(node))]
    return [f"{name}:{line} {words}" for line, words in sorted(unseen + broken)]


@pytest.mark.req("C14")
def test_a_translator_sees_whatever_a_person_reads() -> None:
    found = [
        line for path in MODULES if "migrations" not in path.parts for line in findings(path.read_text(), name_of(path))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("source", "is_found"),
    [
        ('raise SourceLost("The connection broke.")', True),
        ('raise SourceLost(f"{place} did not answer in time.")', True),
        ('raise SourceLost(say("The connection broke."))', False),
        ('raise SourceLost(say("{place} did not answer.", place=place))', False),
        ('raise SourceLost(say(f"{place} did not answer."))', True),
        ('raise SourceLost(say("{place} did not answer.", host=place))', True),
        ('raise SourceLost(say("It failed: {cause}.", cause="it took too long" if late else other))', True),
        ('say_count("{count} row of {table}", "{count} rows of {table}", rows, table=name)', False),
        ('say_count("{count} row of {table}", "{count} rows of {table}", rows)', True),
        ('name = forms.CharField(label="Name")', True),
        ('class Meta:\n    verbose_name = "import"', True),
        ('class Kind(models.TextChoices):\n    FILE = "file"', True),
        ('class Kind(models.TextChoices):\n    FILE = "file", "File"', True),
        ('class Kind(models.TextChoices):\n    FILE = "file", say("File")', False),
        ("class PlaceForm(forms.Form):\n    host = forms.CharField(max_length=255)", True),
        ('class PlaceForm(forms.Form):\n    host = forms.CharField(label=say("Host"))', False),
        ("class PlaceForm(forms.Form):\n    version = forms.IntegerField(widget=forms.HiddenInput)", False),
        ('KINDS = [("file", "File"), ("import", "Import")]', True),
        ('KINDS = [("file", say("File")), ("csv", "CSV")]', False),
        ('KINDS = {"of a person": say("A person")}', False),
        ('KINDS = {"person": "A natural person"}', True),
        ('messages.success(request, "“" + name + "” was saved.")', True),
        ('raise RuntimeError("This cannot happen.")', False),
        ('logger.warning("The cache does not answer.")', False),
        ('sql.SQL("Lock of the TABLE is {}")', False),
        ('def f():\n    "What it does."', False),
        ('at = connection.execute("select it from the table")', False),
    ],
)
def test_it_finds_what_a_translator_would_not(source: str, is_found: bool) -> None:
    assert bool(findings(source, "importer/module.py")) is is_found
