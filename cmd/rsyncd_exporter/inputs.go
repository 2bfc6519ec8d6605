package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"time"

	"rsyncd_exporter/metrics"
	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/datagram"
	"rsyncd_exporter/receiver/follow"
	"rsyncd_exporter/receiver/stream"
	"rsyncd_exporter/receiver/syslog"
)

// A task is one goroutine of the program: it runs until ctx ends, or returns why it can't go on.
type task interface {
	Run(ctx context.Context) error
	String() string
}

// inputs are the open inputs: in tasks all of them, in the other lists those that have something to show at a scrape.
type inputs struct {
	tasks    []task
	udp      []*datagram.UDP
	unixgram []*datagram.Unixgram
	tcp      []*stream.TCP
	tls      []*stream.TCP
	files    *follow.Set         // nil where none are followed
	creds    *stream.Credentials // those of tls, nil without
}

// openInputs binds and opens what cfg names, in a fixed order. On an error everything that was opened is closed again.
func openInputs(cfg *Config, p *pipeline.Pipeline, k *kept) (in *inputs, err error) {
	in = &inputs{}
	defer func() {
		if err != nil {
			in.close()
		}
	}()
	for _, open := range []func(*Config, *pipeline.Pipeline) error{in.openPassed, in.openUnixgram, in.openUDP, in.openTCP, in.openTLS} {
		if err := open(cfg, p); err != nil {
			return in, err
		}
	}
	return in, in.openFiles(cfg, p, k)
}

// syslogSource describes an input of syslog messages. local is true where headers never have a host name.
func syslogSource(cfg *Config, input, address string, local bool) (receiver.Source, error) {
	d, err := syslog.NewDialect(cfg.SyslogFormat, local)
	return receiver.Source{Input: input, Name: input + " " + address, Live: local, Wrapped: cfg.SyslogLogLines, Dialect: d}, err
}

// openPassed takes over the sockets that the process was started with. That for HTTP is listenHTTP's.
func (in *inputs) openPassed(cfg *Config, p *pipeline.Pipeline) error {
	for _, s := range cfg.Passed {
		if s.role == roleHTTP {
			continue
		}
		src, err := syslogSource(cfg, string(s.role), s.Address, s.role == roleUnixgram)
		if err != nil {
			return err
		}
		src.Name += " (passed)"
		if err := in.openPassedSocket(cfg, s, src, p); err != nil {
			return err
		}
		p.Input(src.Input)
	}
	return nil
}

func (in *inputs) openPassedSocket(cfg *Config, s passedSocket, src receiver.Source, p *pipeline.Pipeline) error {
	switch s.role {
	case roleUDP:
		u, err := datagram.PassedUDP(s.FD, src, p, udpOptions(cfg))
		if err != nil {
			return err
		}
		in.udp, in.tasks = append(in.udp, u), append(in.tasks, u)
	case roleUnixgram:
		u, err := datagram.PassedUnixgram(s.FD, src, p, unixgramOptions(cfg))
		if err != nil {
			return err
		}
		p.Local()
		in.unixgram, in.tasks = append(in.unixgram, u), append(in.tasks, u)
	case roleTCP:
		t, err := stream.PassedTCP(s.FD, src, p, tcpOptions(cfg))
		if err != nil {
			return err
		}
		in.tcp, in.tasks = append(in.tcp, t), append(in.tasks, t)
	case roleTLS:
		if err := in.loadCredentials(cfg); err != nil {
			return err
		}
		t, err := stream.PassedTLS(s.FD, src, p, in.creds, tcpOptions(cfg))
		if err != nil {
			return err
		}
		in.tls, in.tasks = append(in.tls, t), append(in.tasks, t)
	default:
		return fmt.Errorf("%v: nothing receives from a socket for %q", s, s.role)
	}
	return nil
}

func unixgramOptions(cfg *Config) datagram.UnixgramOptions {
	return datagram.UnixgramOptions{Mode: cfg.ListenUnixgramMode, Users: cfg.ListenUnixgramUIDs}
}

func udpOptions(cfg *Config) datagram.UDPOptions {
	return datagram.UDPOptions{Buffer: int(cfg.ReceiveBuffer), Sockets: cfg.UDPSockets, AllowFrom: receiver.NewAllowList(cfg.AllowFrom)}
}

func tcpOptions(cfg *Config) stream.TCPOptions {
	return stream.TCPOptions{MaxConnections: cfg.share().stream, AllowFrom: receiver.NewAllowList(cfg.AllowFrom)}
}

