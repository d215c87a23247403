"""The simulated ingestor, for trying."""
