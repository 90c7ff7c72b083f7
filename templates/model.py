#!/usr/bin/env python3
"""A forward model in Python 3.11 or later, without packages:  model.py PARAMETERS.toml OUTPUT.toml

It runs in a working folder of its own, with the files of `files` in experiment.toml linked into it. What it
prints goes to log.txt there. An exit status other than 0 makes it a failed member; the calibration goes on
without it. The environment tells more: EKP_ITERATION, EKP_MEMBER, EKP_SEED (for random numbers), EKP_THREADS.
"""
import sys
import tomllib

with open(sys.argv[1], "rb") as f:
    p = {name: table["value"] for name, table in tomllib.load(f).items()}

# Your model here. To call a program: subprocess.run([...], check=True), then read what it wrote.
y = [p["offset"] + p["slope"] * i for i in range(p["points"])]

# As many numbers as observation.toml has, in its order; nan where there is none.
with open(sys.argv[2], "w") as f:
    f.write(f"model_output = {[float(x) for x in y]}\n")