func (in *inputs) openUnixgram(cfg *Config, p *pipeline.Pipeline) error {
	if cfg.ListenUnixgram == "" {
		return nil
	}
	src, err := syslogSource(cfg, "unixgram", cfg.ListenUnixgram, true)
	if err != nil {
		return err
	}
	u, err := datagram.ListenUnixgram(cfg.ListenUnixgram, src, p, unixgramOptions(cfg))
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
		u, err := datagram.ListenUDP(addr, src, p, udpOptions(cfg))
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
		t, err := stream.ListenTCP(addr, src, p, tcpOptions(cfg))
		if err != nil {
			return err
		}
		p.Input(src.Input)
		in.tcp = append(in.tcp, t)
		in.tasks = append(in.tasks, t)
	}
	return nil
}

// loadCredentials loads those that all TLS inputs share, once.
func (in *inputs) loadCredentials(cfg *Config) (err error) {
	if in.creds == nil {
		in.creds, err = stream.LoadCredentials(cfg.TLS)
	}
	return err
}

func (in *inputs) openTLS(cfg *Config, p *pipeline.Pipeline) error {
	if len(cfg.ListenTLS) == 0 {
		return nil
	}
	if err := in.loadCredentials(cfg); err != nil {
		return err
	}
	for _, addr := range cfg.ListenTLS {
		src, err := syslogSource(cfg, "tls", addr, false)
		if err != nil {
			return err
		}
		t, err := stream.ListenTLS(addr, src, p, in.creds, tcpOptions(cfg))
		if err != nil {
			return err
		}
		p.Input(src.Input)
		in.tls = append(in.tls, t)
		in.tasks = append(in.tasks, t)
	}
	return nil
}

// openFiles opens the followed files and standard input. Each file is a scope of its own: equal pids in two files are two processes, unless
// RSYNCD_CONF says that one daemon writes them.
func (in *inputs) openFiles(cfg *Config, p *pipeline.Pipeline, k *kept) error {
	if len(cfg.Files) == 0 {
		return nil
	}
	lines, err := syslog.ParseLineFormat(cfg.LineFormat)
	if err != nil {
		return err
	}
	p.Local()
	paths := slices.Clone(cfg.Files)
	if i := slices.Index(paths, "-"); i >= 0 {
		paths = slices.Delete(paths, i, i+1)
		src := receiver.Source{Input: "stdin", Name: "stdin", Scope: receiver.StdinScope, Wrapped: cfg.SyslogLogLines, Dialect: lines}
		in.tasks = append(in.tasks, stream.NewStdin(cfg.Stdin, src, p))
		p.Input(src.Input)
	}
	if len(paths) == 0 {
		return nil
	}
	in.files, err = follow.NewSet(follow.SetOptions{
		Paths: paths,
		File: follow.Options{Poll: cfg.FilePoll, FromBeginning: cfg.FileFromStart && k.start != startSetAside,
			Descriptors: cfg.share().logs},
		Resume: k.followed(),
		Source: func(path string, scope uint32) receiver.Source {
			src := receiver.Source{Input: "file", Name: fileSource(path), Scope: scope, Host: cfg.hostOf(path), Wrapped: cfg.SyslogLogLines, Dialect: lines}
			_, joined := cfg.Daemon.Rank(path)
			src.Joins = joined && cfg.Daemon.Syslog
			return src
		},
		Daemon: cfg.Daemon,
	}, p)
	if err != nil {
		return err
	}
	p.Input("file")
	in.tasks = append(in.tasks, in.files)
	return nil
}

// fileSource is the Source.Name of a followed file.
func fileSource(path string) string { return "file " + path }

// caughtUp returns a channel that is closed when all that was in the files at the start has been read.
func (in *inputs) caughtUp() <-chan struct{} {
	if in.files != nil {
		return in.files.CaughtUp()
	}
	now := make(chan struct{})
	close(now)
	return now
}

// save copies the pipeline's state, with what is to be kept of the files at the same moment.
func (in *inputs) save(p *pipeline.Pipeline) (*metrics.Snapshot, *pipeline.State) {
	if in.files == nil {
		return p.Save()
	}
	var books *metrics.Snapshot
	var state *pipeline.State
	followed := in.files.State(func() func(string, receiver.FileID) (receiver.FilePosition, bool) {
		books, state = p.Save()
		return state.Position
	})
	state.Followed = followed
	known := map[string][]receiver.FilePosition{}
	for _, f := range followed.Files {
		known[fileSource(f.Path)] = f.State.Positions
	}
	p.Forget(state, known)
	return books, state
}

