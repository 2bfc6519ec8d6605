#!/bin/sh
# Runs the rsync daemon in the foreground, as process 1, with traffic beside it. Its syslog goes to
# the exporter's socket, on a volume that both containers share.
set -eu
ln -sfn "${LOG_SOCKET:-/run/log-socket/log}" /dev/log
head -c 300000 /dev/urandom >/srv/rsync/mirror/release.iso
head -c 5000 /dev/urandom >/srv/rsync/mirror/README
traffic.sh &
exec rsync --daemon --no-detach
