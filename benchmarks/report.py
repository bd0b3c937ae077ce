"""Tables and a plot from the JSON of `benchmarks.drive`.

    python -m benchmarks.report JSON… [--into docs/performance.md] [--plot FILE]

Several files are merged: of a row at a round trip, the last file that measured it counts. `--into`
replaces what stands between the markers in a Markdown file.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from benchmarks.results import (
    CURL,
    PYFTPDRIVE,
    RCLONE,
    Failure,
    Figure,
    Line,
    Run,
    lines,
    load,
    merge,
    save,
)

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
EVEN = 0.05  # closer than this is no difference on a machine as noisy as these are
READ_MB_S = 300.0
KNOWN_MIB = 150.0
FLAT = 1.25  # peak memory may not grow more than this from 64 MiB to 1 GiB


def verdict(line: Line) -> str:
    """One word or two about *line*."""
    if PYFTPDRIVE in line.failed:
        return "FAILED"
    words = []
    ratio = line.ratio
    if ratio is not None:
        if ratio >= 1 + EVEN:
            words.append("better")
        else:
            words.append("even" if ratio >= 1 - EVEN else "WORSE")
    elif RCLONE in line.failed and PYFTPDRIVE in line.medians:
        words.append("rclone failed")
    ours = line.medians.get(PYFTPDRIVE)
    if ours is not None and (missed := _missed(line, ours)):
        words.append(missed)
    return ", ".join(words) or "–"


def _missed(line: Line, ours: float) -> str:
    """The issue's own limit that *ours* breaks, or ''."""
    if line.row == "read" and line.rtt_ms == 0 and ours < READ_MB_S:
        return f"UNDER {READ_MB_S:g} MB/s"
    if line.row == "known" and line.unit == "MiB" and ours > KNOWN_MIB:
        return f"OVER {KNOWN_MIB:g} MiB"
    return ""


def flatness(run: Run) -> list[str]:
    """A sentence a system: how peak memory follows the size of a file."""
    found = []
    peaks = {line.row: line.medians for line in lines(run) if line.unit == "MiB"}
    for system in dict.fromkeys(figure.system for figure in run.figures):
        small = peaks.get("memory-64", {}).get(system)
        large = peaks.get("memory-1024", {}).get(system)
        if small and large:
            word = "flat" if large <= small * FLAT else "NOT flat"
            found.append(
                f"Peak memory of {system} after a file 16 times as large: × {large / small:.2f} "
                f"({word})."
            )
    return found


def systems(run: Run) -> list[str]:
    """The columns: ours, the rival, then whatever else was measured."""
    measured: list[Figure | Failure] = [*run.figures, *run.failures]
    known = dict.fromkeys(item.system for item in measured if item.system != PYFTPDRIVE)
    return [PYFTPDRIVE, *sorted(known, key=lambda name: (name != RCLONE, name == CURL))]


def table(run: Run) -> list[list[str]]:
    """The table's cells; the first row is its head."""
    columns = systems(run)
    rows = [["round trip", "row", *columns, "times better", "verdict"]]
    for line in lines(run):
        ratio = "–" if line.ratio is None else f"{line.ratio:.2f}"
        cells = [_cell(line, system, run.about.get("repeat", 1)) for system in columns]
        place = f"{line.rtt_ms:g} ms"
        if len({found.server for found in lines(run)}) > 1:
            place += f", {line.server}"
        rows.append([place, line.measure, *cells, ratio, verdict(line)])
    return rows


