"""What a process has in memory."""

import resource
from pathlib import Path


def resident_mb(pid: int) -> float:
    """Its resident memory in megabytes. Raises :class:`OSError` if there is no such process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize() / 1e6
