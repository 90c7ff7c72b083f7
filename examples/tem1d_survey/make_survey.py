#!/usr/bin/env python3
"""A made-up survey: a buried valley under a line of N soundings. Standard library only.

  make_survey.py earth N            writes truth.csv and priors.toml
  make_survey.py data N TABLE.csv   writes observation.toml out of the noise-free soundings (ekp-export of truth.toml)
"""
import csv
import math
import random
import sys
import tomllib

NAMES = ["rho1", "rho2", "rho3", "h1", "h2"]
PRIOR = {"rho1": (60, 50), "rho2": (120, 100), "rho3": (20, 20), "h1": (15, 8), "h2": (40, 20)}
CURRENT = {"lm": 1.0, "hm": 8.0}
mode, n = sys.argv[1], int(sys.argv[2])
prefix = [f"s{k:0{max(3, len(str(n)))}d}_" for k in range(1, n + 1)]

if mode == "earth":
    with open("truth.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(NAMES)
        for k in range(n):
            x = k / max(n - 1, 1)
            valley = math.exp(-(((x - 0.55) / 0.18) ** 2))
            table.writerow([round(v, 4) for v in (40 + 20 * math.sin(5 * x), 90 + 40 * math.cos(3 * x),
                                                  6 + 4 * x, 10 + 5 * x, 25 + 35 * valley)])
    with open("priors.toml", "w") as file:
        for p in prefix:
            for name in NAMES:
                mean, sd = PRIOR[name]
                file.write(f'[{p}{name}]\nprior = "constrained_gaussian({p}{name}, {mean}, {sd}, 0, Inf)"\ntype = "float"\n\n')
else:
    system = tomllib.load(open("../tem1d_sounding/system.toml", "rb"))
    times = {m["name"]: m["gates"] for m in system["moment"]}
    draw = random.Random(21)
    with open(sys.argv[3], newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == n, f"{len(rows)} soundings, not {n}"
    with open("observation.toml", "w") as out:
        out.write('schema  = "ekp.observation"\nversion = 1\n')
        for p, row in zip(prefix, rows):
            for name, gates in times.items():
                v = [float(row[f"{name}[{i}]"]) for i in range(1, len(gates) + 1)]
                sd = [((0.03 * x) ** 2 + (1e-9 * (t / 1e-3) ** -0.5 / CURRENT[name]) ** 2) ** 0.5
                      for x, t in zip(v, gates)]
                y = [x + s * draw.gauss(0.0, 1.0) for x, s in zip(v, sd)]
                out.write(f'\n[[block]]\nname = "{p}{name}"\ny = {y}\ncovariance = {{ diagonal = {[s * s for s in sd]} }}\n')
