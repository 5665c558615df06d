"""Watching: everything that looks at training without being the algorithm."""
