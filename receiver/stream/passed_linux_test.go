package stream_test

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/stream"
)

func TestPassedTCPDescriptorThatIsWrong(t *testing.T) {
	src, sink := receiver.Source{Name: "passed"}, newHoldSink(false)
	fd, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0) // the listener closes it
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.PassedTCP(fd, src, sink, stream.TCPOptions{}); err == nil || !strings.HasPrefix(err.Error(), "passed: passed descriptor ") {
		t.Errorf("TCP: error %v", err)
	}
}
