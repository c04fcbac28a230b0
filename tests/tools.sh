#!/usr/bin/env bash
# What the tests run beside Python, from Debian's packages: nothing where all of it is there, else installed as root.
set -euo pipefail
cd "$(dirname "$0")/.."
packages=()
# A real Prometheus scrapes the server, and promtool checks the rules.
{ command -v prometheus && command -v promtool; } >/dev/null || packages+=(prometheus)
# A real Alertmanager sends what that Prometheus raises, and amtool checks its configuration.
{ command -v prometheus-alertmanager && command -v amtool; } >/dev/null || packages+=(prometheus-alertmanager)
# Commands of the runbook read JSON, certificates and processes.
command -v jq >/dev/null || packages+=(jq)
command -v openssl >/dev/null || packages+=(openssl)
command -v top >/dev/null || packages+=(procps)
# An example of the documentation calls the server with curl.
command -v curl >/dev/null || packages+=(curl)
# Another is in Node.
{ command -v node && command -v npm; } >/dev/null || packages+=(nodejs npm)
# Others are in Go and Java, built of Debian's packages alone, so that a test needs no registry of theirs.
command -v go >/dev/null || packages+=(golang-go)
command -v javac >/dev/null || packages+=(default-jdk-headless)
libraries=(
  golang-google-grpc-dev golang-github-golang-protobuf-1-5-dev protoc-gen-go-1-5 protoc-gen-go-grpc
  libgrpc-java libnetty-java libnetty-tcnative-java libguava-java libperfmark-java libprotobuf-java libgeronimo-annotation-1.3-spec-java
  protobuf-compiler protobuf-compiler-grpc-java-plugin
)
for library in "${libraries[@]}"; do
  dpkg -s "$library" >/dev/null 2>&1 || packages+=("$library")
done
# System calls are made to fail, as sandboxes have them fail.
command -v strace >/dev/null || packages+=(strace)
# The units of deploy/systemd are verified by systemd itself, which need not run.
{ command -v systemd-analyze && command -v systemd-sysusers; } >/dev/null || packages+=(systemd)
# The page is tested in a real browser.
command -v chromium >/dev/null || packages+=(chromium)
if ((${#packages[@]} == 0)); then
  exit
fi
if ((EUID)) || ! command -v apt-get >/dev/null; then
  echo "Tests that need these packages of Debian will not be run, for only root can install them: ${packages[*]}" >&2
  exit
fi
apt-get update -qq
apt-get install -y -qq "${packages[@]}"
