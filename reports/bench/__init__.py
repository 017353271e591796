"""The report of a measurement of speed, made from its record alone."""

from reports.bench.report import write_bench_report

__all__ = ["write_bench_report"]
