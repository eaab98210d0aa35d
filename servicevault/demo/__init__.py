"""A demo help desk: a FreeScout-shaped database beside the application's own, with every trap of a real one."""
