package main

import (
	"context"
	"log/slog"
	"time"

	"rsyncd_exporter/receiver"
)

// A socketWatch tells once when a socket file has gone or been replaced, and when it is in place
// again.
type socketWatch struct {
	sockets []socket
	log     *slog.Logger
}

// Run implements task.
func (w socketWatch) Run(ctx context.Context) error {
	type seen struct {
		lost, unsure bool
		rebinds      uint64
	}
	before := make([]seen, len(w.sockets))
	for i, s := range w.sockets {
		before[i].unsure = w.tellUnsure(s.String(), s.status())
	}
	look := time.NewTicker(tickInterval)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
		}
		for i, s := range w.sockets {
			st, b := s.status(), &before[i]
			switch {
			case ctx.Err() != nil: // the file goes at the end
				return nil
			case st.Rebinds > b.rebinds:
				b.unsure = b.unsure || w.tellUnsure(s.String(), st)
				w.log.Warn("somebody removed the socket file: it has been made again, and what was logged meanwhile "+
					"is lost", "input", s.String())
			case !st.InPlace && !b.lost:
				w.log.Warn("the socket file is gone or somebody else's: programs that connect to it now don't reach "+
					"the exporter", "input", s.String(),
					"remedy", "stop the other program, or give one of them another path")
			case st.InPlace && b.lost:
				w.log.Info("the socket file is in place again", "input", s.String())
			}
			b.rebinds, b.lost = st.Rebinds, !st.InPlace
		}
	}
}

// tellUnsure warns where nobody can say whose the socket file is.
func (w socketWatch) tellUnsure(input string, st receiver.Status) bool {
	if st.Unsure == nil {
		return false
	}
	w.log.Warn("others may write to the socket's directory, and the kernel can't be asked whether the socket file is "+
		"the exporter's: socket_in_place may be wrong", "input", input, "error", st.Unsure.Error(),
		"remedy", "allow netlink sockets (RestrictAddressFamilies=AF_NETLINK), or a directory that only root and this "+
			"user may write to")
	return true
}

func (socketWatch) String() string { return "socket watch" }
