"""Help desks that do not keep their data in PostgreSQL, and how to make a copy that can be imported.

Nothing here connects to anything: the page shows the commands, a person runs them. The copy is a database of its own
that a builder's profile, or the pack named here, reads like any other source.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from servicevault.wording import say

Engine = Literal["mysql", "mssql", "mongodb", "cloud"]


@dataclass(frozen=True)
class Command:
    """One step on a shell, with what it is for."""

    title: str
    text: str


@dataclass(frozen=True)
class Platform:
    """A help desk that needs a staging copy first."""

    key: str
    name: str
    engine: Engine
    tables: tuple[str, ...]  # where tickets, messages and people are
    notes: str = ""
    pack: str = ""  # a shipped pack that reads the copy as it is

    @property
    def commands(self) -> tuple[Command, ...]:
        """The steps to a PostgreSQL copy and to a login that can only read it."""
        made = {"mysql": _MYSQL, "mssql": _MSSQL, "mongodb": _MONGODB, "cloud": _CLOUD}[self.engine]
        filled = tuple(Command(step.title, step.text.replace("{copy}", f"{self.key}_copy")) for step in made)
        return (*filled, Command(_READER.title, _READER.text.replace("{copy}", f"{self.key}_copy")))


_CREATE = Command(say("Make an empty PostgreSQL database for the copy"), "createdb {copy}")
_READER = Command(
    say("Make a login that can only read the copy"),
    "psql {copy} <<'SQL'\n"
    "CREATE ROLE vault_reader LOGIN PASSWORD 'choose-a-long-one';\n"
    "GRANT USAGE ON SCHEMA public TO vault_reader;\n"
    "GRANT SELECT ON ALL TABLES IN SCHEMA public TO vault_reader;\n"
    "SQL",
)
_MYSQL = (
    _CREATE,
    Command(
        say("Describe the copy: tables of MySQL or MariaDB go to the schema public, zero dates become empty"),
        "cat > {copy}.load <<'LOAD'\n"
        "LOAD DATABASE\n"
        "  FROM mysql://reader:password@mysql-host:3306/helpdesk\n"
        "  INTO postgresql:///{copy}\n"
        "  WITH include drop, create tables, create indexes, reset sequences, batch rows = 5000\n"
        "  SET MySQL PARAMETERS net_read_timeout = '600', net_write_timeout = '600'\n"
        "  CAST type datetime to timestamp drop default drop not null using zero-dates-to-null,\n"
        "       type date drop not null drop default using zero-dates-to-null,\n"
        "       type tinyint to smallint drop typemod\n"
        "  ALTER SCHEMA 'helpdesk' RENAME TO 'public';\n"
        "LOAD",
    ),
    Command(say("Copy (repeat it before the final import: it replaces the copy)"), "pgloader {copy}.load"),
    Command(say("Let the planner know the sizes"), "vacuumdb --analyze {copy}"),
)
_MSSQL = (
    _CREATE,
    Command(
        say("Describe the copy: the schema dbo becomes public"),
        "cat > {copy}.load <<'LOAD'\n"
        "LOAD DATABASE\n"
        "  FROM mssql://reader:password@sql-server-host/helpdesk\n"
        "  INTO postgresql:///{copy}\n"
        "  WITH include drop, create tables, create indexes, reset sequences\n"
        "  ALTER SCHEMA 'dbo' RENAME TO 'public';\n"
        "LOAD",
    ),
    Command(say("Copy (repeat it before the final import: it replaces the copy)"), "pgloader {copy}.load"),
    Command(say("Let the planner know the sizes"), "vacuumdb --analyze {copy}"),
)
_MONGODB = (
    _CREATE,
    Command(
        say("Write each collection as one JSON document a line"),
        "for name in users messages rooms; do\n"
        "  mongoexport --uri mongodb://reader:password@mongo-host/helpdesk --collection $name --out $name.jsonl\n"
        "done",
    ),
    Command(
        say("Load the documents; then make views with the columns you need"),
        "for name in users messages rooms; do\n"
        '  psql {copy} -c "CREATE TABLE $name (document jsonb)"\n'
        "  psql {copy} -c \"\\\\copy $name FROM '$name.jsonl' WITH (FORMAT csv, QUOTE e'\\\\x01', DELIMITER e'\\\\x02')\"\n"
        "done",
    ),
)
_CLOUD = (
    _CREATE,
    Command(
        say("Export from the provider's administration (CSV or JSON), then load each file"),
        "psql {copy} -c 'CREATE TABLE tickets (id bigint, subject text, status text, requester text, created_at text)'\n"
        "psql {copy} -c \"\\\\copy tickets FROM 'tickets.csv' WITH (FORMAT csv, HEADER true)\"",
    ),
)

PLATFORMS: tuple[Platform, ...] = (
    Platform(
        "osticket", "osTicket", "mysql",
        ("ost_ticket", "ost_thread", "ost_thread_entry", "ost_user", "ost_user_email", "ost_staff", "ost_organization"),
        say("The subject is in ost_ticket__cdata; a ticket's messages hang on ost_thread (object_type T). The prefix ost_ can differ."),
    ),
    Platform(
        "uvdesk", "UVdesk Community", "mysql",
        ("uv_ticket", "uv_thread", "uv_user", "uv_user_instance", "uv_ticket_status", "uv_ticket_priority"),
        say("One person has an instance for each role: uv_user_instance.supportRole_id tells agents from customers."),
    ),
    Platform(
        "kayako", say("Kayako Classic"), "mysql",
        ("swtickets", "swticketposts", "swusers", "swuseremails", "swuserorganizations", "swstaff", "swtickettimetracks"),
        say("Times are seconds since 1970 (dateline): use to_timestamp in the mapping."),
    ),
    Platform(
        "otrs_mysql", say("OTRS or Znuny on MySQL"), "mysql",
        ("ticket", "article", "article_data_mime", "customer_user", "customer_company", "users", "time_accounting"),
        say("The copy has the tables of the PostgreSQL edition: apply the pack Znuny / OTRS to it."),
        pack="znuny",
    ),
    Platform(
        "redmine_mysql", say("Redmine on MySQL"), "mysql",
        ("issues", "journals", "users", "email_addresses", "projects", "time_entries"),
        say("Remove the cast of tinyint from the file: the pack Redmine needs truths, and pgloader makes them of tinyint(1)."),
        pack="redmine",
    ),
    Platform(
        "rt_mysql", say("Request Tracker on MySQL"), "mysql",
        ("Tickets", "Transactions", "Attachments", "Users", "Groups", "GroupMembers", "Principals"),
        say("pgloader writes names in small letters, as the pack Request Tracker expects them."),
        pack="request_tracker",
    ),
    Platform(
        "freescout_mysql", "FreeScout on MySQL", "mysql",
        ("conversations", "threads", "customers", "emails", "users", "mailboxes"),
        say("Remove the cast of tinyint from the file: the pack FreeScout needs truths where the product has them."),
        pack="freescout",
    ),
    Platform(
        "hesk", "HESK", "mysql",
        ("hesk_tickets", "hesk_replies", "hesk_notes", "hesk_users", "hesk_customers", "hesk_categories"),
        say("Before HESK 3.5 customers are columns of hesk_tickets (name, email); status 3 is resolved."),
    ),
    Platform(
        "supportcandy", "SupportCandy (WordPress)", "mysql",
        ("wp_psmsc_tickets", "wp_psmsc_threads", "wp_psmsc_customers", "wp_psmsc_agents", "wp_psmsc_statuses"),
        say("Copy these tables only: add INCLUDING ONLY TABLE NAMES MATCHING ~/psmsc/ before the ALTER line."),
    ),
    Platform(
        "glpi", "GLPI", "mysql",
        ("glpi_tickets", "glpi_itilfollowups", "glpi_tickettasks", "glpi_users", "glpi_useremails", "glpi_entities"),
        say("Requester and assignee are rows of glpi_tickets_users (type 1 and 2); texts are HTML with entities."),
    ),
    Platform(
        "faveo", "Faveo", "mysql",
        ("tickets", "ticket_thread", "users", "organization", "user_assign_organization", "ticket_status"),
        say("The first row of ticket_thread is the description; is_internal marks notes."),
    ),
    Platform(
        "itop", "iTop", "mysql",
        ("ticket", "ticket_request", "contact", "person", "organization"),
        say("A ticket's columns are spread over ticket and ticket_request; the log is one text."),
    ),
    Platform(
        "vtiger", "vtiger CRM", "mysql",
        ("vtiger_troubletickets", "vtiger_crmentity", "vtiger_modcomments", "vtiger_account", "vtiger_contactdetails"),
        say("Owner, creation time and deletion mark are in vtiger_crmentity."),
    ),
    Platform(
        "mantis", "MantisBT", "mysql",
        ("mantis_bug_table", "mantis_bugnote_table", "mantis_bugnote_text_table", "mantis_user_table", "mantis_project_table"),
        say("Status is a number in steps of ten (10 new to 90 closed); time is seconds since 1970."),
    ),
    Platform(
        "spiceworks", say("Web Help Desk, ServiceDesk Plus and others on SQL Server"), "mssql",
        ("tickets", "notes", "users"),
        say("Names differ by product: look at the copy's tables, then build the queries."),
    ),
    Platform(
        "rocketchat", say("Rocket.Chat Omnichannel"), "mongodb", ("rooms", "messages", "users"),
        say("Rooms of type l are conversations; visitors are in the collection rocketchat_livechat_visitor."),
    ),
    Platform(
        "zendesk", say("Zendesk, Freshdesk, Help Scout and other services"), "cloud", ("tickets", "comments", "users"),
        say("Their data leaves as files: the file import reads CSV and JSON without a copy, too."),
    ),
)  # fmt: skip


def platform(key: str) -> Platform | None:
    return next((item for item in PLATFORMS if item.key == key), None)


def platforms(search: str = "") -> tuple[Platform, ...]:
    """The platforms whose name contains `search`, by name."""
    found = (item for item in PLATFORMS if search.casefold() in item.name.casefold())
    return tuple(sorted(found, key=lambda item: item.name.casefold()))
