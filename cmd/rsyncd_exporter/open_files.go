package main

import (
	"math"
	"syscall"
)

// The most connections that are open at the same time, where open files are not scarce.
const (
	maxHTTPConnections   = 256
	maxStreamConnections = 1024 // of each TCP and TLS listener
)

// A share is how many connections may be open at the same time.
type share struct{ http, stream int }

// shareOfFiles divides the open files that this process may have (RLIMIT_NOFILE of getrlimit(2)) between scrapers and each of the stream
// listeners, so that senders' connections never take the last one from a scraper, and leaves some for sockets and files.
func shareOfFiles(listeners int) share {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return share{maxHTTPConnections, maxStreamConnections}
	}
	return shareOf(int(min(uint64(limit.Cur), math.MaxInt32)), listeners)
}

// share returns how the configuration's listeners share the open files.
func (c *Config) share() share {
	listeners := len(c.ListenTCP) + len(c.ListenTLS)
	for _, p := range c.Passed {
		if p.role == roleTCP || p.role == roleTLS {
			listeners++
		}
	}
	return shareOfFiles(listeners)
}

func shareOf(files, listeners int) share {
	const own, least = 24, 2
	rest := max(files-own, 4*least)
	s := share{http: min(maxHTTPConnections, rest/4)}
	s.stream = min(maxStreamConnections, max(least, (rest-s.http)/max(listeners, 1)))
	return s
}
