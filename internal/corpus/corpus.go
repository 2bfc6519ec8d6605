// Package corpus reads the recorded datagrams and log lines under testdata, for tests and
// benchmarks.
package corpus

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
)

// Datagrams reads a .raw file: one datagram a line as "LEN SP TEXT", the text escaped as Unescape
// undoes it.
func Datagrams(path string) ([][]byte, error) {
	dump, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var all [][]byte
	number := 0
	for line := range bytes.Lines(dump) {
		number++
		size, text, _ := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(" "))
		datagram := Unescape(text)
		if n, err := strconv.Atoi(string(size)); err != nil || n != len(datagram) {
			return nil, fmt.Errorf("%s:%d: a datagram of %d bytes, said to have %q", path, number, len(datagram), size)
		}
		all = append(all, datagram)
	}
	return all, nil
}

// Unescape undoes the dumps' escapes: \\ for a backslash, \n for a line feed, \xNN for other bytes.
// A wrong one gives a wrong length.
func Unescape(text []byte) []byte {
	var d []byte
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] != '\\' || i+1 == len(text):
			d = append(d, text[i])
		case text[i+1] == 'x' && i+3 < len(text):
			n, _ := strconv.ParseUint(string(text[i+2:i+4]), 16, 8)
			d = append(d, byte(n))
			i += 3
		case text[i+1] == 'n':
			d = append(d, '\n')
			i++
		default:
			d = append(d, text[i+1])
			i++
		}
	}
	return d
}
