"""Figures for a paper: a function per kind, which takes a run or several, and the Axes to draw on."""

from hpcfl.plots.clients import clients
from hpcfl.plots.confusion import confusion
from hpcfl.plots.curves import accuracy, loss
from hpcfl.plots.gantt import gantt
from hpcfl.plots.labels import labels
from hpcfl.plots.staleness import staleness
from hpcfl.plots.study import study
from hpcfl.plots.style import paint
from hpcfl.plots.times import times

__all__ = ["accuracy", "clients", "confusion", "gantt", "labels", "loss", "paint", "staleness", "study", "times"]
