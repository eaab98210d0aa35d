"""What people are told in the product: the bell, its page, and who is told of what (A9, G24)."""
