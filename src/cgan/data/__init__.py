"""Real data: sources read it once, batches serve it from memory."""
