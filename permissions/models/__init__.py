"""Who may do what, and what was done."""

from permissions.models.approvals import Approval, Decision
from permissions.models.audit import AuditAnchor, AuditEntry
from permissions.models.preferences import Preference
from permissions.models.roles import Grant, Role, known_permissions
from permissions.models.tables import ExportPermission, ImportPermission
from permissions.tokens import ApiToken

__all__ = [
    "ApiToken",
    "Approval",
    "AuditAnchor",
    "AuditEntry",
    "Decision",
    "ExportPermission",
    "Grant",
    "ImportPermission",
    "Preference",
    "Role",
    "known_permissions",
]
