#!/bin/sh
# A model with a score of its own: how near a line is to another one. Yours takes its place.
#   $1  parameters.toml: tables `[slope]` and `[offset]`, each with `value = …`
#   $2  the file to write
exec awk '
  /^\[/ { name = substr($0, 2, length($0) - 2) }
  $1 == "value" { p[name] = $3 }
  END { printf "score = %.17g\n", -((p["slope"] - 1.5)^2 + (p["offset"] + 0.5)^2) }
' "$1" > "$2"
