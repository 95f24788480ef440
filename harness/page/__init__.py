"""One self-contained HTML page of tables, verdicts and the runs behind every number."""
