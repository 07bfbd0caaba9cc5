"""Draws the cold starts: python plot.py RESULTS SVG, in the environment that has matplotlib.

Readable on a light and on a dark page: no background, and text of a middle grey.
"""

import json
import sys
from pathlib import Path

import matplotlib as mpl

sys.path[:0] = [str(Path(__file__).resolve().parent.parent)]

from benchmarks.measure import Spread, ratios  # noqa: E402 - after its place is known

mpl.use("svg")

from matplotlib import pyplot as plt  # noqa: E402 - after the kind of output is chosen

TEXT, BAR, OURS = "#7a7a7a", "#a3a3a3", "#2a7fd4"
SETTINGS = {
    "svg.fonttype": "none",
    "svg.hashsalt": "gatepass",  # the same numbers give the same file
    "font.family": "sans-serif",
    "text.color": TEXT,
    "axes.labelcolor": TEXT,
    "axes.edgecolor": TEXT,
    "xtick.color": TEXT,
    "ytick.color": TEXT,
}


def main(results, target):
    """Draw."""
    rows = json.loads(results.read_text("utf-8"))["cold"]["rows"]
    ready = [row for row in rows if row["group"] == "ready"]
    base = next(row for row in ready if row["name"] == "bare")
    shown = {
        row["name"]: Spread.of(ratios(row["cpu"], base["cpu"]))
        for row in ready
        if row is base or row["name"] not in {"bare", "python -c pass"}
    }
    names = sorted(shown, key=lambda name: -shown[name].middle)
    values = [shown[name] for name in names]
    plt.rcParams.update(SETTINGS)
    figure, axes = plt.subplots(figsize=(7.5, 0.36 * len(names) + 1))
    axes.barh(
        names,
        [value.middle for value in values],
        color=[OURS if name.startswith("gatepass") else BAR for name in names],
        xerr=[
            [value.middle - value.low for value in values],
            [value.high - value.middle for value in values],
        ],
        ecolor=TEXT,
        error_kw={"linewidth": 1},
    )
    for name, value in zip(names, values, strict=True):
        axes.annotate(
            f"{value.middle:.2f}",
            (value.high, name),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
        )
    axes.set_xlim(0, 1.08 * max(value.high for value in values))
    axes.axvline(1, color=TEXT, linewidth=0.8, linestyle=":")
    axes.set_xlabel(
        "CPU time from nothing to a session; 1 is requests and tomllib by hand (linear)"
    )
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.savefig(target, transparent=True, bbox_inches="tight", metadata={"Date": None})


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
