"""The import system for programs: paths and shapes of guide A, with the conventions C1-C16."""
