#!/bin/sh
# compare.sh BUILD FOLDERS: the best of several integrals. Folders are joined by `:`, as in PATH.
set -eu
echo "$2" | tr ':' '\n' | while read -r folder; do
  sed -n 's/^error = //p' "$folder/estimate.toml"
done > errors.txt
awk 'NR == 1 || $1 + 0 < best + 0 { best = $1 } END { printf "integrals = %d\nsmallest_error = %s\n", NR, best }' \
  errors.txt > model_output.toml
