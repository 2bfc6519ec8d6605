package checkpoint

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"time"
)

// A state file is one line of text, so that `head -1` explains it, and the payload. All of version
// 1's fields have a fixed width:
//
//	rsyncd_exporter state 1 sequence=00000000000000000012 saved=2026-11-26T11:22:19.123456789Z
//	length=00001234 crc32c=89abcdef
//
// The checksum is over the line up to its own field, and the payload. The words before the
// version's number stay in every version.
const (
	magic      = "rsyncd_exporter state "
	version    = 1
	fields     = " sequence=%020d saved=%s length=%08d" // what the checksum covers, after the version
	checksum   = " crc32c=%08x\n"
	savedTime  = "2006-01-02T15:04:05.000000000Z"
	headerSize = len(magic) + len("1") + len(" sequence=") + 20 + len(" saved=") + len(savedTime) +
		len(" length=") + 8 + len(" crc32c=") + 8 + len("\n")

	// MaxPayload is the size in bytes that a payload may have. It bounds what reading a foreign
	// file may cost.
	MaxPayload = 64 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// header returns what precedes the payload in a file.
func header(sequence uint64, at time.Time, payload []byte) []byte {
	h := fmt.Appendf(nil, magic+"%d"+fields, version, sequence, at.UTC().Format(savedTime), len(payload))
	sum := crc32.Update(crc32.Checksum(h, castagnoli), castagnoli, payload)
	return fmt.Appendf(h, checksum, sum)
}

// decode fills c from a file's content, which the payload becomes a part of. What it finds before
// an error stays, for people to read.
func (c *Copy) decode(file []byte) error {
	line := string(file[:min(len(file), headerSize)])
	switch {
	case line == "":
		return errors.New("is empty")
	case strings.HasPrefix(magic, line):
		return fmt.Errorf("is cut off after %d bytes", len(file))
	case !strings.HasPrefix(line, magic):
		return fmt.Errorf("is no state file, as it begins with %.*q", len(magic), line)
	}
	if _, err := fmt.Sscanf(line[len(magic):], "%d", &c.Version); err != nil {
		return fmt.Errorf("has no format version, %q", line)
	}
	if c.Version != version {
		return fmt.Errorf("has format version %d, and this program knows version %d only "+
			"(has a newer rsyncd_exporter written it?)", c.Version, version)
	}
	if len(file) < headerSize {
		return fmt.Errorf("is cut off after %d bytes, in its header", len(file))
	}
	var saved string
	var length, sum int64
	_, err := fmt.Sscanf(line[len(magic):], "%d"+" sequence=%d saved=%s length=%d"+checksum,
		&c.Version, &c.Sequence, &saved, &length, &sum)
	if err != nil {
		return fmt.Errorf("has a damaged header, %q: %w", line, err)
	}
	if c.At, err = time.Parse(savedTime, saved); err != nil {
		return fmt.Errorf("has a damaged header, %q: %w", line, err)
	}
	payload := file[headerSize:]
	if int64(len(payload)) != length {
		return fmt.Errorf("has %d bytes after its header, which says %d", len(payload), length)
	}
	// Scanning is lenient. What is written for the same values has to be the same, the checksum
	// included.
	if !bytes.Equal(header(c.Sequence, c.At, payload), file[:headerSize]) {
		return fmt.Errorf("is damaged: its checksum or its header, %q, isn't that of its content", line)
	}
	c.Payload = payload
	return nil
}
