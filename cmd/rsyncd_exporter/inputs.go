package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strconv"
	"time"

	"rsyncd_exporter/metrics"
	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/receiver"
)

// A task is one goroutine of the program: it runs until ctx ends, or returns why it can't go on.
type task interface {
	Run(ctx context.Context) error
	String() string
}

// inputs are the open inputs: in tasks all of them, in the other lists those that have something to show at a scrape.
type inputs struct {
	tasks    []task
	udp      []*receiver.UDP
	unixgram []*receiver.Unixgram
	tcp      []*receiver.TCP
	files    []*receiver.File
}

// openInputs binds and opens what cfg names, in a fixed order. On an error everything that was opened is closed again.
func openInputs(cfg *Config, p *pipeline.Pipeline) (in *inputs, err error) {
	in = &inputs{}
	defer func() {
		if err != nil {
			in.close()
		}
	}()
	for _, open := range []func(*Config, *pipeline.Pipeline) error{in.openUnixgram, in.openUDP, in.openTCP, in.openFiles} {
		if err := open(cfg, p); err != nil {
			return in, err
		}
	}
	return in, nil
}

// syslogSource describes an input of syslog messages. local is true where headers never have a host name.
func syslogSource(cfg *Config, input, address string, local bool) (receiver.Source, error) {
	d, err := receiver.ByName(cfg.SyslogFormat, local)
	return receiver.Source{Input: input, Name: input + " " + address, Dialect: d}, err
}

func (in *inputs) openUnixgram(cfg *Config, p *pipeline.Pipeline) error {
	if cfg.ListenUnixgram == "" {
		return nil
	}
	src, err := syslogSource(cfg, "unixgram", cfg.ListenUnixgram, true)
	if err != nil {
		return err
	}
	u, err := receiver.ListenUnixgram(cfg.ListenUnixgram, src, p, receiver.UnixgramOptions{
		Mode: cfg.ListenUnixgramMode, Users: cfg.ListenUnixgramUIDs,
	})
	if err != nil {
		return err
	}
	p.Input(src.Input)
	p.Local()
	in.unixgram = append(in.unixgram, u)
	in.tasks = append(in.tasks, u)
	return nil
}

func (in *inputs) openUDP(cfg *Config, p *pipeline.Pipeline) error {
	for _, addr := range cfg.ListenUDP {
		src, err := syslogSource(cfg, "udp", addr, false)
		if err != nil {
			return err
		}
		u, err := receiver.ListenUDP(addr, src, p, receiver.UDPOptions{
			Buffer: int(cfg.ReceiveBuffer), Sockets: cfg.UDPSockets, AllowFrom: receiver.NewAllowList(cfg.AllowFrom),
		})
		if err != nil {
			return err
		}
		p.Input(src.Input)
		in.udp = append(in.udp, u)
		in.tasks = append(in.tasks, u)
	}
	return nil
}

func (in *inputs) openTCP(cfg *Config, p *pipeline.Pipeline) error {
	for _, addr := range cfg.ListenTCP {
		src, err := syslogSource(cfg, "tcp", addr, false)
		if err != nil {
			return err
		}
		t, err := receiver.ListenTCP(addr, src, p, receiver.TCPOptions{AllowFrom: receiver.NewAllowList(cfg.AllowFrom)})
		if err != nil {
			return err
		}
		p.Input(src.Input)
		in.tcp = append(in.tcp, t)
		in.tasks = append(in.tasks, t)
	}
	return nil
}

// openFiles opens the followed files and standard input. Each is a scope of its own: equal pids in two files are two processes.
func (in *inputs) openFiles(cfg *Config, p *pipeline.Pipeline) error {
	for i, path := range cfg.Files {
		lines, err := receiver.ParseLineFormat(cfg.LineFormat)
		if err != nil {
			return err
		}
		src := receiver.Source{Input: "file", Name: "file " + path, Scope: uint32(i + 1), Dialect: lines}
		p.Local()
		if path == "-" {
			src.Input, src.Name = "stdin", "stdin"
			in.tasks = append(in.tasks, receiver.NewStdin(cfg.Stdin, src, p))
			p.Input(src.Input)
			continue
		}
		f, err := receiver.FollowFile(src, receiver.FileOptions{Path: path, Poll: cfg.FilePoll, FromBeginning: cfg.FileFromStart}, p)
		if err != nil {
			return err
		}
		p.Input(src.Input)
		in.files = append(in.files, f)
		in.tasks = append(in.tasks, f)
	}
	return nil
}

