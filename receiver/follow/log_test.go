package follow_test

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"rsyncd_exporter/receiver/follow"
)

// pzstd puts a frame that is to be skipped before each.
func TestNewLogReadsWhatPzstdWrites(t *testing.T) {
	e, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	frame := e.EncodeAll([]byte("a line\n"), []byte("\x50\x2a\x4d\x18\x04\x00\x00\x00size"))
	l, err := follow.NewLog(bytes.NewReader(append(frame, frame...)))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if got, err := io.ReadAll(l); err != nil || string(got) != "a line\na line\n" {
		t.Errorf("%q, %v", got, err)
	}
}

// An xz file that holds next to nothing, many times over, is no log.
func TestNewLogRefusesXZBombs(t *testing.T) {
	var packed bytes.Buffer
	w, err := xz.NewWriter(&packed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = io.CopyN(w, zeros{}, 80<<20); err != nil {
		t.Fatal(err)
	}
	if err = w.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := follow.NewLog(&packed)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if n, err := io.Copy(io.Discard, l); err == nil || !strings.Contains(err.Error(), "no log") {
		t.Errorf("%d bytes, %v", n, err)
	}
}

// A dictionary of 64 MiB, which xz -9 has, is 2<<25: its code is 28 (xz-file-format.txt 5.3.1). The next larger one is 96 MiB.
func TestNewLogRefusesHugeDictionaries(t *testing.T) {
	for code, refused := range map[byte]bool{28: false, 29: true, 40: true} {
		header := append([]byte("\xfd7zXZ\x00\x00\x04\x00\x00\x00\x00"), 2, 0, 0x21, 1, code) // its stream, a block of LZMA2 alone
		_, err := follow.NewLog(bytes.NewReader(append(header, make([]byte, 32)...)))
		if err == nil || strings.Contains(err.Error(), "its dictionary takes") != refused {
			t.Errorf("code %d: %v", code, err)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
