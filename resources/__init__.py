"""Thin Dagster resources over the storages and keys of `prio_assets`."""