// close releases what was opened, for the case that nothing will run.
func (in *inputs) close() {
	for _, t := range in.tasks {
		if c, ok := t.(interface{ Close() error }); ok {
			c.Close()
		}
	}
}

// log says once what was opened, and what may need the operator's hand.
func (in *inputs) log(cfg *Config, log *slog.Logger) {
	for _, t := range in.tasks {
		log.Info("input", "from", t.String())
	}
	for _, u := range in.udp {
		if want, got := int(cfg.ReceiveBuffer), u.BufferBytes(); got < want {
			log.Warn("the kernel granted a smaller receive buffer than asked: bursts may be dropped",
				"input", u.String(), "asked", want, "granted", got, "remedy", "sysctl -w net.core.rmem_max="+strconv.Itoa(want))
		}
	}
	for _, f := range in.files {
		if err := f.Status().Err; err != nil && !errors.Is(err, os.ErrNotExist) {
			log.Warn("file", "from", f.String(), "err", err)
		}
	}
}

// live reads what is looked at rather than counted: one metrics.Socket for each kind of socket input.
func (in *inputs) live() metrics.Live {
	var l metrics.Live
	if len(in.udp) > 0 {
		s := metrics.Socket{Input: "udp", Datagram: true, Buffer: in.udp[0].BufferBytes()}
		for _, u := range in.udp {
			s.Drops += u.Drops()
			s.Errors += u.ReadErrors()
			s.Buffer = min(s.Buffer, u.BufferBytes())
		}
		l.Sockets = append(l.Sockets, s)
	}
	if len(in.tcp) > 0 {
		s := metrics.Socket{Input: "tcp", Stream: true}
		for _, t := range in.tcp {
			s.Connections += t.Connections()
			s.Refused += t.Refused()
			s.Errors += t.AcceptErrors()
		}
		l.Sockets = append(l.Sockets, s)
	}
	for _, u := range in.unixgram {
		l.Sockets = append(l.Sockets, metrics.Socket{
			Input: "unixgram", File: true, InPlace: u.InPlace(), Rebinds: u.Rebinds(), Errors: u.ReadErrors(),
		})
	}
	for _, f := range in.files {
		l.Files = append(l.Files, fileStatus(f.Status()))
	}
	return l
}

// A socketWatch tells once when a socket file has gone or been replaced, and when it is in place again.
type socketWatch struct {
	sockets []*receiver.Unixgram
	log     *slog.Logger
}

// Run implements task.
func (w socketWatch) Run(ctx context.Context) error {
	lost := map[*receiver.Unixgram]bool{}
	rebinds := map[*receiver.Unixgram]uint64{}
	look := time.NewTicker(tickInterval)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
		}
		for _, u := range w.sockets {
			n, inPlace := u.Rebinds(), u.InPlace()
			switch {
			case ctx.Err() != nil: // the file goes at the end
				return nil
			case n > rebinds[u]:
				w.log.Warn("somebody removed the socket file: it has been made again, and what was logged meanwhile is lost", "input", u.String())
			case !inPlace && !lost[u]:
				w.log.Warn("the socket file is gone or somebody else's: programs that connect to it now don't reach the exporter",
					"input", u.String(), "remedy", "stop the other program, or give one of them another path")
			case inPlace && lost[u]:
				w.log.Info("the socket file is in place again", "input", u.String())
			}
			rebinds[u], lost[u] = n, !inPlace
		}
	}
}

func (socketWatch) String() string { return "socket watch" }

func fileStatus(s receiver.FileStatus) metrics.File {
	gaps := map[string]uint64{}
	for reason, n := range s.Gaps {
		gaps[receiver.FileGap(reason).String()] = n
	}
	return metrics.File{Path: s.Path, Offset: s.Offset, Lag: s.Lag, Generations: s.Generations, Rotations: s.Rotations, Gaps: gaps,
		Errors: s.Errors, OK: s.Err == nil}
}
