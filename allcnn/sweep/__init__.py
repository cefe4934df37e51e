"""A grid of runs, networks by learning rates by seeds, made in child processes here or by a Ray cluster.

The function has the name of its room, so it is not one of `allcnn`'s own: `from allcnn.sweep import sweep`.
"""

from allcnn.sweep.result import GridRun as GridRun
from allcnn.sweep.result import RateFigures as RateFigures
from allcnn.sweep.result import SweepResult as SweepResult
from allcnn.sweep.result import TableRow as TableRow
from allcnn.sweep.run import sweep as sweep
