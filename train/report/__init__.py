"""The report of a run as one HTML page."""

from train.report.page import write_report
from train.report.rows import Row, report_rows

__all__ = ["Row", "report_rows", "write_report"]
