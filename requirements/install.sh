#!/usr/bin/env bash
# Installs packages with uv, from the index that pip is told to use: uv itself does not read pip's configuration.
#   requirements/install.sh PYTHON [ARGUMENT…]     the arguments are those of `uv pip install`
set -euo pipefail
python=$1
shift
uv=$(dirname "$0")/../.venv/bin/uv
index=${PIP_INDEX_URL:-$("$(dirname "$uv")/python" -m pip config get global.index-url 2>/dev/null || true)}
if [[ -n $index ]]; then
  export UV_DEFAULT_INDEX=${UV_DEFAULT_INDEX:-$index}
fi
if [[ -n ${PIP_CERT:-} ]]; then
  export SSL_CERT_FILE=${SSL_CERT_FILE:-$PIP_CERT}
fi
exec "$uv" pip install --python "$python" "$@"
