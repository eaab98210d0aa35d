"""The query builder: blocks rendered from a person's draft, and the forms that change it."""
