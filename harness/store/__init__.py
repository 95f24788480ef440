"""The run store: records, checkpoints, claims, and what is being trained now."""
