#!/usr/bin/env python3
"""The Lorenz 96 ring, from an initial state to the state 0.4 time units later: Python 3.11 or later, no packages.

    lorenz.py PARAMETERS.toml OUT.toml

dx_i/dt = (x_{i+1} - x_{i-2}) x_{i-1} - x_i + 8, Runge-Kutta of order 4, time step 0.05.
"""
import sys
import tomllib

FORCING, DT = 8.0, 0.05


def slope(x):
    n = len(x)
    return [(x[(i + 1) % n] - x[i - 2]) * x[i - 1] - x[i] + FORCING for i in range(n)]


def forward(x, steps):
    for _ in range(steps):
        k1 = slope(x)
        k2 = slope([a + 0.5 * DT * b for a, b in zip(x, k1)])
        k3 = slope([a + 0.5 * DT * b for a, b in zip(x, k2)])
        k4 = slope([a + DT * b for a, b in zip(x, k3)])
        x = [a + DT / 6 * (b + 2 * c + 2 * d + e) for a, b, c, d, e in zip(x, k1, k2, k3, k4)]
    return x


if __name__ == "__main__":
    parameters, out = sys.argv[1:]
    with open(parameters, "rb") as f:
        start = tomllib.load(f)["x0"]["value"]
    with open(out, "w") as f:
        f.write(f"model_output = {forward(start, 8)}\n")
