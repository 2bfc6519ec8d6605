package receiver

// A FileState is what must outlive the process to go on with a followed file where it was left: how far each of its generations has
// been read, and what was counted about it.
type FileState struct {
	Positions []FilePosition // of every file that has, or had, the name and is remembered, oldest first
	Rotations uint64
	Errors    uint64            // failed reads, and failed looks at the path
	Gaps      map[string]uint64 // times that lines may have been lost, by reason
}
