"""The permissions that exist and the roles we ship, as data (spec G1, G4)."""

from __future__ import annotations

FUNCTIONAL: dict[str, str] = {
    "system.import": "Use the import system and see own jobs",
    "system.configure": "Create, change and delete templates; install packs",
    "system.import.configure": "Create and change import profiles, queries and schedules",
    "import.profiles.manage": "Create and change import profiles, queries and schedules",
    "system.import.execute": "Start, rehearse, retry and resume imports",
    "import.jobs.execute": "Start, rehearse, retry and resume imports",
    "import.jobs.monitor": "See other people's jobs, statistics and error details",
    "import.records.manage": "Approve, retry and delete records; work the review queue",
    "import.rollback": "Roll back imports and undo rollbacks",
    "import.approve": "Decide approvals",
    "import.raw_sql": "Write SQL queries",
    "import.pii.reveal": "See unmasked previews",
    "data.permissions.manage": "Grant table permissions",
    "export.links": "Create download links",
    "export.unguarded": "Export without the formula guard",
    "audit.view": "Read everyone's audit log",
    "system.metrics": "Read metrics",
}
PAGES: dict[str, str] = {
    "pages.import.manage": "Import",
    "pages.settings.import": "Import settings",
    "pages.settings.data_import": "Data import",
    "pages.settings.data_export": "Data export",
    "pages.exports": "Exports",
    "pages.approvals": "Approvals",
    "pages.audit": "Audit",
    "pages.analytics": "Analytics",
}
WIDGETS: dict[str, str] = {
    "widget.import.jobs": "Running imports",
    "widget.import.review": "Review queue",
    "widget.import.sync": "Next syncs",
    "widget.export.jobs": "Recent exports",
}
ALL: dict[str, str] = FUNCTIONAL | PAGES | WIDGETS

# Either of a pair suffices where G1 names two.
CONFIGURE = ("system.import.configure", "import.profiles.manage")
EXECUTE = ("system.import.execute", "import.jobs.execute")

SUPER_ADMIN = "Super Admin"
ADMIN = "Admin"
AGENT = "Agent"
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
