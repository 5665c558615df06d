"""Numbers about images: features once, then statistics, then distances."""
