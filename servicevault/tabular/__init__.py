"""Files as tables: readers and writers of each format side by side. No Django, no database."""
