package receiver

// A FileID tells one file from every other, whatever its name. Device and Inode alone don't: ext4
// hands out the same inode again at once. While a descriptor is open its inode can't be reused.
type FileID struct {
	Device uint64
	Inode  uint64
	// Birth is the time of creation in nanoseconds of the Unix epoch, 0 where it isn't known. It is
	// compared for equality, and for order only in doubt, since clocks jump.
	Birth int64
}

// AnchorSize is how many bytes before an offset are remembered as they are, at most, to know the
// place again.
const AnchorSize = 64

var (
	// SumSizes are the sizes in bytes of the starts of a file that FilePosition.Sums are of.
	SumSizes = [...]int64{
		128, 256, 512, 1 << 10, 2 << 10, 4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10, 128 << 10, 256 << 10,
		512 << 10, 1 << 20,
	}
	// TailSizes are how many bytes before an offset FilePosition.Tails are of, at most.
	TailSizes = [...]int64{256, 1 << 10, 4 << 10}
)

// A FilePosition says how far one file has been read. All lines before Offset are counted, none
// behind it.
type FilePosition struct {
	ID     FileID
	Offset int64 // the start of a line, unless Skipping
	// Skipping says that Offset lies within a line that is counted already, as Oversize or
	// Incomplete: its rest, to its LF, is not.
	Skipping bool
	// Parts says in which streams of a container the parts that come next, to the last one of a
	// line, are counted already. See syslog.Skipped.
	Parts byte
	// Copy says that the file is read in the place of the one that it is a copy of. Nobody logs to
	// it: once what was read is no longer there, it is another copy, of lines that are counted
	// elsewhere.
	Copy bool
	// Cut counts how often the file has been cut (truncated or rewritten in place), as far as that
	// was seen. Positions of one file with different counts are of different lines.
	Cut uint32
	// Anchor starts with the last AnchorSize bytes before Offset, or all where there are fewer.
	// Where they have changed, what was read is no longer there. Head is the start of the file, if
	// Offset is AnchorSize or more.
	Anchor, Head [AnchorSize]byte
	// Sums are hashes of the file's start, one for each of SumSizes that Offset has reached. Tails
	// are those of the last TailSizes bytes before Offset, or of all where there are fewer. 0: not
	// known.
	Sums  [len(SumSizes)]uint64
	Tails [len(TailSizes)]uint64
	// Line is the length of the last line before Offset, with its LF, and LineSum its hash; 0 where
	// Offset isn't the end of a line, or that is longer than the largest of TailSizes.
	Line    int64
	LineSum uint64
}
