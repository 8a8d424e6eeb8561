# Debian's PostgreSQL 17 as a replacement for the official image: the same variables, user id, data
# folder and stop signal. Context: deploy/
ARG DEBIAN_IMAGE
FROM ${DEBIAN_IMAGE} AS build
# No version: a rebuild installs the newest fixes of Debian's 17. (DL3008)
# libllvm is 130 MB and only helps queries far longer than ours: the entrypoint turns JIT off.
# hadolint ignore=DL3008
RUN printf 'path-exclude=%s\n' '/usr/lib/*/libLLVM*' '/usr/lib/llvm-*' \
        '/usr/lib/postgresql/*/lib/bitcode/*' '/usr/lib/postgresql/*/lib/llvmjit*' \
        >/etc/dpkg/dpkg.cfg.d/without-jit \
    && mkdir -p /etc/postgresql-common \
    && echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf \
    && apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql-17
COPY images/minimal-root /usr/local/bin/
# hadolint ignore=SC2046
RUN minimal-root /root-of-image /usr/lib/postgresql/17 /usr/share/postgresql/17 \
        /usr/share/zoneinfo /usr/bin/sh /usr/bin/dash /usr/bin/locale \
        $(grep '^/usr/bin/.' /var/lib/dpkg/info/coreutils.list)
WORKDIR /root-of-image
RUN echo 'postgres:x:999:999:PostgreSQL:/var/lib/postgresql:/bin/sh' >>etc/passwd \
    && echo 'postgres:x:999:' >>etc/group \
    && install -d -o 999 -g 999 var/lib/postgresql \
    && install -d -o 999 -g 999 -m 700 var/lib/postgresql/data \
    && install -d -o 999 -g 999 -m 3777 run/postgresql \
    && ln -s ../run var/run
COPY --chmod=755 airgap/postgres-entrypoint /root-of-image/usr/bin/

FROM scratch
COPY --from=build /root-of-image /
ENV PATH=/usr/lib/postgresql/17/bin:/usr/bin PGDATA=/var/lib/postgresql/data LANG=C.UTF-8
USER 999:999
WORKDIR /var/lib/postgresql
VOLUME /var/lib/postgresql/data
EXPOSE 5432
# SIGINT is Postgres' fast shutdown: it disconnects clients and writes a checkpoint.
STOPSIGNAL SIGINT
HEALTHCHECK --interval=5s --timeout=3s --retries=10 CMD ["pg_isready", "-q", "-h", "127.0.0.1"]
ENTRYPOINT ["postgres-entrypoint"]
CMD ["postgres"]
