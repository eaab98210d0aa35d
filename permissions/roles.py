"""The permissions that exist and the roles we ship, as data (spec G1, G4)."""

from __future__ import annotations

from servicevault.wording import say

FUNCTIONAL: dict[str, str] = {
    "system.import": say("Use the import system and see own jobs"),
    "system.configure": say("Create, change and delete templates; install packs"),
    "system.import.configure": say("Create and change import profiles, queries and schedules"),
    "import.profiles.manage": say("Create and change import profiles, queries and schedules"),
    "system.import.execute": say("Start, rehearse, retry and resume imports"),
    "import.jobs.execute": say("Start, rehearse, retry and resume imports"),
    "import.jobs.monitor": say("See other people's jobs, statistics and error details"),
    "import.records.manage": say("Approve, retry and delete records; work the review queue"),
    "import.rollback": say("Roll back imports and undo rollbacks"),
    "import.approve": say("Decide approvals"),
    "import.raw_sql": say("Write SQL queries"),
    "import.pii.reveal": say("See unmasked previews"),
    "data.permissions.manage": say("Grant table permissions"),
    "export.links": say("Create download links"),
    "export.unguarded": say("Export without the formula guard"),
    "audit.view": say("Read everyone's audit log"),
    "system.metrics": say("Read metrics"),
}
PAGES: dict[str, str] = {
    "pages.import.manage": say("Import"),
    "pages.settings.import": say("Import settings"),
    "pages.settings.data_import": say("Data import"),
    "pages.settings.data_export": say("Data export"),
    "pages.exports": say("Exports"),
    "pages.approvals": say("Approvals"),
    "pages.audit": say("Audit"),
    "pages.analytics": say("Analytics"),
}
WIDGETS: dict[str, str] = {
    "widget.import.jobs": say("Running imports"),
    "widget.import.review": say("Review queue"),
    "widget.import.sync": say("Next syncs"),
    "widget.export.jobs": say("Recent exports"),
}
ALL: dict[str, str] = FUNCTIONAL | PAGES | WIDGETS

# Either of a pair suffices where G1 names two.
CONFIGURE = ("system.import.configure", "import.profiles.manage")
EXECUTE = ("system.import.execute", "import.jobs.execute")

SUPER_ADMIN = "Super Admin"
ADMIN = "Admin"
AGENT = "Agent"
LABELS = {  # of the shipped roles, which are stored by their English names
    SUPER_ADMIN: say("Super Admin"),
    ADMIN: say("Admin"),
    "Import Operator": say("Import Operator"),
    "Approver": say("Approver"),
    "Auditor": say("Auditor"),
    AGENT: say("Agent"),
    "Account User": say("Account User"),
}
SEEDED: dict[str, tuple[str, ...]] = {
    SUPER_ADMIN: tuple(ALL),
    ADMIN: tuple(name for name in ALL if name not in {"system.configure", "import.raw_sql"}),
    "Import Operator": (
        "system.import",
        *EXECUTE,
        "import.jobs.monitor",
        "import.records.manage",
        "pages.import.manage",
        "pages.analytics",
        *WIDGETS,
    ),
    "Approver": ("system.import", "import.approve", "import.jobs.monitor", "pages.import.manage", "pages.approvals"),
    "Auditor": ("audit.view", "import.jobs.monitor", "system.import", "pages.audit", "pages.analytics"),
    AGENT: (),
    "Account User": (),
}
