"""Thin Dagster resources over the parties of the configuration file: nothing is read before one is used."""

from resources.clock import ClockResource
from resources.ingestor import IngestorResource
from resources.portal import PortalResource
from resources.processor import ShareProcessorResource

__all__ = ["ClockResource", "IngestorResource", "PortalResource", "ShareProcessorResource"]
