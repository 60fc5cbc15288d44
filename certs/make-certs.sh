#!/bin/sh
# Makes development certificates and a development issuer in this folder. Never for production; see README.md.
# Arguments are passed on, such as --force, --client payer-b or --host gateway.test.
set -eu
cd "$(dirname "$0")"
if command -v portcullis >/dev/null; then
    exec portcullis certs --out . "$@"
fi
exec cargo run --quiet -- certs --out . "$@"
