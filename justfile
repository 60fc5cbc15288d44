# What a developer does, by name. `just` lists it.

_list:
    @just --list

# Format everything.
fmt:
    cargo fmt

# Fail on any lint.
clippy:
    cargo clippy --all-targets -- -D warnings

# All tests; nothing else has to be there.
test:
    cargo test

# One search with and without the gateway.
demo *arguments:
    cargo run --release -- demo {{arguments}}

# Micro-benchmarks, then the comparison with nginx and Envoy (needs both; .ci/install.sh).
bench:
    cargo build --release
    cargo bench
    benches/compare.py

# The documentation of all modules, in target/doc.
doc:
    cargo doc --no-deps --document-private-items

# What must hold before a change is taken: format, lints, tests, and real parts.
ci:
    cargo fmt --check
    just clippy
    just test
    .ci/run
