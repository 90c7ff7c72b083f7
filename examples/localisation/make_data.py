#!/usr/bin/env python3
"""Makes observation.toml and truth.csv: a state on the attractor, 0.4 time units later, with noise of variance 1.

    ./make_data.py
"""
import random

from lorenz import forward

N = 100
random.seed(96)
truth = forward([8.0 + random.gauss(0, 0.01) for _ in range(N)], 2000)
y = [x + random.gauss(0, 1) for x in forward(truth, 8)]
with open("truth.csv", "w") as f:
    f.write("x0\n" + "".join(f"{x:.6f}\n" for x in truth))
with open("observation.toml", "w") as f:
    f.write("# Made by make_data.py: the ring 0.4 time units after truth.csv, with noise.\n")
    f.write('schema  = "ekp.observation"\nversion = 1\n\n[[block]]\nname = "state"\ny = [\n')
    for i in range(0, N, 10):
        f.write("  " + ", ".join(f"{v:.4f}" for v in y[i : i + 10]) + ",\n")
    f.write("]\ncovariance = { scalar = 1.0 }\n")
