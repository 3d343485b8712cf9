"""How much memory this process took."""

import re
from pathlib import Path


def peak():
    """Most memory that this process ever had resident, mapped pages included, in MB."""
    # Of Linux alone; `ru_maxrss` would begin with the peak of the process that started this one.
    status = Path("/proc/self/status").read_text()
    return round(int(re.search(r"VmHWM:\s*(\d+) kB", status)[1]) / 1024.0, 1)
