# shellcheck shell=bash disable=SC2034
# Sourced by every script here. CI: this folder. W: where all state lives (jars, packages, databases, keys); never inside the repository.
CI=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
W=${PORTCULLIS_CI_WORK:-$HOME/.cache/portcullis-ci}
mkdir -p "$W" && W=$(cd "$W" && pwd)
export PORTCULLIS_CI_WORK=$W
PY=$W/venv/bin/python
PATH=$W/bin:$PATH # install.sh puts Node there when the system has none that will do

step() { printf '[%s] %s\n' "$(basename "$0")" "$*" >&2; }
die() { step "FAILED: $*"; exit 1; }

# stamp FILE INPUT... : true when FILE already records these inputs (file contents); `stamp_set` records them.
digest() { cat "$@" | sha256sum | cut -d' ' -f1; }
stamp() { [ -f "$1" ] && [ "$(cat "$1")" = "$(digest "${@:2}")" ]; }
stamp_set() { digest "${@:2}" >"$1"; }

# Maven with checksums enforced, its repository in W and its output in the folder given first.
maven() { mvn -B -ntp -q -C -Dstyle.color=never -f "$2" -Dmaven.repo.local="$W/m2" -Dout="$1" package; }
