# docker build -t portcullis .
# docker run --read-only --cap-drop ALL -p 8443:8443 \
#   -v ~/portcullis:/etc/portcullis:ro -v portcullis-audit:/var/lib/portcullis portcullis
#
# In portcullis.toml: listen.address = "0.0.0.0:8443", audit.directory = "/var/lib/portcullis/audit".
# Mounted files must be readable by user 10001.

FROM rust:1.95-slim-trixie AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates cmake g++ make \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY Cargo.toml Cargo.lock ./
COPY benches benches
COPY policies policies
COPY src src
COPY tests/hostile tests/hostile
RUN cargo build --release --locked --bin portcullis \
 && install -d -o 10001 -g 10001 -m 700 /var/lib/portcullis

FROM debian:trixie-slim
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build --chown=10001:10001 /var/lib/portcullis /var/lib/portcullis
COPY --from=build /build/target/release/portcullis /usr/local/bin/portcullis
USER 10001:10001
WORKDIR /etc/portcullis
VOLUME /var/lib/portcullis
EXPOSE 8443
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["portcullis", "health"]
ENTRYPOINT ["portcullis"]
CMD ["serve", "--config", "/etc/portcullis/portcullis.toml"]
