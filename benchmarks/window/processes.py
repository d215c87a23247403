"""What the processes of a session use: processor time and memory, sampled from /proc while they live."""

import os
from dataclasses import dataclass, field
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")
SESSION, USER_TIME, SYSTEM_TIME = 3, 11, 12
"""Places in /proc/PID/stat, counted from the state, which follows the command's name in brackets."""


@dataclass
class Usage:
    """One process: its command line, the processor seconds so far, and its greatest resident memory in bytes."""

    command: str
    seconds: float = 0.0
    peak_bytes: int = 0


@dataclass
class Sampler:
    """Remembers the last sample of each process of a session, also of those that have ended since."""

    session: int
    found: dict[int, Usage] = field(default_factory=dict)

    def sample(self) -> None:
        """Look at all processes now."""
        for folder in PROC.iterdir():
            if folder.name.isdecimal():
                try:
                    self._sample(folder)
                except (FileNotFoundError, ProcessLookupError):
                    continue  # it has ended

    def seconds(self) -> dict[int, float]:
        """The processor seconds so far, by process."""
        return {pid: usage.seconds for pid, usage in self.found.items()}

    def _sample(self, folder: Path) -> None:
        facts = (folder / "stat").read_text().rpartition(") ")[2].split()
        if int(facts[SESSION]) != self.session:
            return
        command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        usage = self.found.setdefault(int(folder.name), Usage(command))
        usage.command = command or usage.command
        usage.seconds = (int(facts[USER_TIME]) + int(facts[SYSTEM_TIME])) / TICKS_PER_SECOND
        for line in (folder / "status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                usage.peak_bytes = int(line.split()[1]) * 1024
