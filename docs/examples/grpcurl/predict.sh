#!/bin/sh
# The digit in each image file:  ./predict.sh host:port FILE…
# The server answers reflection, so that grpcurl needs no proto. Where that is off: -import-path proto -proto
# digits/v1/prediction.proto, from the root of the repository.
set -eu
[ $# -ge 2 ] || { echo "usage: $0 host:port FILE…" >&2; exit 2; }
target=$1
shift
files=
for file in "$@"; do
  files="$files${files:+, }\"$(base64 < "$file" | tr -d '\n')\""
done
printf '{"image_files": [%s]}' "$files" |
  grpcurl -plaintext -max-time 5 -d @ "$target" digits.v1.PredictionService/Predict
