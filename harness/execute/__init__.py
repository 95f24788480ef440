"""Execution: train the stages of a plan, in this process or in several."""
