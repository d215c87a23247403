"""A window from arrival to sum: many large batches, both processors and the portal, under Dagster's own daemon."""
