"""Pages about templates: the library, and what a profile makes of one."""
