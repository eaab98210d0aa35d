"""Templates for programs: the registry, detection, fit, applying and upgrading (T14)."""
