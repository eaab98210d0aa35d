"""Taking back what a job wrote, and bringing it back: by set statements, chunk by chunk (spec R7, R15-R23).

`listing` writes down every record in question before anything is changed; `judge` says what becomes of a chunk's
targets, the same for a preview and for the work itself; `write` does it; `books` keeps the external references and notes
what came of each record; `load` makes one transaction of all this.
"""
