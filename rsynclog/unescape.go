package rsynclog

// AppendUnescaped appends src to dst with each \#ooo (three octal digits, at most \#377) turned into the byte that it stands
// for. rsync 3.5.0 writes control characters and 0x80 to 0x9f so into its log file (log.c: filtered_fwrite). That breaks UTF-8
// in half, so unescape first and decode then. What is no such escape stays as it is.
func AppendUnescaped(dst, src []byte) []byte {
	for i := 0; i < len(src); i++ {
		c := src[i]
		if c == '\\' && i+4 < len(src) && src[i+1] == '#' &&
			'0' <= src[i+2] && src[i+2] <= '3' && isOctal(src[i+3]) && isOctal(src[i+4]) {
			c = (src[i+2]-'0')<<6 | (src[i+3]-'0')<<3 | (src[i+4] - '0')
			i += 4
		}
		dst = append(dst, c)
	}
	return dst
}

func isOctal(c byte) bool { return '0' <= c && c <= '7' }
