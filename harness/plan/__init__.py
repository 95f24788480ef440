"""Plans: which stages an experiment needs, and what is written of it."""
