"""Service Vault: a help desk's past, moved into its future."""

__version__ = "0.1.0"
