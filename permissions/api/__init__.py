"""Guide B's endpoints about rights, approvals and the audit log, under /api/v1/data."""
