# Stands in for Alertmanager's own image: the release of Debian, run the way the image runs its own.
FROM python:3.11-slim-bookworm
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends prometheus-alertmanager \
    && rm -rf /var/lib/apt/lists/* \
    && install -d -o 65534 -g 65534 /alertmanager
USER 65534:65534
VOLUME /alertmanager
ENTRYPOINT ["prometheus-alertmanager"]
