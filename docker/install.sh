#!/usr/bin/env bash
# Install gdengine from this checkout into a new virtual environment: what the images do, and what CI does.
#
#     docker/install.sh KIND FOLDER [PACKAGE...]
#
# KIND is cpu, cuda12 or cuda13; FOLDER is where the environment is made; further packages go in beside it.
set -euo pipefail

usage() {
    echo "usage: docker/install.sh cpu|cuda12|cuda13 FOLDER [PACKAGE...]" >&2
    exit 2
}

[[ $# -ge 2 ]] || usage
kind=$1 venv=$2
shift 2

case $kind in
    cpu) extras=plots ;;
    cuda12) extras=cuda12,plots ;;
    cuda13) extras=cuda13,plots ;;
    *) usage ;;
esac

cd "$(dirname "$0")/.."
python3 -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --no-cache-dir --disable-pip-version-check ".[$extras]" "$@"
