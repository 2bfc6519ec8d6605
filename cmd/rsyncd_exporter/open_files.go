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

// A share is how many connections may be open at the same time, and what is left of the open files for followed logs.
type share struct {
	http, stream int
	logs         int // a followed log's descriptor is lower, see follow.Options.Descriptors; 0: no limit
}

// shareOfFiles divides the open files that this process may have (RLIMIT_NOFILE of getrlimit(2)) between scrapers,
// each of the stream listeners and followed logs, so that neither senders' connections nor logs ever take the last
// one from a scraper.
func shareOfFiles(sockets, listeners int, follows bool) share {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return share{http: maxHTTPConnections, stream: maxStreamConnections}
	}
	return shareOf(int(min(uint64(limit.Cur), math.MaxInt32)), sockets, listeners, follows)
}

// share returns how the configuration's listeners share the open files.
func (c *Config) share() share {
	listeners := len(c.ListenTCP) + len(c.ListenTLS)
	for _, p := range c.Passed {
		if p.role == roleTCP || p.role == roleTLS {
			listeners++
		}
	}
	sockets := len(c.ListenUDP)*max(1, c.UDPSockets) + len(c.Passed)
	return shareOfFiles(sockets, listeners, len(c.Files) > 0)
}

// shareOf is shareOfFiles for so many open files. own are those that the program needs for itself, with a few
// sockets; each further socket has a duplicate. spare are those that are open for a moment: while a directory is
// read, or the state saved. Where logs are followed, senders leave them half of what scrapers leave both.
func shareOf(files, sockets, listeners int, follows bool) share {
	const own, spare, few, least = 24, 8, 4, 2
	rest := max(files-own-2*max(0, sockets-few), 4*least)
	s := share{http: min(maxHTTPConnections, rest/4)}
	forStreams := rest - s.http
	if follows {
		forStreams /= 2
	}
	s.stream = min(maxStreamConnections, max(least, forStreams/max(listeners, 1)))
	if follows {
		s.logs = max(1, files-s.http-s.stream*listeners-spare)
	}
	return s
}
