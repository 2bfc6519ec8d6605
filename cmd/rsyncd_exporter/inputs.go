package main

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"rsyncd_exporter/internal/config"
	"rsyncd_exporter/metrics"
	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/datagram"
	"rsyncd_exporter/receiver/follow"
	"rsyncd_exporter/receiver/stream"
	"rsyncd_exporter/receiver/syslog"
)

// The kinds of inputs. Each is the input label of its messages.
const (
	kindUDP      = string(config.RoleUDP)
	kindTCP      = string(config.RoleTCP)
	kindTLS      = string(config.RoleTLS)
	kindUnixgram = string(config.RoleUnixgram)
	kindStdin    = "stdin"
	kindFile     = "file"
)

// An input describes one way for messages to come in.
type input struct {
	kind  string
	at    string   // the address, or a socket's path
	fd    int      // of a socket that this process was started with; 0: none
	paths []string // of followed files
}

// String returns what the log and errors call the input.
func (d input) String() string {
	switch {
	case d.kind == kindFile:
		return "files " + strings.Join(d.paths, ",")
	case d.kind == kindStdin:
		return kindStdin
	case d.fd != 0:
		return d.kind + " " + d.at + " (passed)"
	}
	return d.kind + " " + d.at
}

// inputsOf returns the inputs of the settings in the order of opening. All followed files are one.
func inputsOf(cfg *config.Config) (list []input) {
	for _, s := range cfg.Passed {
		if s.Role != config.RoleHTTP {
			list = append(list, input{kind: string(s.Role), at: s.Address, fd: s.FD})
		}
	}
	if cfg.ListenUnixgram != "" {
		list = append(list, input{kind: kindUnixgram, at: cfg.ListenUnixgram})
	}
	add := func(kind string, addresses []string) {
		for _, addr := range addresses {
			list = append(list, input{kind: kind, at: addr})
		}
	}
	add(kindUDP, cfg.ListenUDP)
	add(kindTCP, cfg.ListenTCP)
	add(kindTLS, cfg.ListenTLS)
	paths := slices.Clone(cfg.Files)
	if i := slices.Index(paths, "-"); i >= 0 {
		paths = slices.Delete(paths, i, i+1)
		list = append(list, input{kind: kindStdin})
	}
	if len(paths) > 0 {
		list = append(list, input{kind: kindFile, paths: paths})
	}
	return list
}

// local reports whether the messages' headers never name a host.
func (d input) local() bool {
	return d.kind == kindUnixgram || d.kind == kindStdin || d.kind == kindFile
}

// source returns the input's source. Each followed file gets its own, see fileOptions.
func (d input) source(cfg *config.Config) (src receiver.Source, err error) {
	src = receiver.Source{Input: d.kind, Name: d.String(), Wrapped: cfg.SyslogLogLines}
	if d.kind == kindStdin || d.kind == kindFile {
		src.Scope = receiver.StdinScope
		src.Dialect, err = syslog.ParseLineFormat(cfg.LineFormat)
		return src, err
	}
	src.Live = d.local()
	src.Dialect, err = syslog.NewDialect(cfg.SyslogFormat, d.local())
	return src, err
}

// A task is one goroutine of the program: it runs until ctx ends, or returns why it can't go on.
type task interface {
	Run(ctx context.Context) error
	String() string
}

type reader interface {
	task
	Close() error
}

// A socket is a reader that has something to show at a scrape.
type socket struct {
	kind string
	reader
	status func() receiver.Status
}

type inputs struct {
	readers []reader
	sockets []socket
	files   *follow.Set         // nil where none are followed
	creds   *stream.Credentials // shared by all TLS inputs; nil without

	catalogue *follow.Catalogue // in the last checkpoint; nil before
}

// openInputs opens what cfg names, in the order of inputsOf; on an error, nothing stays open.
func openInputs(cfg *config.Config, p *pipeline.Pipeline, k *kept) (*inputs, error) {
	in := &inputs{}
	for _, d := range inputsOf(cfg) {
		if d.local() {
			p.AddLocalHost()
		}
		r, err := in.open(d, cfg, p, k)
		if err != nil {
			in.close()
			return nil, err
		}
		p.Input(d.kind)
		in.readers = append(in.readers, r)
		if s, ok := r.(interface{ Status() receiver.Status }); ok && d.kind != kindStdin {
			in.sockets = append(in.sockets, socket{d.kind, r, s.Status})
		}
	}
	return in, nil
}

