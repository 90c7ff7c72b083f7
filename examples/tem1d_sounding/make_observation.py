#!/usr/bin/env python3
"""observation.toml out of the noise-free sounding: ekp-launch truth.toml, then this. Standard library only.

Noise: sd^2 = (3 % of V)^2 + (1e-9 (t / 1 ms)^(-1/2) / I)^2 in V/(m2 A), with the peak current I = 1 A of the low and
8 A of the high moment; drawn with seed 20.
"""
import csv
import random
import sys
import tomllib

system = tomllib.load(open("system.toml", "rb"))
times = {m["name"]: m["gates"] for m in system["moment"]}
current = {"lm": 1.0, "hm": 8.0}
with open(sys.argv[1], newline="") as table:  # results/quantiles.csv of the truth: its median is the one model
    clean = [float(row["mean"]) for row in csv.DictReader(table)]

draw = random.Random(20)
lines = ['# A sounding over 30, 200, 5 ohm m; 10, 40 m, with noise, made by make_observation.py.',
         'schema  = "ekp.observation"', "version = 1"]
for name, gates in times.items():
    part, clean = clean[: len(gates)], clean[len(gates):]
    sd = [((0.03 * v) ** 2 + (1e-9 * (t / 1e-3) ** -0.5 / current[name]) ** 2) ** 0.5 for v, t in zip(part, gates)]
    y = [v + s * draw.gauss(0.0, 1.0) for v, s in zip(part, sd)]
    lines += ["", "[[block]]", f'name       = "{name}"', f"y          = {y}",
              f"covariance = {{ diagonal = {[s * s for s in sd]} }}"]
print("\n".join(lines))
