"""A Prio v2 share processor as a Dagster asset graph."""
