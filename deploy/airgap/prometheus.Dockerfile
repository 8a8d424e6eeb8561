# Debian's Prometheus in the layout of the official image. Context: deploy/
ARG DEBIAN_IMAGE
FROM ${DEBIAN_IMAGE} AS build
WORKDIR /unpacked
# Only unpacked: the packages depend only on an init system and an old console.
RUN apt-get update -qq \
    && apt-get download -qq prometheus promtool \
    && for package in *.deb; do dpkg -x "$package" / ; done
COPY images/minimal-root /usr/local/bin/
RUN minimal-root /root-of-image /usr/bin/prometheus /usr/bin/promtool /usr/share/prometheus \
    && echo 'nobody:x:65534:65534:nobody:/:/sbin/nologin' >>/root-of-image/etc/passwd \
    && install -d -o 65534 -g 65534 /root-of-image/prometheus /root-of-image/etc/prometheus

FROM scratch
COPY --from=build /root-of-image /
USER 65534:65534
WORKDIR /prometheus
VOLUME /prometheus
EXPOSE 9090
ENTRYPOINT ["/bin/prometheus"]
CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]
