"""Which definitions a code location gets: one attribute of this module for each party of the configuration file.

`workspace.yaml` names them. The file is read when an attribute is asked for, from `PRIO_CONFIG`, else `demo/prio.yaml`;
secrets and storages are not touched before a run or a sensor uses them.
"""

import os
from pathlib import Path

import dagster as dg

from prio_assets.configuration import Configuration, current_configuration
from prio_assets.defs.ingestor.definitions import ingestor_definitions
from prio_assets.defs.portal.definitions import portal_definitions
from prio_assets.defs.processor.definitions import processor_definitions
from prio_assets.errors import ConfigurationError

VARIABLE = "PRIO_CONFIG"
DEMO = Path("demo/prio.yaml")


def configuration_path() -> Path:
    """The configuration file; `ConfigurationError` with the remedy where there is none."""
    given = os.environ.get(VARIABLE)
    path = Path(given) if given else DEMO
    if not path.is_file():
        missing = (
            f"{VARIABLE} names {path}, which is no file" if given else f"{VARIABLE} is not set, and {DEMO} is not here"
        )
        raise ConfigurationError(f"{missing}: set {VARIABLE} to the configuration file, or run `make demo` first")
    return path.resolve()


def definitions_of(party: str, configuration: Configuration, path: Path) -> dg.Definitions | None:
    """The definitions of one party, by its name; None if the file has no such party."""
    if party in configuration.processors:
        return processor_definitions(configuration, party, path)
    if configuration.portal is not None and party == configuration.portal.name:
        return portal_definitions(configuration, configuration.portal, path)
    if configuration.ingestor is not None and party == configuration.ingestor.name:
        return ingestor_definitions(configuration, configuration.ingestor, path)
    return None


def __getattr__(name: str) -> dg.Definitions:
    if name.startswith("_"):
        raise AttributeError(name)
    path = configuration_path()
    definitions = definitions_of(name, current_configuration(path), path)
    if definitions is None:
        raise AttributeError(f"{path} has no party {name}")
    return definitions
