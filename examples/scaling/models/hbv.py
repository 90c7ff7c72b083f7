"""The HBV of the made-up basin for one set of parameters: `hbv.py PARAMETERS DATA` writes its KGE.

What `models/hbv.toml` does in the toolkit, in plain Python 3.11: the same model, days and score.
"""
import csv
import datetime
import math
import sys
import tomllib

FIXED = dict(sfcf=0.9, cfr=0.05, cwh=0.1, k0=0.3, uzl=30.0)


def triangle(base):
    """Shares of a triangle of this base, day by day."""
    def below(u):
        u = min(u, base)
        return 2 * (u / base) ** 2 if u < base / 2 else 1 - 2 * ((base - u) / base) ** 2
    return [below(i + 1) - below(i) for i in range(math.ceil(base))]


def hbv(rows, g):
    snow, water, sm, suz, slz = 0.0, 0.0, 150.0, 10.0, 10.0
    shares = triangle(g["maxbas"])
    later = [0.0] * len(shares)
    flow = []
    for p, t, pet in rows:
        rain = p if t > g["tt"] else 0.0
        snow += 0.0 if t > g["tt"] else p * g["sfcf"]
        melt = min(g["cfmax"] * max(t - g["tt"], 0.0), snow)
        snow -= melt
        water += melt + rain
        frozen = min(g["cfr"] * g["cfmax"] * max(g["tt"] - t, 0.0), water)
        snow, water = snow + frozen, water - frozen
        inflow = max(water - g["cwh"] * snow, 0.0)
        water -= inflow
        recharge = inflow * min(sm / g["fc"], 1.0) ** g["beta"]
        sm += inflow - recharge
        limit = g["lp"] * g["fc"]
        sm -= min(pet * min(sm, limit) / limit, sm)
        suz += recharge
        down = min(g["perc"], suz)
        suz, slz = suz - down, slz + down
        q0, q1, q2 = g["k0"] * max(suz - g["uzl"], 0.0), g["k1"] * suz, g["k2"] * slz
        suz, slz = max(suz - q0 - q1, 0.0), max(slz - q2, 0.0)
        later = [a + (q0 + q1 + q2) * s for a, s in zip(later, shares)]
        flow.append(later[0])
        later = later[1:] + [0.0]
    return flow


with open(sys.argv[1], "rb") as f:
    given = {name: table["value"] for name, table in tomllib.load(f).items()}
with open("forcing.csv") as f:
    days = list(csv.DictReader(line for line in f if not line.startswith("#")))
days = [d for d in days if d["date"] <= "2003-12-31"]
rows = [(float(d["precip_mm"]), float(d["temp_c"]), float(d["pet_mm"])) for d in days]
flow = hbv(rows, {**FIXED, **given})
first = next(k for k, d in enumerate(days) if datetime.date.fromisoformat(d["date"]).year == 2002)
pairs = [(s, float(d["q_mm"])) for s, d in zip(flow[first:], days[first:])]
n = len(pairs)
ms, mo = sum(s for s, _ in pairs) / n, sum(o for _, o in pairs) / n
ss = math.sqrt(sum((s - ms) ** 2 for s, _ in pairs) / n)
so = math.sqrt(sum((o - mo) ** 2 for _, o in pairs) / n)
r = sum((s - ms) * (o - mo) for s, o in pairs) / (n * ss * so)
kge = 1 - math.sqrt((r - 1) ** 2 + (ss / so - 1) ** 2 + (ms / mo - 1) ** 2)
with open(sys.argv[2], "w") as f:
    f.write(f"score = {kge!r}\n")
