"""The run store: records, predictions, checkpoints, claims and progress of running stages."""