// hearts returns those of the datagram readers, which never wait for anything but their sockets, and for these not long.
func (in *inputs) hearts() (hearts []heart) {
	for _, u := range in.unixgram {
		hearts = append(hearts, u)
	}
	for _, u := range in.udp {
		hearts = append(hearts, u)
	}
	return hearts
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
		if want, got := int(cfg.ReceiveBuffer), u.Status().Buffer; got < want {
			log.Warn("the kernel granted a smaller receive buffer than asked: bursts may be dropped",
				"input", u.String(), "asked", want, "granted", got, "remedy", "sysctl -w net.core.rmem_max="+strconv.Itoa(want)+", or ReceiveBuffer= in a systemd socket unit")
		}
	}
	if in.files == nil {
		return
	}
	for _, f := range in.files.Status() {
		if f.Err != nil && !errors.Is(f.Err, os.ErrNotExist) {
			log.Warn("file", "path", f.Path, "err", f.Err)
		}
	}
	for path, other := range in.files.Twins() {
		log.Warn("two names of one file: it is counted once", "path", path, "counted as", other)
	}
}

// live reads what is looked at rather than counted: one metrics.Socket for each kind of socket input.
func (in *inputs) live() metrics.Live {
	var l metrics.Live
	if len(in.udp) > 0 {
		s := metrics.Socket{Input: "udp", Datagram: true, Buffer: in.udp[0].Status().Buffer}
		for _, u := range in.udp {
			st := u.Status()
			s.Drops += st.Drops
			s.Errors += st.Errors
			s.Buffer = min(s.Buffer, st.Buffer)
		}
		l.Sockets = append(l.Sockets, s)
	}
	if len(in.tcp) > 0 {
		l.Sockets = append(l.Sockets, streams("tcp", in.tcp))
	}
	if len(in.tls) > 0 {
		l.Sockets = append(l.Sockets, streams("tls", in.tls))
		l.TLS = &metrics.TLS{Expires: map[string]time.Time{}, OK: in.creds.Err() == nil}
		for file, end := range in.creds.Expires() {
			l.TLS.Expires[file.String()] = end
		}
	}
	if len(in.unixgram) > 0 {
		s := metrics.Socket{Input: "unixgram", File: true, InPlace: true}
		for _, u := range in.unixgram {
			st := u.Status()
			s.Errors += st.Errors
			s.Rebinds += st.Rebinds
			s.InPlace = s.InPlace && st.InPlace
		}
		l.Sockets = append(l.Sockets, s)
	}
	if in.files != nil {
		for _, f := range in.files.Status() {
			l.Files = append(l.Files, fileStatus(f))
		}
	}
	return l
}

// A socketWatch tells once when a socket file has gone or been replaced, and when it is in place again.
type socketWatch struct {
	sockets []*datagram.Unixgram
	log     *slog.Logger
}

// Run implements task.
func (w socketWatch) Run(ctx context.Context) error {
	lost := map[*datagram.Unixgram]bool{}
	rebinds := map[*datagram.Unixgram]uint64{}
	unsure := map[*datagram.Unixgram]bool{}
	for _, u := range w.sockets {
		unsure[u] = w.tellUnsure(u)
	}
	look := time.NewTicker(tickInterval)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
		}
		for _, u := range w.sockets {
			st := u.Status()
			n, inPlace := st.Rebinds, st.InPlace
			switch {
			case ctx.Err() != nil: // the file goes at the end
				return nil
			case n > rebinds[u]:
				unsure[u] = unsure[u] || w.tellUnsure(u)
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

// tellUnsure warns where nobody can say whose the socket file is.
func (w socketWatch) tellUnsure(u *datagram.Unixgram) bool {
	err := u.Status().Unsure
	if err == nil {
		return false
	}
	w.log.Warn("others may write to the socket's directory, and the kernel can't be asked whether the socket file is the exporter's: "+
		"socket_in_place may be wrong", "input", u.String(), "error", err.Error(),
		"remedy", "allow netlink sockets (RestrictAddressFamilies=AF_NETLINK), or a directory that only root and this user may write to")
	return true
}

func (socketWatch) String() string { return "socket watch" }

// streams adds up the listeners of one kind.
func streams(input string, listeners []*stream.TCP) metrics.Socket {
	s := metrics.Socket{Input: input, Stream: true, Refused: map[string]uint64{}}
	for _, t := range listeners {
		st := t.Status()
		s.Connections += st.Connections
		s.Errors += st.Errors
		for reason, n := range st.Refused {
			s.Refused[reason] += n
		}
	}
	return s
}

func fileStatus(s follow.Status) metrics.File {
	gaps := map[string]uint64{}
	for reason, n := range s.Gaps {
		gaps[follow.Gap(reason).String()] = n
	}
	return metrics.File{Path: s.Path, Offset: s.Offset, Lag: s.Lag, LagTime: s.LagTime, Generations: s.Generations, Rotations: s.Rotations,
		Gaps: gaps, Errors: s.Errors, OK: s.Err == nil}
}
