"""Specifications of checks. That a check can have a state for each partition is a preview in Dagster: only here."""

import warnings
from collections.abc import Mapping

import dagster as dg


def partitioned_checks(
    asset: dg.AssetKey, descriptions: Mapping[str, str], partitions: dg.PartitionsDefinition
) -> list[dg.AssetCheckSpec]:
    """Checks of a computed asset, which its runs yield; they never block what is downstream."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return [
            dg.AssetCheckSpec(name, asset=asset, description=text, partitions_def=partitions, blocking=False)
            for name, text in descriptions.items()
        ]


def unpartitioned_checks(asset: dg.AssetKey, descriptions: Mapping[str, str]) -> list[dg.AssetCheckSpec]:
    """Checks of an external asset as a whole, which a sensor reports."""
    return [dg.AssetCheckSpec(name, asset=asset, description=text) for name, text in descriptions.items()]
