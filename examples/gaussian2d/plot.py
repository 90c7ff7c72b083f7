#!/usr/bin/env python3
"""workers.csv as a figure: plot.py workers.csv workers.svg. Both axes are logarithmic."""

import csv
import math
import sys

COLOURS = {"tasks": "#0072b2", "pool": "#d55e00", "futures": "#009e73"}
LEFT, TOP, WIDTH, HEIGHT = 60, 30, 420, 260


def main():
    rows = [row for row in csv.DictReader(open(sys.argv[1])) if row["state"] == "ok"]
    times = [float(row["runtime_s"]) for row in rows]
    most = max(int(row["workers"]) for row in rows)
    low, high = math.log10(min(times)) - 0.1, math.log10(max(times)) + 0.1
    x = lambda workers: LEFT + WIDTH * math.log2(workers) / max(1.0, math.log2(most))
    y = lambda seconds: TOP + HEIGHT * (high - math.log10(seconds)) / (high - low)
    out = ['<svg xmlns="http://www.w3.org/2000/svg" width="560" height="350" font-family="sans-serif" font-size="12">']
    out.append(f'<rect x="{LEFT}" y="{TOP}" width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="black"/>')
    for k in range(int(math.log2(most)) + 1):
        out.append(f'<text x="{x(2**k):.0f}" y="{TOP + HEIGHT + 18}" text-anchor="middle">{2**k}</text>')
    for k in range(-3, 5):
        for value in (v * 10**k for v in (1, 2, 5)):
            if low <= math.log10(value) <= high:
                out.append(f'<text x="{LEFT - 6}" y="{y(value) + 4:.0f}" text-anchor="end">{value:g}</text>')
                out.append(f'<path d="M{LEFT} {y(value):.1f}h{WIDTH}" stroke="#ddd"/>')
    serial = [float(row["runtime_s"]) for row in rows if row["how"] == "serial"]
    for seconds in serial:
        out.append(f'<path d="M{LEFT} {y(seconds):.1f}h{WIDTH}" stroke="black" stroke-dasharray="4 3"/>')
        out.append(f'<text x="{LEFT + WIDTH + 6}" y="{y(seconds) + 4:.0f}">serial</text>')
    for n, (how, colour) in enumerate(COLOURS.items()):
        line = [(x(int(r["workers"])), y(float(r["runtime_s"]))) for r in rows if r["how"] == how]
        path = "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in line)
        out.append(f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{colour}"/>' for a, b in line]
        out.append(f'<text x="{LEFT + 8 + 70 * n}" y="{TOP - 8}" fill="{colour}">{how}</text>')
    out.append(f'<text x="{LEFT + WIDTH / 2}" y="{TOP + HEIGHT + 38}" text-anchor="middle">workers</text>')
    out.append(f'<text x="16" y="{TOP + HEIGHT / 2}" transform="rotate(-90 16 {TOP + HEIGHT / 2})">run time, s</text>')
    open(sys.argv[2], "w").write("\n".join(out + ["</svg>", ""]))


if __name__ == "__main__":
    main()
