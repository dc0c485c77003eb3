#!/bin/sh
# Java and Maven for the Kafka broker of the stream; on Debian root gets them installed, everybody else is told.
set -eu
missing=""
command -v java >/dev/null || missing="default-jre-headless"
command -v mvn >/dev/null || missing="$missing maven"
[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "setup: installing the Debian packages $missing"
    # shellcheck disable=SC2086 - two package names
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing; } >/dev/null
else
    echo "setup: the Kafka broker needs Java 17 and Maven: install default-jre-headless and maven (apt-get install $missing)" >&2
    exit 1
fi
