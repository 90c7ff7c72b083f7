#!/usr/bin/env python3
"""HBV-96 outside of the toolkit, in NumPy or JAX: Python 3.11 or later.

    hbv.py PARAMETERS.toml DATA.toml            one member: the score of its set, as a search asks for it
    hbv.py --batch SETS.csv SCORES.csv          a batch: a row of named parameters for each set
    hbv.py --time                               seconds of one evaluation, and of one of 64 and of 1024 together

`--array` says what computes: numpy, jax (each operation by itself), jax-jit (compiled) or jax-gpu (compiled for a card). Sets lie side by side in arrays,
days follow each other. Forcing and observed flow come from forcing.csv in the working folder. The numbers are those of
`builtin = "hbv"` but for rounding.
"""

import argparse
import csv
import os
import sys
import time
import tomllib

import numpy as np

VERSION = "hbv.py 1.0"
DEFAULTS = dict(tt=0.0, cfmax=3.5, sfcf=0.9, cfr=0.05, cwh=0.1, fc=250.0, lp=0.7, beta=2.5, k0=0.3, k1=0.1, k2=0.01,
                uzl=30.0, perc=2.5, maxbas=2.5)
NAMES = list(DEFAULTS)
SPIN_UP, CALIBRATION = "2001-01-01", ("2002-01-01", "2004-12-31")


def weights(maxbas, taps):
    """Area of a triangle of base `maxbas` days over each day, for each set; their sum is 1."""
    u = np.minimum(np.arange(taps + 1.0)[None, :], np.maximum(maxbas, 1.0)[:, None])
    base = np.maximum(maxbas, 1.0)[:, None]
    rising, falling = 2.0 * (u / base) ** 2, 1.0 - 2.0 * ((base - u) / base) ** 2
    w = np.diff(np.where(u <= base / 2.0, rising, falling), axis=1)
    w[maxbas <= 1.0] = np.eye(taps)[0]
    return w / w.sum(axis=1, keepdims=True)


def step(xp, sets, state, day):
    """A day of all sets: states and runoff after it, mm."""
    tt, cfmax, sfcf, cfr, cwh, fc, lp, beta, k0, k1, k2, uzl, perc, _ = sets
    snow, water, sm, suz, slz = state
    t, p, pet = day
    rains = t > tt
    snow = snow + xp.where(rains, 0.0, p * sfcf)
    melt = xp.minimum(cfmax * xp.maximum(t - tt, 0.0), snow)
    snow = snow - melt
    water = water + melt + xp.where(rains, p, 0.0)
    refrozen = xp.minimum(cfr * cfmax * xp.maximum(tt - t, 0.0), water)
    snow, water = snow + refrozen, water - refrozen
    inflow = xp.maximum(water - cwh * snow, 0.0)
    water = water - inflow
    recharge = inflow * xp.minimum(sm / fc, 1.0) ** beta
    sm = sm + inflow - recharge
    sm = sm - xp.minimum(pet * xp.minimum(sm, lp * fc) / (lp * fc), sm)
    suz = suz + recharge
    percolation = xp.minimum(perc, suz)
    suz, slz = suz - percolation, slz + percolation
    q0, q1, q2 = k0 * xp.maximum(suz - uzl, 0.0), k1 * suz, k2 * slz
    return (snow, water, sm, xp.maximum(suz - q0 - q1, 0.0), xp.maximum(slz - q2, 0.0)), q0 + q1 + q2


def numpy_runoff(sets, days):
    """Runoff before routing, days by sets."""
    state = tuple(np.full(sets.shape[1], x) for x in (0.0, 0.0, 150.0, 10.0, 10.0))
    out = np.empty((len(days), sets.shape[1]))
    for i, day in enumerate(days):
        state, out[i] = step(np, sets, state, day)
    return out


def jax_on(array):
    """JAX in doubles, on the processor or on a card."""
    import jax

    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_platforms", "cuda" if array == "jax-gpu" else "cpu")
    jax.devices()  # fails where there is no card
    return jax


def jax_runoff(array):
    """The same in JAX: a scan that is compiled once per size, or a loop of single operations."""
    jax = jax_on(array)
    jnp = jax.numpy

    def start(n):
        return tuple(jnp.full(n, x) for x in (0.0, 0.0, 150.0, 10.0, 10.0))

    def scanned(sets, days):
        return jax.lax.scan(lambda state, day: step(jnp, sets, state, day), start(sets.shape[1]), days)[1]

    def looped(sets, days):
        state, out = start(sets.shape[1]), []
        for day in days:
            state, q = step(jnp, sets, state, day)
            out.append(q)
        return jnp.stack(out)

    run = looped if array == "jax" else jax.jit(scanned)
    return lambda sets, days: np.asarray(run(jnp.asarray(sets), jnp.asarray(days)))


