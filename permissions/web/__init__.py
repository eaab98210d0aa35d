"""Pages about rights, approvals and the audit log."""
