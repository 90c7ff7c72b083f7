#!/usr/bin/env python3
"""Measurements as a sum of twelve candidates, each times its coefficient: Python 3.11 or later, no packages.

    regression.py PARAMETERS.toml OUT.toml      reads design.csv beside it
"""
import csv
import sys
import tomllib

parameters, out = sys.argv[1:]
with open(parameters, "rb") as f:
    coefficients = tomllib.load(f)["coefficient"]["value"]
with open("design.csv", newline="") as f:
    rows = [[float(x) for x in row] for row in list(csv.reader(f))[1:]]
y = [sum(c * x for c, x in zip(coefficients, row)) for row in rows]
with open(out, "w") as f:
    f.write(f"model_output = {y}\n")