func (in *inputs) open(d input, cfg *config.Config, p *pipeline.Pipeline, k *kept) (reader, error) {
	src, err := d.source(cfg)
	if err != nil {
		return nil, err
	}
	if d.kind == kindTLS && in.creds == nil {
		if in.creds, err = stream.LoadCredentials(cfg.TLS); err != nil {
			return nil, err
		}
	}
	switch passed := d.fd != 0; {
	case d.kind == kindUDP && passed:
		return datagram.PassedUDP(d.fd, src, p, udpOptions(cfg))
	case d.kind == kindUDP:
		return datagram.ListenUDP(d.at, src, p, udpOptions(cfg))
	case d.kind == kindUnixgram && passed:
		return datagram.PassedUnixgram(d.fd, src, p, unixgramOptions(cfg))
	case d.kind == kindUnixgram:
		return datagram.ListenUnixgram(d.at, src, p, unixgramOptions(cfg))
	case d.kind == kindTCP && passed:
		return stream.PassedTCP(d.fd, src, p, tcpOptions(cfg))
	case d.kind == kindTCP:
		return stream.ListenTCP(d.at, src, p, tcpOptions(cfg))
	case d.kind == kindTLS && passed:
		return stream.PassedTLS(d.fd, src, p, in.creds, tcpOptions(cfg))
	case d.kind == kindTLS:
		return stream.ListenTLS(d.at, src, p, in.creds, tcpOptions(cfg))
	case d.kind == kindStdin:
		return stream.NewStdin(cfg.Stdin, src, p), nil
	}
	in.files, err = follow.NewSet(fileOptions(cfg, d.paths, src, k), p)
	return in.files, err
}

// check returns why open would fail now. The Closer, which may be nil, holds what open would hold.
func (d input) check(cfg *config.Config, p *pipeline.Pipeline) (io.Closer, error) {
	src, err := d.source(cfg)
	if err != nil {
		return nil, err
	}
	switch d.kind {
	case kindUDP:
		return datagram.CheckUDP(d.at, udpOptions(cfg))
	case kindUnixgram:
		return nil, datagram.CheckUnixgram(d.at, src, unixgramOptions(cfg))
	case kindTCP, kindTLS:
		return stream.CheckTCP(d.kind, d.at)
	case kindFile:
		return follow.NewSet(fileOptions(cfg, d.paths, src, &kept{}), p)
	}
	return nil, nil
}

func unixgramOptions(cfg *config.Config) datagram.UnixgramOptions {
	return datagram.UnixgramOptions{Mode: cfg.ListenUnixgramMode, Users: cfg.ListenUnixgramUIDs}
}

func udpOptions(cfg *config.Config) datagram.UDPOptions {
	return datagram.UDPOptions{
		Buffer: int(cfg.ReceiveBuffer), Sockets: cfg.UDPSockets, AllowFrom: receiver.NewAllowList(cfg.AllowFrom),
	}
}

func tcpOptions(cfg *config.Config) stream.TCPOptions {
	return stream.TCPOptions{MaxConnections: sharesOf(cfg).stream, AllowFrom: receiver.NewAllowList(cfg.AllowFrom)}
}

// fileOptions says how files are followed. Each is a scope of its own, unless one daemon writes
// them: equal pids in two files are two processes.
func fileOptions(cfg *config.Config, paths []string, src receiver.Source, k *kept) follow.SetOptions {
	return follow.SetOptions{
		Paths:         paths,
		Poll:          cfg.FilePoll,
		FromBeginning: cfg.FileFromStart && k.start != startSetAside,
		Descriptors:   sharesOf(cfg).logs,
		Resume:        k.followed(),
		Source: func(path string, scope uint32) receiver.Source {
			_, joined := cfg.Daemon.Rank(path)
			one := src
			one.Name, one.Scope, one.Host = "file "+path, scope, cfg.HostOf(path)
			one.Joins = joined && cfg.Daemon.Syslog
			return one
		},
		Daemon: cfg.Daemon,
	}
}

