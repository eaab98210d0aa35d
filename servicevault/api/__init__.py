"""What every endpoint shares: how callers prove who they are, how failures look, how lists are cut (C1-C11)."""