class Hbv:
    """The model in its basin."""

    def __init__(self, array="numpy", last=CALIBRATION[1], forcing="forcing.csv"):
        with open(forcing, newline="") as file:
            rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
        first = CALIBRATION[0]
        rows = [row for row in rows if SPIN_UP <= row["date"] <= last]
        number = lambda name: np.array([float(row[name] or "nan") for row in rows])
        self.days = np.stack([number(name) for name in ("temp_c", "precip_mm", "pet_mm")], axis=1)
        observed = number("q_mm")
        self.counts = np.array([row["date"] >= first for row in rows]) & np.isfinite(observed) & (observed >= 0)
        self.observed = observed[self.counts]
        self.runoff = numpy_runoff if array == "numpy" else jax_runoff(array)

    def flow(self, sets):
        """Days by sets, mm/d; sets are columns, their parameters in the order of NAMES."""
        runoff = self.runoff(sets, self.days)
        taps = max(1, int(np.ceil(sets[NAMES.index("maxbas")].max())))
        flow = np.zeros_like(runoff)
        for j, w in enumerate(weights(sets[NAMES.index("maxbas")], taps).T):
            flow[j:] += w * runoff[: len(runoff) - j]
        return flow

    def kge(self, sets):
        """Kling-Gupta efficiency of each set (Gupta et al. 2009)."""
        s, o = self.flow(sets)[self.counts], self.observed[:, None]
        ds, do = s - s.mean(axis=0), o - o.mean(axis=0)
        r = (ds * do).sum(axis=0) / np.sqrt((ds**2).sum(axis=0) * (do**2).sum(axis=0))
        variability = np.sqrt((ds**2).sum(axis=0) / (do**2).sum(axis=0))
        beta = s.mean(axis=0) / o.mean()
        return 1.0 - np.sqrt((r - 1.0) ** 2 + (variability - 1.0) ** 2 + (beta - 1.0) ** 2)


def column(named):
    """One set, defaults where a name is missing."""
    return np.array([[float(named.get(name, DEFAULTS[name]))] for name in NAMES])


def seconds(model):
    """Rows of `--time`: sets together, seconds of the first call and of a later one, evaluations a second."""
    print("sets,first_s,then_s,evaluations_per_s")
    for n in (1, 64, 1024):
        # Near the defaults and all different
        sets = column({}) * (1.0 + 0.2 * np.sin(np.arange(n)[None, :] + np.arange(len(NAMES))[:, None]))
        times = []
        while len(times) < 2 or (len(times) < 9 and sum(times) < 5.0):
            start = time.perf_counter()
            model.kge(sets)
            times.append(time.perf_counter() - start)
        print(f"{n},{times[0]:.5f},{min(times[1:]):.5f},{n / min(times[1:]):.1f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", metavar="FILE")
    parser.add_argument("--array", choices=("numpy", "jax", "jax-jit", "jax-gpu"), default=os.environ.get("HBV_ARRAY", "numpy"))
    parser.add_argument("--until", default=CALIBRATION[1], metavar="DATE", help="last day that counts")
    parser.add_argument("--batch", action="store_true")
    parser.add_argument("--time", action="store_true")
    parser.add_argument("--version", action="store_true")
    asked = parser.parse_args()
    if asked.version:
        arrays = f"numpy {np.__version__}" if asked.array == "numpy" else f"jax {jax_on(asked.array).__version__}"
        print(f"{VERSION}, {asked.array}, {arrays}, python {sys.version.split()[0]}")
        return
    model = Hbv(asked.array, asked.until)
    if asked.time:
        seconds(model)
        return
    source, target = asked.files
    if asked.batch:
        with open(source, newline="") as file:
            sets = np.hstack([column(row) for row in csv.DictReader(file)])
        with open(target, "w") as out:
            out.write("kge\n" + "".join(f"{float(x)!r}\n" for x in model.kge(sets)))
        return
    with open(source, "rb") as file:
        named = {name: table["value"] for name, table in tomllib.load(file).items()}
    score = float(model.kge(column(named))[0])
    with open(target, "w") as out:
        out.write(f"score = {score!r}\n")


if __name__ == "__main__":
    main()
