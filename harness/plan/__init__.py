"""Plans: the columns, runs and unique stages of an experiment under the options of a command."""
