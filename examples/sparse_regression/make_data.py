#!/usr/bin/env python3
"""Makes design.csv and observation.toml: 30 measurements that depend on 3 of 12 candidates.

    ./make_data.py
"""
import random

ROWS, COLUMNS, NOISE = 30, 12, 0.1
TRUTH = {1: 2.0, 4: -1.5, 9: 1.0}  # counted from 0; all others are 0
random.seed(3)
design = [[round(random.gauss(0, 1), 4) for _ in range(COLUMNS)] for _ in range(ROWS)]
y = [sum(row[i] * x for i, x in TRUTH.items()) + random.gauss(0, NOISE) for row in design]
with open("design.csv", "w") as f:
    f.write(",".join(f"c{i + 1}" for i in range(COLUMNS)) + "\n")
    f.writelines(",".join(map(str, row)) + "\n" for row in design)
with open("observation.toml", "w") as f:
    f.write("# Made by make_data.py.\n")
    f.write('schema  = "ekp.observation"\nversion = 1\n\n[[block]]\nname = "y"\ny = [\n')
    for i in range(0, ROWS, 10):
        f.write("  " + ", ".join(f"{v:.4f}" for v in y[i : i + 10]) + ",\n")
    f.write(f"]\ncovariance = {{ scalar = {NOISE**2:.2f} }}\n")
