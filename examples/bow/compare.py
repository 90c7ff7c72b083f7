#!/usr/bin/env python3
"""Five models on two rivers, 1000 evaluations each: a table of calibration and evaluation scores.

    python3 compare.py DATA [SEED ...]      DATA: the folder with bow/ and piscataquis/; seeds 1 to 5 by default

Writes experiments and runs below runs/compare, and starts what is not there yet. The tools are those on PATH.
"""

import os
import statistics
import subprocess
import sys
import tomllib

DATA, SEEDS = os.path.abspath(sys.argv[1]), [int(s) for s in sys.argv[2:]] or [1, 2, 3, 4, 5]
RIVERS = {
    "bow": ("bow/bow_daily_lumped.csv", "pet_mm", "2002-10-01 2003-12-31", "2004-01-01 2007-12-31", "2008-01-01 2009-09-29"),
    "piscataquis": (
        "piscataquis/piscataquis_daily.csv", "pet_mm", "1989-10-01 1990-09-30", "1990-10-01 1995-09-30", "1995-10-01 2000-09-30",
    ),
}
# name, lower, upper, L: moves in its logarithm
GR4J = "x1 1 5000 L, x2 -10 10, x3 1 500 L, x4 0.5 5, ctg 0 1, kf 0.1 20 L"
SNOW = "RFERR_MLT 0.5 2, MBASE 0 3, MFMAX 2 8, MFMIN 0.4 6, PXTEMP -1 5, TIMEDELAY 0.01 5, MAXWATR_1 25 500 L, MAXWATR_2 50 5000 L, "
RATES = "PERCRTE 0.1 1000 L, PERCEXP 1 20, "
MODELS = {
    "gr4j": GR4J,
    "topmodel": SNOW + RATES + "FRACTEN 0.05 0.95, BASERTE 0.001 1000 L, QB_POWR 1 10, LOGLAMB 5 10, TISHAPE 2 5",
    "arno_vic": SNOW + RATES + "FRACTEN 0.05 0.95, RTFRAC1 0.05 0.95, BASERTE 0.001 1000 L, QB_POWR 1 10, AXV_BEXP 0.001 3 L",
    "prms": SNOW + RATES + "FRACTEN 0.05 0.95, FRCHZNE 0.05 0.95, IFLWRTE 0.01 1000 L, QB_PRMS 0.001 0.25 L, SAREAMAX 0.001 1",
    "sacramento": SNOW + "FRACTEN 0.05 0.95, FPRIMQB 0.05 0.95, SACPMLT 1 250 L, SACPEXP 1 5, PERCFRAC 0.05 0.95, "
    "IFLWRTE 0.01 1000 L, QBRATE_2A 0.001 0.25 L, QBRATE_2B 0.001 0.25 L, SAREAMAX 0.001 1",
}


def write(folder, river, model, seed):
    file, pet, *periods = RIVERS[river]
    names = [entry.split() for entry in MODELS[model].split(",")]
    with open(f"{folder}/priors.toml", "w") as f:
        for name, lower, upper, *_ in names:
            f.write(f'[{name}]\nprior = "Parameterized(Normal(0.0, 1.0))"\n')
            f.write(f'constraint = "bounded({float(lower)}, {float(upper)})"\ntype = "float"\n\n')
    builtin = "gr4j" if model == "gr4j" else "fuse"
    spin_up, calibration, evaluation = (str(period.split()).replace("'", '"') for period in periods)
    with open(f"{folder}/experiment.toml", "w") as f:
        f.write(f"""schema = "ekp.experiment"
version = 1
name = "{river}_{model}_{seed}"
seed = {seed}
[model]
builtin = "{builtin}"
[model.{builtin}]
{'' if model == 'gr4j' else f'structure = "{model}"'}
forcing = "{DATA}/{file}"
precipitation = {{ column = "precip_mm", unit = "mm/d" }}
temperature = {{ column = "temp_c", unit = "degC" }}
pet = {{ column = "{pet}", unit = "mm/d" }}
flow = {{ column = "q_mm", unit = "mm/d" }}
[prior]
file = "priors.toml"
[score]
name = "kge"
spin_up = {spin_up}
calibration = {calibration}
evaluation = {evaluation}
[algorithm]
method = "dds"
members = 8
budget = 1000
logarithmic = {str([n[0] for n in names if n[-1] == "L"]).replace("'", '"')}
""")


for river in RIVERS:
    for model in MODELS:
        found = []
        for seed in SEEDS:
            folder = f"runs/compare/{river}_{model}_{seed}"
            os.makedirs(folder, exist_ok=True)
            if not os.path.exists(f"{folder}/run/stop.toml"):
                write(folder, river, model, seed)
                subprocess.run(["ekp-init", "-q", "experiment.toml", "run"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
                call = ["ekp-launch", "-q", "--on", "threads", "--workers", "1", "run"]
                subprocess.run(call, cwd=folder, check=True, stdout=subprocess.DEVNULL)
            with open(f"{folder}/run/stop.toml", "rb") as f:
                best = tomllib.load(f)["best"][0]
            found.append((best["score"][0], best["evaluation"]["kge"]))
        low, middle, high = min(found)[0], statistics.median(f[0] for f in found), max(found)[0]
        held = [f[1] for f in found]
        print(
            f"| {river} | {model} | {len(MODELS[model].split(','))} | {low:.3f} | {middle:.3f} | {high:.3f} "
            f"| {min(held):.3f} | {statistics.median(held):.3f} | {max(held):.3f} |",
            flush=True,
        )
