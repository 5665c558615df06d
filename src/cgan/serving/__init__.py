"""Faces for people who never train: one core, and thin doors to it."""