def _cell(line: Line, system: str, repeat: int) -> str:
    if system in line.medians:
        count = line.counts[system]
        mark = f" ({count})" if count < repeat else ""
        return f"{_number(line.medians[system])} {line.unit}{mark}"
    return "failed" if system in line.failed else "–"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def as_text(rows: list[list[str]]) -> str:
    """For a terminal."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def as_markdown(run: Run) -> str:
    """What stands in `docs/performance.md`: the machine, the table, the failures."""
    rows = table(run)
    head, *body = [f"| {' | '.join(row)} |" for row in rows]
    text = [_about(run.about), "", head, "|" + "---|" * len(rows[0]), *body, ""]
    text += [f"- {sentence}" for sentence in flatness(run)]
    text += [
        f"- {failure.system}, row {failure.row} at {failure.rtt_ms:g} ms: {failure.reason}"
        for failure in dict.fromkeys(run.failures)
    ]
    text += [f"- Processor time of the mount, {sentence}" for sentence in _processor_time(run)]
    return "\n".join(text).rstrip() + "\n"


def _processor_time(run: Run) -> list[str]:
    found = []
    for row in ("read", "write"):
        for rtt_ms in dict.fromkeys(cost.rtt_ms for cost in run.costs):
            used = {
                system: min(times)
                for system in systems(run)
                if (
                    times := [
                        cost.cpu_s
                        for cost in run.costs
                        if (cost.row, cost.rtt_ms, cost.system) == (row, rtt_ms, system)
                    ]
                )
            }
            if used:
                shown = ", ".join(f"{system} {seconds:.2f} s" for system, seconds in used.items())
                found.append(f"row {row} at {rtt_ms:g} ms (least of the repetitions): {shown}.")
    return found


def _about(about: dict[str, Any]) -> str:
    machine = about.get("machine", {})
    versions = "; ".join(f"{name}: {text}" for name, text in about.get("versions", {}).items())
    scales = about.get("scales", [about.get("scale", 1.0)])
    return (
        f"Measured on {about.get('date', '?')}: {machine.get('system')}, Linux "
        f"{machine.get('kernel')}, {machine.get('cpus')} processors ({machine.get('processor')}), "
        f"{machine.get('memory_gib')} GiB, Python {machine.get('python')}; {about.get('server')} "
        f"on loopback; medians of {about.get('repeat')}"
        f"{', of fewer where the cell says (1) or (2)' if about.get('repeat', 1) > 1 else ''}"
        f"{_scale_note(scales)}.\nVersions: {versions}."
    )


def _scale_note(scales: list[float]) -> str:
    if scales == [1.0]:
        return ""
    if len(scales) == 1:
        return f"; at {scales[0]:g} of the full scale"
    return "; some rows at a smaller scale: their names say how many files"


def insert(path: Path, text: str) -> None:
    """Replace what stands between the markers of *path*.

    Raises:
        ValueError: it has no markers.
    """
    whole = path.read_text(encoding="utf-8")
    before, begin, rest = whole.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path} has no markers {BEGIN} and {END}")
    path.write_text(f"{before}{BEGIN}\n{text}{END}{after}", encoding="utf-8")


def plot(run: Run, target: Path) -> str:
    """Draw the ratios into *target*; return what was done, or why not."""
    shown = [line for line in lines(run) if line.ratio is not None]
    if not shown:
        return "no plot: nothing was measured with both pyftpdrive and rclone"
    try:
        import matplotlib as mpl
    except ImportError:
        return "no plot: matplotlib is not installed (pip install 'pyftpdrive[bench]')"
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    measures = list(dict.fromkeys(line.measure for line in shown))
    rtts = list(dict.fromkeys(line.rtt_ms for line in shown))
    figure, axes = plt.subplots(figsize=(10, (0.22 * len(rtts) + 0.16) * len(measures) + 1.4))
    height = 0.8 / len(rtts)
    for number, rtt_ms in enumerate(rtts):
        places: list[float] = []
        ratios: list[float] = []
        shift = (number - (len(rtts) - 1) / 2) * height
        for line in shown:
            if line.rtt_ms == rtt_ms and line.ratio is not None:
                places.append(measures.index(line.measure) + shift)
                ratios.append(line.ratio)
        bars = axes.barh(places, ratios, height, label=f"{rtt_ms:g} ms round trip")
        axes.bar_label(bars, fmt="%.1f", padding=2, fontsize=7)
    axes.set_yticks(range(len(measures)), measures)
    axes.axvline(1.0, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.margins(x=0.1)
    axes.invert_yaxis()
    axes.legend()
    axes.set_xlabel("times better than rclone mount --vfs-cache-mode full (right of 1: better)")
    figure.tight_layout()
    figure.savefig(target, dpi=110)
    plt.close(figure)
    return f"plot: {target}"


def main(arguments: list[str]) -> int:
    """Entry of `python -m benchmarks.report`."""
    parser = argparse.ArgumentParser(description="Tables and a plot from benchmark results")
    parser.add_argument("json", nargs="+", type=Path)
    parser.add_argument("--into", type=Path, help="a Markdown file with the markers")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--merged", type=Path, help="write the merged JSON here")
    options = parser.parse_args(arguments)
    run = merge([load(path) for path in options.json])
    if options.into:
        try:
            insert(options.into, as_markdown(run))
        except (OSError, ValueError) as error:
            print(error, file=sys.stderr)
            return 1
    else:
        print(as_markdown(run), end="")
    if options.merged:
        save(run, options.merged)
    if options.plot:
        print(plot(run, options.plot), file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
