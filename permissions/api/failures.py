"""How refusals about rights and approvals are told (C15)."""

from __future__ import annotations

from django.core.exceptions import ObjectDoesNotExist

from permissions.approvals import ApprovalConflict, NotesNeeded, SelfApproval
from permissions.granting import AlreadyGranted, OwnRights, Refused
from permissions.models import ExportPermission, ImportPermission
from servicevault.api.failures import Told
from servicevault.wording import say

NO_SUCH = (ImportPermission.DoesNotExist, ExportPermission.DoesNotExist)


def tell(error: Exception) -> Told | None:
    """Status, code, message and more; None for anything else."""
    match error:
        case SelfApproval():
            return 403, error.code, str(error), {}
        case OwnRights():
            return 403, "permission_denied", str(error), {}
        case ApprovalConflict():
            return 409, error.code, str(error), {"status": error.status} if error.status else {}
        case AlreadyGranted():
            return 409, "conflict", str(error), {}
        case NotesNeeded():
            return 422, "validation_error", str(error), {"errors": {"notes": [str(error)]}}
        case Refused():
            return 422, "validation_error", str(error), {"errors": error.errors}
        case ObjectDoesNotExist() if isinstance(error, NO_SUCH):
            return 404, "not_found", say("There is no such permission."), {}
        case _:
            return None
