#!/usr/bin/env python3
"""A catchment as one linear reservoir: Python 3.11 or later, no packages.

    reservoir.py PARAMETERS.toml OUT.toml      reads rain.csv beside it

dS/dt = c P - S/k, Q = S/k, solved exactly for each day; Q is the mean of the day.
"""
import csv
import math
import sys
import tomllib

VERSION = "reservoir 1.0"


def discharge(rain_mm, k_d, c, s0_mm):
    """Mean discharge of each day, mm per day."""
    storage, kept, q_mm = s0_mm, math.exp(-1.0 / k_d), []
    for p in rain_mm:
        inflow = c * p
        after = storage * kept + inflow * k_d * (1.0 - kept)
        q_mm.append(storage + inflow - after)  # mass balance of the day
        storage = after
    return q_mm


def main():
    if sys.argv[1:] == ["--version"]:
        print(VERSION)
        return
    parameters, out = sys.argv[1:]
    with open(parameters, "rb") as f:
        p = {name: table["value"] for name, table in tomllib.load(f).items()}
    with open("rain.csv", newline="") as f:
        rain_mm = [float(row["rain_mm"]) for row in csv.DictReader(f)]
    q_mm = discharge(rain_mm[: p["days"]], p["k_d"], p["c"], p["s0_mm"])
    with open(out, "w") as f:
        f.write(f"model_output = {q_mm}\n")


if __name__ == "__main__":
    main()
