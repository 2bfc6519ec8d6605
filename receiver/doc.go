// Package receiver says what an input is: it turns bytes from sockets, files and stdin into batches
// of raw syslog messages. The inputs themselves are packages of their own:
//
//	syslog     reads a message's header, and cuts a file's bytes into lines
//	datagram   UDP and unix datagram sockets; a datagram is one message, never split or joined
//	stream     TCP, TLS and stdin; a stream is cut as RFC 6587 says, stdin at LF
//	follow     log files, through all their rotations
//
// The flow is the same for every input:
//
//	constructor  takes hold of the input at once, or says why not and how to mend it
//	Run(ctx)     reads until ctx ends, drains what has arrived, awaits what it started, returns nil
//	Slab         messages as views into the reader's memory, with counts of those thrown away
//	Sink         takes one slab at a time; on return the slab is the reader's again
//	Dialect      reads a message's header; a Source carries it to the Sink
package receiver
