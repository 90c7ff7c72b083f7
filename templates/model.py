#!/usr/bin/env python3
"""A forward model: reads parameters, writes what the observation holds."""
import sys
import tomllib

with open(sys.argv[1], "rb") as f:
    p = {name: table["value"] for name, table in tomllib.load(f).items()}

y = [p["offset"] + p["slope"] * i for i in range(p["points"])]

with open(sys.argv[2], "w") as f:
    f.write(f"model_output = {y}\n")
