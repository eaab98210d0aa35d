"""What people and programs can do with templates; pages, API, admin and commands are short callers of these.

Who may do it is asked before: `permissions.policy`. Only that shipped templates stay as they are is decided here.
"""

from templates_registry.apply import AppliedTemplate, TemplateConflict
from templates_registry.operations.exchange import (
    Exported,
    Imported,
    export_template,
    fetch_pack,
    files_of,
    import_template,
    install,
    is_pack,
    lint,
    try_pack,
)
from templates_registry.operations.registry import (
    SystemTemplate,
    copy,
    create,
    delete,
    save_as_template,
    templates,
    update,
)
from templates_registry.operations.sources import AppliedFit, Detection, apply, detect, fit, fit_of, remove
from templates_registry.operations.upgrading import Change, Undecided, Upgrade, accept_upgrade, upgrade

__all__ = [
    "AppliedFit",
    "AppliedTemplate",
    "Change",
    "Detection",
    "Exported",
    "Imported",
    "SystemTemplate",
    "TemplateConflict",
    "Undecided",
    "Upgrade",
    "accept_upgrade",
    "apply",
    "copy",
    "create",
    "delete",
    "detect",
    "export_template",
    "fetch_pack",
    "files_of",
    "fit",
    "fit_of",
    "import_template",
    "install",
    "is_pack",
    "lint",
    "remove",
    "save_as_template",
    "templates",
    "try_pack",
    "update",
    "upgrade",
]
