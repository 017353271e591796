"""placeholder"""
from pathlib import Path
def write_report(p): return [Path(p)/"report"/"report.md"]
