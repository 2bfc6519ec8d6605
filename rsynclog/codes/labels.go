package codes

import (
	"strconv"

	"rsyncd_exporter/rsynclog"
)

// Unknown stands for exit codes and errnos that don't exist: a client can write any number.
const Unknown = -1

// Exit returns a code of rsync's errcode.h (2.6.9 to 3.5.0), or Unknown.
func Exit(n int16) int16 {
	switch {
	case n >= 1 && n <= 5, n >= 10 && n <= 16, n >= 19 && n <= 25, n == 30, n == 35, n >= 124 && n <= 127:
		return n
	}
	return Unknown
}

// Errno returns an errno of Linux, which has 1 to 133, or 0 for none, or Unknown.
func Errno(n int16) int16 {
	if n >= 0 && n <= 133 {
		return n
	}
	return Unknown
}

// Label returns a number that Exit or Errno returned as a label's value.
func Label(n int16) string {
	if n == Unknown {
		return rsynclog.Other
	}
	return strconv.Itoa(int(n))
}
