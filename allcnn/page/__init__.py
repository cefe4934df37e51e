"""Runs -> one self-contained HTML page: tables, learning curves, what the best networks get wrong, what they learned.

from allcnn.page import write_page
from allcnn.runs.collected import collect_runs
write_page(collect_runs(["runs"])[0], "report.html")
"""

from allcnn.page.write import write_page

__all__ = ["write_page"]
