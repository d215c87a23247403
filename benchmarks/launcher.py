"""Runs a command to its end and prints as JSON what it took. A script by itself, that imports next to nothing.

The kernel counts the memory of a process from its fork on, when it still has its parent's: so the parent must be small.
"""

import json
import os
import subprocess
import sys
import time


def launch(command: list[str]) -> dict[str, object]:
    """Status, seconds, bytes and output of the command."""
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        output = process.stdout.read() if process.stdout else b""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return {
        "status": process.returncode,
        "processor": usage.ru_utime + usage.ru_stime,
        "wall": time.perf_counter() - began,
        "peak": usage.ru_maxrss * 1024,  # Linux counts kilobytes of 1,024 bytes
        "output": output.decode(errors="replace"),
    }


if __name__ == "__main__":
    json.dump(launch(sys.argv[1:]), sys.stdout)
