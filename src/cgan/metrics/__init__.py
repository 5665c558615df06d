"""Numbers about samples: features once, then statistics, then distances."""
