"""What the scripts do: ``run(cfg)`` per task, importable and testable without a command line."""
