package receiver

import (
	"net/netip"
	"time"
)

// MaxMessage is the longest message, in bytes, that an input keeps whole. rsyncd cuts at 2047, a
// relay that escapes every byte as #ooo makes 8188 of that, and RFC 5425 section 4.3.1 asks for
// 8192. A longer one is discarded as Oversize.
const MaxMessage = 16 << 10

// DrainLimit is how long the last reads of an input may take, when senders don't pause.
const DrainLimit = 2 * time.Second

// ForeignScope is the least scope of a pid namespace that isn't ours, and the one that all share of
// whom nothing more is known.
const ForeignScope uint32 = 1 << 31

// StdinScope is the Source.Scope of standard input. Those of followed files begin behind it.
const StdinScope uint32 = 1

// A Source describes one input to whoever handles its slabs. It is made before the input runs and
// never changes.
type Source struct {
	Input string // value of the metrics' input label: udp, tcp, tls, unixgram, file, stdin
	Name  string // for logs and errors: "udp 127.0.0.1:5514", "file /var/log/rsyncd.log"
	// Scope keeps equal pids apart. It is 0 for everything that arrives as syslog, and a number of
	// its own for each followed file, or one daemon's files, and for stdin; see Slab.Senders.
	Scope uint32
	Live  bool // messages come at once: a stamp without a time zone says no more than their arrival
	// Host is the host of this input's messages, whatever their headers say; empty where these say
	// it.
	Host string
	// Joins says that a followed file's lines go on where syslog of the same host leaves off: one
	// daemon sends both. Its Scope is 0 then.
	Joins   bool
	Wrapped bool    // texts of messages with a tag are lines of rsync's own log file; see syslog.Unwrap
	Dialect Dialect // reads the headers; a Unixgram takes one of syslog.NewDialect
}

// IsFile says whether the source is a log file, or standard input: a line without a syslog tag is
// rsync's own there.
func (s *Source) IsFile() bool { return s.Scope != 0 || s.Joins }

// IsFileScope says whether a scope is a followed file's: what is logged to it while nobody reads is
// read later.
func IsFileScope(scope uint32) bool { return scope != 0 && scope != StdinScope && scope < ForeignScope }

// A Sink takes slabs and handles them one at a time. When a call returns, the slab is the caller's
// again.
type Sink interface {
	// Deliver waits for its turn and lets datagram readers go first. It is for senders that can
	// wait: TCP, TLS, files and stdin.
	Deliver(*Source, *Slab)
}

// A TrySink is a Sink for readers that must not wait: a unix datagram reader that waits stops
// rsyncd.
type TrySink interface {
	// TryDeliver handles the slab and returns true, or returns false at once if another slab is
	// being handled.
	TryDeliver(*Source, *Slab) bool
}

// A Slab is a reusable batch of raw messages from one source. Its reader owns it and the memory
// that its messages point into; a Sink may look at both until Deliver returns and keeps nothing.
type Slab struct {
	// At is when the batch was received, in nanoseconds of the Unix epoch.
	At int64
	// Messages are those that arrived whole, without framing; a trailing LF may still be there.
	Messages [][]byte
	// Peer is the address of the machine that sent the whole batch: a stream has one peer. It is
	// not valid for this machine's own.
	Peer netip.Addr
	// Senders says who sent each message. It is as long as Messages, or empty where the kernel has
	// nothing to say beyond Peer and Source.Scope.
	Senders []Sender
	// Backlog says that the messages were there before their reader: their stamps, not their
	// arrival, say when they were written. It is set for the lines that a followed file held when
	// it was opened, at the start or after a rotation; the slab with the last of them may hold
	// later ones, too. Then, or if there are none or they can't be read, one slab of the file's
	// Source that holds nothing but At says that the reader has caught up with the file.
	Backlog bool
	// Discarded counts messages that are not in Messages, by reason: of this batch, or lost since
	// the slab before it. They count as received.
	Discarded [NumDiscards]uint32
	// Position says how far a followed file has been read once this slab is counted. It is the
	// reader's; nil elsewhere.
	Position *FilePosition
}

// CaughtUp says that the slab is empty: its reader has handed over all that was there before it.
func (s *Slab) CaughtUp() bool {
	return len(s.Messages) == 0 && !s.Backlog && s.Position == nil && s.Discarded == [NumDiscards]uint32{}
}

// Add appends a message. Senders is begun with the first message whose sender isn't the zero value.
func (s *Slab) Add(msg []byte, from Sender) {
	if len(s.Senders) > 0 || from != (Sender{}) {
		for len(s.Senders) < len(s.Messages) {
			s.Senders = append(s.Senders, Sender{})
		}
		s.Senders = append(s.Senders, from)
	}
	s.Messages = append(s.Messages, msg)
}

// Reset empties the slab for its next batch and keeps its memory.
func (s *Slab) Reset() {
	clear(s.Messages) // lets go of the memory that the old messages point into
	*s = Slab{Messages: s.Messages[:0], Senders: s.Senders[:0]}
}

// A Sender is what the kernel says of who sent a message. The zero value is a process of this
// machine and pid namespace of which nothing more is known. Root of another user namespace looks
// like any user here.
type Sender struct {
	Addr    netip.Addr // of another machine; not valid for this one
	Scope   uint32     // of the process ids: 0 for our pid namespace, from ForeignScope on for others
	Started uint64     // when the header's pid began, in clock ticks since boot; 0: not known
	Forged  bool       // the header's pid isn't the sender's, who isn't root: root may speak for others
}

// Elsewhere returns an address as Sender.Addr and Slab.Peer have it: an IPv4-mapped one as IPv4,
// without a zone, and not valid if it is a loopback address, which is this machine.
func Elsewhere(addr netip.Addr) netip.Addr {
	if addr = addr.Unmap().WithZone(""); addr.IsLoopback() {
		return netip.Addr{}
	}
	return addr
}
