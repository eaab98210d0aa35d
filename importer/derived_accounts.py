"""Accounts made of what customers say: one by company text or mail domain, as the profile says (E34)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from importer.models import ImportProfile
from importer.modes import AccountStrategy
from importer.pipeline.defaults import DEFAULT
from importer.pipeline.plan import digest
from importer.query import expressions
from importer.query.spec import Condition, Field, FilterGroup, QuerySpec, Reference

KEY_CHARACTERS = 64
PUBLIC_MAIL = frozenset({
    "gmail.com", "googlemail.com", "outlook.com", "hotmail.com", "live.com", "yahoo.com", "icloud.com", "me.com",
    "aol.com", "gmx.de", "gmx.net", "web.de", "t-online.de", "proton.me", "protonmail.com", "mail.ru", "yandex.ru",
})  # fmt: skip


def serves(spec: QuerySpec, keys: set[str]) -> bool:
    """Whether the query derives the accounts of one of these."""
    return any(spec.key == key_of(key) for key in keys)


def is_derived(entity: str) -> bool:
    """Whether the entity holds accounts that were made of what customers say."""
    return entity.endswith(_DERIVED)


def key_of(key: str) -> str:
    """Key and entity of the query that derives a query's accounts; keys have at most 64 characters."""
    if len(key) + len(_DERIVED) <= KEY_CHARACTERS:
        return f"{key}{_DERIVED}"
    return f"{key[: KEY_CHARACTERS - len(_DERIVED) - 9]}-{digest({'key': key})[:8]}{_DERIVED}"


_DERIVED = "_accounts"


def beside(keys: Collection[str]) -> set[str]:
    """Of the keys of a job's runs those that count accounts made beside the rows that were read (E34, E36)."""
    return {*map(key_of, keys), DEFAULT} & set(keys)


def added(profile: ImportProfile, specs: list[QuerySpec]) -> list[QuerySpec]:
    """Give customers without a mapped account one by company text or mail domain, as the profile says (E34).

    The accounts come from a query of their own over the same rows, so they have records like any other.
    """
    found: list[QuerySpec] = []
    for spec in specs:
        key = _account_key(profile, spec)
        if key is None:
            found.append(spec)
            continue
        text, name = key
        entity = key_of(spec.entity or spec.key)
        node = expressions.parse(text)
        found.append(
            QuerySpec(
                key=key_of(spec.key),
                name=f"Accounts of {spec.name or spec.key}"[:255],
                entity=entity,
                base=spec.base,
                joins=spec.joins,
                filters=FilterGroup(
                    "and", (spec.filters, Condition(node, "IS NOT NULL"), Condition(node, "!=", ("",)))
                ),
                fields=(Field("external_id", node), Field("name", expressions.parse(f"MIN({name})"))),
                group_by=(node,),
                target_type="accounts",
            )
        )
        account = Field("account_external_id", node, reference=Reference(entity=entity))
        found.append(replace(spec, fields=(*spec.fields, account)))
    return found


def said_by(strategy: AccountStrategy, filled: Collection[str]) -> tuple[str, str] | None:
    """The same of a file's rows: SQL over `p` of an account's external id and name; None where nothing says one."""
    company = "btrim(regexp_replace(btrim(p.company), '\\s+', ' ', 'g'))" if "company" in filled else ""
    domain = ""
    if "email" in filled:
        part = "nullif(split_part(lower(btrim(p.email)), '@', 2), '')"
        public = ", ".join(f"'{name}'" for name in sorted(PUBLIC_MAIL))
        domain = f"CASE WHEN {part} NOT IN ({public}) THEN {part} END"
    by_company = (f"nullif(left(lower({company}), 255), '')", f"left({company}, 255)")
    match strategy:
        case AccountStrategy.COMPANY if company:
            return by_company
        case AccountStrategy.DOMAIN if domain:
            return domain, domain
        case AccountStrategy.COMPANY_OR_DOMAIN if company and domain:
            key, name = by_company
            return f"coalesce({key}, {domain})", f"coalesce(nullif({name}, ''), {domain})"
        case AccountStrategy.COMPANY_OR_DOMAIN if company or domain:
            return by_company if company else (domain, domain)
    return None


def _account_key(profile: ImportProfile, spec: QuerySpec) -> tuple[str, str] | None:
    """Expressions of the account's external id and name, or None when there is nothing to derive it from."""
    if spec.target_type != "customer_users" or spec.kind != "builder" or spec.group_by or spec.distinct_on:
        return None
    if spec.field_for("account_external_id"):
        return None
    sources = {
        target: expressions.render(field.source)
        for target in ("company", "email")
        if (field := spec.field_for(target)) and field.source is not None
    }
    company = (
        f"NULLIF(LOWER(REGEXP_REPLACE(TRIM({sources['company']}), '\\s+', ' ', 'g')), '')"
        if "company" in sources
        else ""
    )
    company_name = f"LEFT(REGEXP_REPLACE(TRIM({sources['company']}), '\\s+', ' ', 'g'), 255)" if company else ""
    domain = ""
    if "email" in sources:
        part = f"NULLIF(SPLIT_PART(LOWER(TRIM({sources['email']})), '@', 2), '')"
        public = ", ".join(f"'{name}'" for name in sorted(PUBLIC_MAIL))
        domain = f"CASE WHEN NOT {part} IN ({public}) THEN {part} END"
    match profile.account_strategy:
        case AccountStrategy.COMPANY if company:
            return f"LEFT({company}, 255)", company_name
        case AccountStrategy.DOMAIN if domain:
            return domain, domain
        case AccountStrategy.COMPANY_OR_DOMAIN if company and domain:
            return f"LEFT(COALESCE({company}, {domain}), 255)", f"COALESCE(NULLIF({company_name}, ''), {domain})"
        case AccountStrategy.COMPANY_OR_DOMAIN if company or domain:
            return (f"LEFT({company}, 255)", company_name) if company else (domain, domain)
    return None
