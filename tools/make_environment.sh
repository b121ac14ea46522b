#!/bin/sh
# Usage: make_environment.sh PYTHON VENV REQUIREMENTS [FALLBACK_REQUIREMENTS]
# Makes the virtual environment VENV with PYTHON and installs the pinned packages of REQUIREMENTS into it.
# When that fails and FALLBACK_REQUIREMENTS is given, that smaller set is installed instead.
# Every failure ends with one plain sentence.
set -u

python=${1-}
venv=${2:?the folder of the virtual environment is missing}
requirements=${3:?the requirements file is missing}
fallback=${4-}
folder=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)

fail() {
    printf '\nSet-up failed: %s\n' "$1" >&2
    exit 1
}

is_recent_python() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1
}

environment_python() {
    for candidate in "$venv/bin/python" "$venv/Scripts/python.exe"; do
        [ -x "$candidate" ] && printf '%s\n' "$candidate" && return
    done
    return 1
}

install() {
    "$(environment_python)" -m pip install --quiet --quiet --disable-pip-version-check --no-input --only-binary :all: \
        --requirement "$1" --constraint "$folder/requirements/constraints.txt"
}

[ -n "$python" ] || fail "Python 3.10 or newer was not found. Install it, or name it: make PYTHON=/path/to/python3."
is_recent_python "$python" ||
    fail "'$python' does not run or is older than Python 3.10. Name another: make PYTHON=/path/to/python3."

if ! { environment_python && is_recent_python "$(environment_python)"; } >/dev/null 2>&1; then
    printf 'Making the virtual environment %s with %s ...\n' "$venv" "$("$python" --version 2>&1)"
    "$python" -c 'import venv, ensurepip' >/dev/null 2>&1 ||
        fail "$python has no working 'venv' module. On Debian and Ubuntu: apt-get install python3-venv."
    "$python" -m venv --clear "$venv" ||
        fail "the virtual environment $venv could not be made. Is the folder writable and the disk not full?"
fi

printf 'Installing %s (once; the packages need 1 to 3 GB) ...\n' "$(basename "$requirements")"
install "$requirements" && exit 0
[ -n "$fallback" ] || fail "pip could not install $requirements. The reason is above; mostly it is the network or the disk."

printf '\n%s could not be installed in full; going on with %s.\n' "$requirements" "$fallback" >&2
install "$fallback" ||
    fail "pip could not install $fallback. The reason is above; mostly it is the network or the disk."