// caughtUp returns a channel that is closed when the files' content at the start has been read.
func (in *inputs) caughtUp() <-chan struct{} {
	if in.files != nil {
		return in.files.CaughtUp()
	}
	now := make(chan struct{})
	close(now)
	return now
}

// save copies all that a restart keeps: the counters and the files' positions of one moment.
func (in *inputs) save(p *pipeline.Pipeline) (*metrics.Snapshot, *pipeline.Checkpoint) {
	books, c := p.Save(in.catalogue)
	if in.files != nil {
		in.catalogue = in.files.Catalogue(c.Counted())
		c.Followed = *in.catalogue
	}
	return books, c
}

func (in *inputs) ofKind(kind string) (sockets []socket) {
	for _, s := range in.sockets {
		if s.kind == kind {
			sockets = append(sockets, s)
		}
	}
	return sockets
}

func (in *inputs) close() {
	for _, r := range in.readers {
		r.Close()
	}
}

// log says once what was opened, and what may need the operator's hand.
func (in *inputs) log(cfg *config.Config, log *slog.Logger) {
	for _, r := range in.readers {
		log.Info("input", "from", r.String())
	}
	for _, s := range in.ofKind(kindUDP) {
		if want, got := int(cfg.ReceiveBuffer), s.status().Buffer; got < want {
			log.Warn("the kernel granted a smaller receive buffer than asked: bursts may be dropped",
				"input", s.String(), "asked", want, "granted", got, "remedy",
				"sysctl -w net.core.rmem_max="+strconv.Itoa(want)+", or ReceiveBuffer= in a systemd socket unit")
		}
	}
	if in.files == nil {
		return
	}
	for _, f := range in.files.Status() {
		if f.Err != nil && !errors.Is(f.Err, os.ErrNotExist) {
			log.Warn("file", "path", cmp.Or(f.Path, f.Pattern), "err", f.Err)
		}
	}
}

// live returns the state of the inputs, with one metrics.Socket for each kind of socket.
func (in *inputs) live() metrics.Live {
	var l metrics.Live
	for _, s := range in.sockets {
		at := slices.IndexFunc(l.Sockets, func(m metrics.Socket) bool { return m.Input == s.kind })
		if at < 0 {
			at = len(l.Sockets)
			l.Sockets = append(l.Sockets, metrics.Socket{
				Input: s.kind, Datagram: s.kind == kindUDP, File: s.kind == kindUnixgram,
				Stream: s.kind == kindTCP || s.kind == kindTLS,
				Buffer: math.MaxInt, InPlace: true, Refused: map[string]uint64{},
			})
		}
		addStatus(&l.Sockets[at], s.status())
	}
	if in.creds != nil {
		l.TLS = &metrics.TLS{Expires: map[string]time.Time{}, OK: in.creds.Err() == nil}
		for file, end := range in.creds.Expires() {
			l.TLS.Expires[file.String()] = end
		}
	}
	if in.files != nil {
		for _, s := range in.files.Status() {
			f := metrics.File{
				Path: s.Path, Pattern: s.Pattern, Offset: s.Offset, Lag: s.Lag, LagTime: s.LagTime,
				Generations: s.Generations, Rotations: s.Rotations, Gaps: map[string]uint64{}, Errors: s.Errors,
				OK: s.Err == nil,
			}
			for reason, n := range s.Gaps {
				f.Gaps[follow.Gap(reason).String()] = n
			}
			l.Files = append(l.Files, f)
		}
	}
	return l
}

func addStatus(m *metrics.Socket, s receiver.Status) {
	m.Drops += s.Drops
	m.Buffer = min(m.Buffer, s.Buffer)
	m.Errors += s.Errors
	m.InPlace = m.InPlace && s.InPlace
	m.Rebinds += s.Rebinds
	m.Connections += s.Connections
	for reason, n := range s.Refused {
		m.Refused[reason] += n
	}
}
