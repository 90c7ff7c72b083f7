"""The HBV of the made-up basin for one set of parameters: `hbv.py PARAMETERS DATA` writes its KGE.

What `models/hbv.toml` does in the toolkit, in plain Python 3.11: the same days and score, the model that made the data.
"""
import csv
import datetime
import math
import sys
import tomllib

sys.dont_write_bytecode = True  # many start at once in one folder
sys.path.insert(0, "")  # its files are links, beside which nothing lies
from make_data import FIXED, hbv  # noqa: E402

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
