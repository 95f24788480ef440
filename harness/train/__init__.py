"""Training: tasks, batches, the loop, optimisers and gradient accumulation."""
