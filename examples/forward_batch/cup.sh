#!/bin/sh
# A cup of tea that cools (Newton): T(t) = room + (start - room) exp(-t / tau), at ten times.
#   cup.sh PARAMETERS.toml > numbers, one a line, into cooling.txt of the working folder
set -eu
awk '
  /^\[/ { name = substr($1, 2, length($1) - 2) }
  $1 == "value" { p[name] = $3 }
  END {
    print "# temperature after 3, 6, ... 30 minutes, degrees Celsius"
    for (t = 3; t <= 30; t += 3)
      printf "%.17g\n", p["room_c"] + (p["start_c"] - p["room_c"]) * exp(-t / p["tau_min"])
  }' "$1" > cooling.txt
