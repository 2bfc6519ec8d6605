package receiver

import (
	"net/netip"
	"time"
)

// MaxMessage is the longest message, in bytes, that an input keeps whole: rsyncd cuts at 2047, a relay that escapes every byte
// as #ooo makes 8188 of that, and RFC 5425 section 4.3.1 asks for 8192. A longer one is discarded as Oversize.
const MaxMessage = 16 << 10

// DrainLimit is how long the last reads of an input may take, when senders don't pause.
const DrainLimit = 2 * time.Second

// A Source describes one input to whoever handles its slabs. It is made once, before the input runs, and never changes.
type Source struct {
	Input string // value of the metrics' input label: udp, tcp, tls, unixgram, file, stdin
	Name  string // for logs and errors: "udp 127.0.0.1:5514", "file /var/log/rsyncd.log"
	Scope uint32 // keeps equal pids apart: 0 for everything that arrives as syslog, a number of its own for each followed file, or daemon's files, and stdin; see Slab.Senders
	Live  bool   // messages come at once, so that a stamp without a time zone says nothing that their arrival doesn't
	// Host is the host of this input's messages, whatever their headers say; empty where these say it.
	Host string
	// Joins says of a followed file that its lines go on where what arrives as syslog from the same host leaves off: one daemon sends both.
	// Its Scope is 0 then.
	Joins   bool
	Wrapped bool    // the texts of messages with a tag are lines of rsync's own log file; see syslog.Unwrap
	Dialect Dialect // reads the header of this input's messages. A Unixgram reads it too: it takes a dialect of syslog.NewDialect
}

// A Sink takes slabs and handles them one at a time. When a call returns, the slab is the caller's again.
type Sink interface {
	// Deliver waits for its turn and lets datagram readers go first. For TCP, TLS, files and stdin, whose senders can wait.
	Deliver(*Source, *Slab)
}

// A TrySink is a Sink for readers that must not wait: a unix datagram reader that waits stops rsyncd.
type TrySink interface {
	// TryDeliver handles the slab and returns true, or returns false at once when another slab is being handled.
	TryDeliver(*Source, *Slab) bool
}

// A Slab is a reusable batch of raw messages from one source. Its reader owns it and the memory that its messages point into;
// a Sink may look at both until Deliver returns and keeps nothing.
type Slab struct {
	// At is when the batch was received, in nanoseconds of the Unix epoch.
	At int64
	// Messages are the messages that arrived whole, without framing; a trailing LF may still be there.
	Messages [][]byte
	// Peer is the address of the other machine that sent the whole batch: a stream has one peer. It is not valid for this machine's own.
	Peer netip.Addr
	// Senders says who sent each message. It is as long as Messages, or empty where the kernel has nothing to say beyond Peer and
	// Source.Scope.
	Senders []Sender
	// Backlog says that the messages were there before their reader was: their stamps, not their arrival, say when they were written.
	// It is set for the lines that a followed file held when it was opened, at the start or after a rotation; the
	// slab that holds the last of them may hold later ones, too. Once those of the start have been read, or can't be
	// read, or if there are none, one slab of the file's Source that holds nothing but At says that the reader has
	// caught up with the file.
	Backlog bool
	// Discarded counts messages of this batch, or lost since the slab before it, that are not in Messages, by reason.
	// They count as received.
	Discarded [NumDiscards]uint32
	// Position says, for a followed file, how far it has been read once this slab is counted. It is the reader's; nil elsewhere.
	Position *FilePosition
}

// A Sender is what the kernel says of who sent a message. The zero value is a process of this machine and pid namespace of which
// nothing more is known. Root of another user namespace looks like any user here.
type Sender struct {
	Addr    netip.Addr // of another machine; not valid for this one
	Scope   uint32     // of the process ids: 0 for our pid namespace, from ForeignScope on for others
	Started uint64     // when the process began that the header's pid names, in clock ticks since boot; 0: not known
	Forged  bool       // the header's pid is not the sender's own, and the sender isn't root, who may speak for others.
}

// ForeignScope is the least scope of a pid namespace that isn't ours, and the one that all share of whom nothing more is known.
const ForeignScope uint32 = 1 << 31

// StdinScope is the Source.Scope of standard input. Those of a FileSet begin behind it.
const StdinScope uint32 = 1

// IsFile says whether the source is a log file, or standard input: a line without a syslog tag is rsync's own there.
func (s *Source) IsFile() bool { return s.Scope != 0 || s.Joins }

// IsFileScope says whether a scope is a followed file's: what is logged to it while nobody reads is read later.
func IsFileScope(scope uint32) bool { return scope != 0 && scope != StdinScope && scope < ForeignScope }

// Elsewhere returns an address as Sender.Addr and Slab.Peer have it: an IPv4-mapped one as IPv4, without a zone, and not valid if it is
// a loopback address, which is this machine.
func Elsewhere(addr netip.Addr) netip.Addr {
	if addr = addr.Unmap().WithZone(""); addr.IsLoopback() {
		return netip.Addr{}
	}
	return addr
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
	s.Messages = s.Messages[:0]
	s.Senders = s.Senders[:0]
	s.Discarded = [NumDiscards]uint32{}
	s.At = 0
	s.Peer = netip.Addr{}
	s.Backlog = false
	s.Position = nil
}
