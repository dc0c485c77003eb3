#!/bin/sh
# Make the virtual environment: sh infra/setup/python.sh PYTHON DIRECTORY
# On Debian the module venv is a package of its own; root gets it installed, everybody else is told its name.
set -eu
python=$1
directory=$2

fail() {
    echo "setup: $1" >&2
    exit 1
}

command -v "$python" >/dev/null || fail "there is no $python: install Python 3.11 or newer (Debian: apt-get install python3 python3-venv)"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$("$python" -V) is too old: Python 3.11 or newer is needed; name one with: make PYTHON=python3.11 setup"
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "setup: installing the Debian package python3-venv"
        { apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-venv; } >/dev/null ||
            fail "apt-get could not install python3-venv"
    else
        fail "$python lacks the module venv: install the Debian package python3-venv (apt-get install python3-venv)"
    fi
fi
"$python" -m venv "$directory" || { rm -rf "$directory"; fail "$python -m venv $directory failed"; }
