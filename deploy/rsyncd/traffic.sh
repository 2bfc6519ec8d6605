#!/bin/sh
# Spread over each minute: a pull, a push and a backup, and three transfers that must fail (a missing
# file, a wrong password, a wrong module).
set -eu
url=rsync://localhost
transfer() { rsync --quiet --timeout=20 --contimeout=10 -a "$@" || echo "traffic: rsync ended with code $?"; }

cd /tmp
while :; do
	sleep 20
	rm -rf mirror
	transfer "$url/mirror/" mirror
	sleep 20
	head -c 20000 /dev/urandom >photo.jpg
	transfer photo.jpg "$url/incoming/"
	RSYNC_PASSWORD=demo transfer photo.jpg rsync://alice@localhost/backup/
	sleep 20
	echo "traffic: three transfers that must fail"
	transfer "$url/mirror/no-such-file" .
	RSYNC_PASSWORD=wrong transfer photo.jpg rsync://alice@localhost/backup/
	transfer "$url/no-such-module/" .
done
