#!/bin/sh
# Makes the virtual environment of an image, and of the test that runs the images' commands without Docker:
#     venv.sh FOLDER PYTHON EXTRAS        EXTRAS may be empty; with `train` among them torch comes first, pinned
# Reads pyproject.toml and constraints.txt in the present folder. TORCH_ARGS goes to the installer of torch.
set -eu
folder=$1 python=$2 extras=$3
"$python" -m venv "$folder"
"$folder/bin/python" -m pip install -q --disable-pip-version-check uv
export VIRTUAL_ENV="$folder" UV_LINK_MODE="${UV_LINK_MODE:-copy}"
case ",$extras," in *,train,*)
  # shellcheck disable=SC2086 # several words
  "$folder/bin/uv" pip install -q ${TORCH_ARGS:-} "torch==$(sed -n 's/^torch==//p' constraints.txt)" ;;
esac
"$folder/bin/uv" pip install -q -c constraints.txt -e ".${extras:+[$extras]}"
