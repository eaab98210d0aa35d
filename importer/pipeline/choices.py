"""Choices: what people said about single rows, joined to the rows of a slice (U25).

A row that was said to be somebody is that one, whatever it looks like; whom one row was said to be, no other row is
matched with.
"""

from __future__ import annotations

import json

import psycopg
from psycopg import sql

from importer.modes import AgentAction
from importer.pipeline.binding import Bind
from importer.pipeline.plan import LoadPlan

_AS = "AS choice(id text, action text, target uuid, problem text)"


def joined(plan: LoadPlan, bind: Bind) -> sql.Composable:
    """LEFT JOIN of the choices to the rows `p`."""
    if not plan.choices:
        return sql.SQL("")
    return sql.SQL('LEFT JOIN jsonb_to_recordset({}) {} ON choice.id COLLATE "C" = p.key').format(
        bind(_listed(plan), "jsonb"), sql.SQL(_AS)
    )


def action(plan: LoadPlan) -> sql.Composable:
    """What is to become of the row; NULL when nobody said anything, or nothing that can be done."""
    if not plan.choices:
        return sql.SQL("NULL::text")
    return sql.SQL("CASE WHEN choice.problem = '' THEN choice.action END")


def target(plan: LoadPlan) -> sql.Composable:
    return sql.SQL("choice.target") if plan.choices else sql.SQL("NULL::uuid")


def with_problem(plan: LoadPlan, failures: sql.Composable) -> sql.Composable:
    """The row's failures; a choice that cannot be done is the only one."""
    if not plan.choices:
        return failures
    return sql.SQL(
        "CASE WHEN choice.problem <> '' THEN jsonb_build_array(jsonb_build_object('code', 'agent_choice', "
        "'field', 'external_id', 'message', choice.problem, 'value', p.key)) ELSE {} END"
    ).format(failures)


def unclaimed(plan: LoadPlan, bind: Bind) -> sql.Composable:
    """Whether row `t` of the target is free to be matched: nobody said that another row is it."""
    claimed = [
        choice.target for choice in plan.choices if choice.action is AgentAction.MATCH and choice.target is not None
    ]
    return sql.SQL("t.id <> ALL({})").format(bind(claimed, "uuid[]")) if claimed else sql.SQL("true")


def moved(connection: psycopg.Connection, plan: LoadPlan) -> set[bytes]:
    """Keys of rows that were imported as something else than what is said now: no hash lets them pass."""
    if not plan.choices:
        return set()
    found = connection.execute(
        sql.SQL(
            "SELECT e.external_id FROM external_refs e JOIN jsonb_to_recordset(%s::jsonb) {} "
            "ON choice.id COLLATE \"C\" = e.external_id WHERE e.entity_id = %s AND (choice.problem <> '' "
            "OR choice.action = 'match' AND e.target_id IS DISTINCT FROM choice.target "
            "OR choice.action = 'placeholder' AND NOT e.stands_in)"
        ).format(sql.SQL(_AS)),
        (_listed(plan), plan.entity_id),
    )
    return {key.encode() for (key,) in found}


def _listed(plan: LoadPlan) -> str:
    return json.dumps(
        [
            {
                "id": choice.external_id,
                "action": str(choice.action),
                "target": str(choice.target) if choice.target else None,
                "problem": choice.problem,
            }
            for choice in plan.choices
        ]
    )
