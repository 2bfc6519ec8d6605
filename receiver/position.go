package receiver

// A FileID tells one file from every other, whatever its name. Device and Inode alone don't: ext4 hands out the same inode again at
// once. While a descriptor is open its inode can't be reused. Birth is the time of creation in nanoseconds of the Unix epoch, 0 where
// it isn't known; it is compared for equality, and for order only in doubt, since clocks jump.
type FileID struct {
	Device uint64
	Inode  uint64
	Birth  int64
}

// AnchorSize is how many bytes before an offset are remembered, at most, to know the place again.
const AnchorSize = 64

// A FilePosition says how far one file has been read. All lines before Offset are counted, none behind it.
type FilePosition struct {
	ID     FileID
	Offset int64 // the start of a line, unless Skipping
	// Skipping says that Offset lies within a line that is counted already, as Oversize or Incomplete: its rest, to its LF, is not.
	Skipping bool
	// Parts says in which streams of a container the parts that come next are not to be read, to the last one of a
	// line, as they are counted already. See syslog.Skipped.
	Parts byte
	// Copy says that the file is a copy of the one that it was made from, and is read in its place. Nobody logs to it: once what was read is
	// no longer there, it is another copy, of lines that are counted elsewhere.
	Copy bool
	// Anchor starts with the bytes before Offset, the last AnchorSize of them or all where there are fewer. Where they have changed,
	// what was read is no longer there. Head is the start of the file, if Offset is AnchorSize or more.
	Anchor, Head [AnchorSize]byte
}
