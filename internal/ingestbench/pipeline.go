//go:build linux

package main

import (
	"context"
	"sync/atomic"

	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/datagram"
	"rsyncd_exporter/receiver/stream"
	"rsyncd_exporter/receiver/syslog"
	"rsyncd_exporter/rsynclog"
)

// A counter counts the messages on their way to the pipeline.
type counter struct {
	*pipeline.Pipeline
	shared *counts
}

func (c counter) Deliver(src *receiver.Source, s *receiver.Slab) {
	atomic.AddUint64(&c.shared.messages, uint64(len(s.Messages)))
	c.Pipeline.Deliver(src, s)
}

func (c counter) TryDeliver(src *receiver.Source, s *receiver.Slab) bool {
	taken := c.Pipeline.TryDeliver(src, s)
	if taken {
		atomic.AddUint64(&c.shared.messages, uint64(len(s.Messages)))
	}
	return taken
}

// receivePipeline is the exporter's reader and its pipeline without the rest of the exporter. With
// inFull it reads each message in full.
func receivePipeline(inFull bool, transport, address string, shared *counts) error {
	p, err := pipeline.New(pipeline.Config{
		LogFormat: rsynclog.DefaultLogFormat, Tags: []string{"rsyncd*"}, MaxSeries: 10_000,
		Limits: rsynclog.DefaultLimits(), InFull: inFull,
	})
	if err != nil {
		return err
	}
	sink := counter{p, shared}
	src := receiver.Source{
		Input: transport, Name: transport, Live: transport == "unixgram",
		Dialect: syslog.Auto{Local: transport == "unixgram"},
	}
	var in interface{ Run(context.Context) error }
	switch transport {
	case "udp":
		in, err = datagram.ListenUDP(address, src, sink, datagram.UDPOptions{Buffer: receiveBuffer})
	case "tcp":
		in, err = stream.ListenTCP(address, src, sink, stream.TCPOptions{})
	default:
		in, err = datagram.ListenUnixgram(address, src, sink, datagram.UnixgramOptions{Mode: 0o600})
	}
	if err != nil {
		return err
	}
	atomic.StoreUint64(&shared.ready, 1)
	return in.Run(context.Background())
}
