"""All engines, for the tests that say what each of them does."""

from prio_assets.prio.agreement import SingleAgreement
from prio_assets.prio.choice import choose_engine
from prio_assets.prio.compiled import CompiledEngine
from prio_assets.prio.engine import Engine
from prio_assets.prio.plain import PlainEngine

PLAIN = PlainEngine()
COMPILED: list[Engine] = [CompiledEngine(SingleAgreement())]
if choose_engine().engine.name not in {PLAIN.name, COMPILED[0].name}:
    COMPILED.append(choose_engine().engine)
ENGINES: list[Engine] = [PLAIN, *COMPILED]
