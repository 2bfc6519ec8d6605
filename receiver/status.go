package receiver

// A Status is how a socket input does. What an input has nothing to say of is zero.
type Status struct {
	// Drops counts the datagrams that the kernel has dropped because a socket's buffer was full.
	// Sent = received + Drops, exactly, as far as datagrams reach this machine. It stays what it
	// was after Close. Always 0 elsewhere than on Linux.
	Drops uint64
	// Buffer is the size in bytes of the socket buffer that the system granted, the least of
	// several.
	Buffer int
	// Errors counts the reads that failed, other than by time-out, the connections that could not
	// be accepted, and the TLS connections that ended with a breach of the protocol after their
	// handshake.
	Errors uint64

	// InPlace says that the path of a unix socket still leads to this socket. If not, somebody
	// removed or replaced the file: programs that connect from now on don't reach us.
	InPlace bool
	// Rebinds counts how often the socket file was made again.
	Rebinds uint64
	// Unsure is why InPlace may be wrong, or nil: the kernel couldn't be asked which socket the
	// file belongs to, and others may write to its directory. A socket that somebody puts there at
	// the moment at which ours is made passes for ours then.
	Unsure error

	// Connections is how many are open.
	Connections int
	// Refused counts the connections that were closed for what their peers are or did, by reason.
	// All reasons are there from the start.
	Refused map[string]uint64
}
