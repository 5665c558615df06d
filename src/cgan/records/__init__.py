"""What runs and evaluations leave behind for others to read: versioned JSON files."""
