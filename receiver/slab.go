package receiver

// MaxMessage is the longest message, in bytes, that an input keeps whole: rsyncd cuts at 2047, a relay that escapes every byte
// as #ooo makes 8188 of that, and RFC 5425 section 4.3.1 asks for 8192. A longer one is discarded as Oversize.
const MaxMessage = 16 << 10

// A Source describes one input to whoever handles its slabs. It is made once, before the input runs, and never changes.
type Source struct {
	Input   string  // value of the metrics' input label: udp, tcp, tls, unixgram, file, stdin
	Name    string  // for logs and errors: "udp 127.0.0.1:5514", "file /var/log/rsyncd.log"
	Scope   uint32  // keeps equal pids apart: 0 for everything that arrives as syslog, a number of its own for each followed file and stdin; see Slab.Scopes
	Dialect Dialect // reads the header of this input's messages
}

// A Sink takes the slabs of all inputs and handles them one at a time. When a call returns, the slab is the caller's again.
type Sink interface {
	// TryDeliver handles the slab and returns true, or returns false at once when another slab is being handled.
	// Datagram readers use nothing else: a unix datagram reader that waits stops rsyncd.
	TryDeliver(*Source, *Slab) bool
	// Deliver waits for its turn and lets datagram readers go first. For TCP, TLS, files and stdin, whose senders can wait.
	Deliver(*Source, *Slab)
}

// A Slab is a reusable batch of raw messages from one source. Its reader owns it and the memory that its messages point into;
// a Sink may look at both until Deliver returns and keeps nothing.
type Slab struct {
	// At is when the batch was received, in nanoseconds of the Unix epoch.
	At int64
	// Messages are the messages that arrived whole, without framing; a trailing LF may still be there.
	Messages [][]byte
	// Scopes, where it isn't empty, is as long as Messages and takes the place of Source.Scope: one for each message. A unix datagram
	// socket has it for messages of processes in other pid namespaces. Its numbers are from ForeignScope on.
	Scopes []uint32
	// Discarded counts messages of this batch, or lost since the slab before it, that are not in Messages, by reason.
	// They count as received.
	Discarded [NumDiscards]uint32
	// Position says, for a followed file, how far it has been read once this slab is counted. It is the reader's; nil elsewhere.
	Position *FilePosition
}

// ForeignScope is the least scope of a pid namespace that isn't ours, and the one that all share of whom nothing more is known.
const ForeignScope uint32 = 1 << 31

// Scope returns the scope of the message at index i.
func (s *Slab) Scope(src *Source, i int) uint32 {
	if len(s.Scopes) == 0 {
		return src.Scope
	}
	return s.Scopes[i]
}

// add appends a message. Scopes is begun with the first message whose scope isn't 0.
func (s *Slab) add(msg []byte, scope uint32) {
	if scope != 0 || len(s.Scopes) > 0 {
		for len(s.Scopes) < len(s.Messages) {
			s.Scopes = append(s.Scopes, 0)
		}
		s.Scopes = append(s.Scopes, scope)
	}
	s.Messages = append(s.Messages, msg)
}

// Reset empties the slab for its next batch and keeps its memory.
func (s *Slab) Reset() {
	clear(s.Messages) // lets go of the memory that the old messages point into
	s.Messages = s.Messages[:0]
	s.Scopes = s.Scopes[:0]
	s.Discarded = [NumDiscards]uint32{}
	s.At = 0
	s.Position = nil
}
