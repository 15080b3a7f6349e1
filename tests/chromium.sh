#!/bin/sh
# The browser tests need a Chromium. Say whether there is one; install Debian's when this is root on a Debian.
for name in chromium chromium-browser google-chrome; do
    command -v "$name" >/dev/null 2>&1 && exit 0
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing Debian's chromium for the browser tests"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium; } \
        >/dev/null 2>&1 && exit 0
fi
echo "no Chromium found: the browser tests will be skipped (apt-get install chromium)" >&2
