//go:build unix && !linux

package follow

func lookAtPath(path string, follow bool) (fileInfo, error) { return plainStatPath(path, follow) }

func statFD(fd int) (fileInfo, error) { return plainStatFD(fd) }

// pathOf would return an open file's path, of which these systems don't tell.
func pathOf(int) string { return "" }

// nextData would skip a hole in a sparse file; without it the hole is read as the zeros that it stands for.
func nextData(_ int, offset int64) int64 { return offset }
