// Package receiver turns bytes from sockets, files and stdin into batches of raw syslog messages.
//
// The flow, the same for every input:
//
//	constructor   ListenUDP, ListenUnixgram, ListenTCP, FollowFile, NewStdin: takes hold of the input at once or says why not, and how to mend it;
//	              PassedUDP, PassedUnixgram, PassedTCP, PassedTLS: the same on a socket that somebody else has opened
//	Run(ctx)      reads until ctx ends, then drains what has already arrived, closes, and returns nil; it awaits whatever it started
//	read          one recvmmsg of up to 64 datagrams, one read of a stream, one block of a file
//	framing       a datagram is one message, never split and never joined; a stream is cut as RFC 6587 says; a file at LF
//	Slab          the messages as views into the reader's memory, with counts of those that had to be thrown away, by reason
//	Sink          takes one slab at a time; on return the slab is the reader's again
//	Dialect       reads a message's header; a Source carries it to the Sink, the inputs themselves never look into a message
//
// Datagram readers never wait for the Sink: what it can't take at once is copied to a short pending ring, and what the ring can't
// take is counted as Overflow (see datagrams). Stream and file readers wait, and so make their senders wait.
package receiver
