# PgBouncer of Debian, for the test of what runs behind it.
FROM payments-airgap/debian:trixie
# hadolint ignore=DL3008
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends pgbouncer \
    && rm -rf /var/lib/apt/lists/*
USER 65534:65534
ENTRYPOINT ["pgbouncer"]
